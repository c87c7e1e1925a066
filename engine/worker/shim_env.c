/* shim_env.c - what a rank finds in its environment
 *
 * The names are torchrun's and MPI's, so that a plain program can be a rank, too. What a
 * surrounding launcher left (PMI_*, OMPI_*, …) is taken out: a rank must not think that it belongs
 * to another job; a command's environment begins with nothing (command_env.c). Threads spin for a short while only (GOMP_SPINCOUNT): barriers stay fast, and a
 * machine with other work on it isn't starved.
 */
#include "engine/worker/shim_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/worker/command.h"

extern char **environ;

static const char *const scrubbed[] = {
    "PMI_",  "PMIX_",  "MPI_",  "MPICH_",        "OMPI_",
    "PRTE_", "HYDRA_", "MPIR_", "TORCHELASTIC_", "GOMP_CPU_AFFINITY",
};

static bool is_scrubbed(const char *entry)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(scrubbed); i++) {
        if (lt_str_starts(entry, scrubbed[i]))
            return true;
    }
    return false;
}

static void scrub(void)
{
    char **to = environ;

    for (char **from = environ; *from; from++) {
        if (!is_scrubbed(*from))
            *to++ = *from;
    }
    *to = NULL;
}

int lt_shim_parse_cpus(const char *list, cpu_set_t *out, struct lt_error *err)
{
    const char *p = list;

    CPU_ZERO(out);
    while (*p) {
        char *end;
        unsigned long first = strtoul(p, &end, 10), last = first;

        if (end == p)
            return lt_error_set(err, -EINVAL, "processor list `%s` is not of the form 0-3,8", list);
        if (*end == '-') {
            p = end + 1;
            last = strtoul(p, &end, 10);
            if (end == p)
                return lt_error_set(err, -EINVAL, "processor list `%s` is not of the form 0-3,8",
                                    list);
        }
        if (last >= CPU_SETSIZE || first > last)
            return lt_error_set(err, -EINVAL, "processor list `%s` has a bad range", list);
        for (unsigned long c = first; c <= last; c++)
            CPU_SET(c, out);
        p = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return lt_error_set(err, -EINVAL, "processor list `%s` is not of the form 0-3,8", list);
    }
    return CPU_COUNT(out) ? 0 : lt_error_set(err, -EINVAL, "the processor list is empty");
}

static void set_number(const char *name, uint64_t value)
{
    LT_AUTO(lt_free) char *text = lt_format("%llu", (unsigned long long)value);

    setenv(name, text, 1);
}

/* What a launcher tells its ranks: torchrun's names, and our own. */
static void set_rank(const Lt__V1__StartRank *spec)
{
    LT_AUTO(lt_free) char *token = lt_format("%s.%u.%u", spec->job, spec->attempt, spec->rank);

    set_number("RANK", spec->rank);
    set_number("LOCAL_RANK", spec->local_rank);
    set_number("WORLD_SIZE", spec->world_size);
    set_number("LOCAL_WORLD_SIZE", spec->local_world_size);
    set_number("GROUP_RANK", 0);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    set_number("MASTER_PORT", spec->has_master_port ? spec->master_port : 29500);
    setenv("LTD_JOB", spec->job, 1);
    setenv("LTD_RUN_DIR", spec->run_dir, 1);
    set_number("LTD_ATTEMPT", spec->attempt);
    set_number("LTD_GENERATION", spec->generation);
    setenv("LT_TOKEN", token, 1); /* by this the agent finds what a rank left behind */
}

/* What torchrun's children find besides, and scripts look at. */
static void set_elastic(const Lt__V1__StartRank *spec)
{
    set_number("GROUP_WORLD_SIZE", 1);
    set_number("ROLE_RANK", spec->rank);
    set_number("ROLE_WORLD_SIZE", spec->world_size);
    setenv("ROLE_NAME", "default", 1);
    setenv("TORCHELASTIC_RUN_ID", spec->job, 1);
    set_number("TORCHELASTIC_RESTART_COUNT", spec->attempt - 1);
    setenv("TORCHELASTIC_USE_AGENT_STORE", "False", 1); /* rank 0 serves it */
}

void lt_shim_set_env(const Lt__V1__StartRank *spec, bool whole_machine)
{
    scrub();
    set_rank(spec);
    setenv("GOMP_SPINCOUNT", "10000", 1);
    if (spec->cpus)
        set_number("OMP_NUM_THREADS", spec->cpus);
    if (whole_machine)
        setenv("OMP_PROC_BIND", "true", 1);
    else
        unsetenv("OMP_PROC_BIND");
}

int lt_shim_command_env(const Lt__V1__StartRank *spec, int metrics, struct lt_error *err)
{
    const Lt__V1__Command *c = spec->spec->command;
    int rc = lt_command_environment(c, err);

    if (rc < 0)
        return rc;
    set_rank(spec);
    set_elastic(spec);
    if (spec->job_name && spec->job_name[0])
        setenv("LTD_JOB_NAME", spec->job_name, 1);
    if (c->resume && c->resume->path)
        setenv("LTD_RESUME_DIR", c->resume->path, 1);
    if (metrics >= 0)
        set_number("LTD_METRICS_FD", (uint64_t)metrics);
    if (spec->cpus && !getenv("OMP_NUM_THREADS"))
        set_number("OMP_NUM_THREADS", spec->cpus);
    return 0;
}

bool lt_shim_is_whole_machine(const Lt__V1__StartRank *spec)
{
    cpu_set_t ours, all;

    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return false;
    if (!spec->cpu_set || !spec->cpu_set[0])
        return spec->cpus >= (uint32_t)CPU_COUNT(&all);
    return lt_shim_parse_cpus(spec->cpu_set, &ours, NULL) == 0 && CPU_EQUAL(&ours, &all);
}
