/* check_command.c - a command's argv, environment, secrets, and what a job of ours has that it can't
 *
 * Whether the program, the folder and the files are there is asked on the node that would run it
 * (engine/worker/command_check.c). Names of the environment that ltd sets for every rank can't be
 * given: a rank that believes another RANK than its own is nobody's help.
 */
#include <ctype.h>
#include <string.h>
#include "base/auto.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/checks.h"
#include "proto/plan.h"

#define ARGUMENTS_MAX (1u << 20) /* bytes of argv, env and their pointers; Linux takes 2 MiB by default */
#define GRACE_MAX_S 86400

static const char *const reserved[] = {
    "RANK",          "LOCAL_RANK",       "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE",
    "ROLE_RANK",     "ROLE_WORLD_SIZE",  "ROLE_NAME",  "MASTER_ADDR",      "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",               "TORCHELASTIC_RESTART_COUNT",     "TORCHELASTIC_MAX_RESTARTS",
    "TORCHELASTIC_USE_AGENT_STORE",
};
static const char *const reserved_prefixes[] = {"LT_", "LTD_", "PMI_", "PMIX_"};

const char *lt_env_name_fault(const char *name)
{
    if (!*name || isdigit((unsigned char)*name))
        return "isn't a name: letters, digits and _, not beginning with a digit";
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_')
            return "isn't a name: letters, digits and _, not beginning with a digit";
    for (size_t i = 0; i < LT_ARRAY_LEN(reserved); i++)
        if (!strcmp(name, reserved[i]))
            return "is set by ltd for every rank";
    for (size_t i = 0; i < LT_ARRAY_LEN(reserved_prefixes); i++)
        if (lt_str_starts(name, reserved_prefixes[i]))
            return "is one of the names that ltd sets for every rank";
    return NULL;
}

bool lt_metric_name_valid(const char *name, size_t n)
{
    if (n == 0 || n > LT_METRIC_NAME_MAX || !isalpha((unsigned char)*name))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_./:@-", name[i]))
            return false;
    return true;
}

static void check_argv(const struct lt_check *c, const Lt__V1__Command *m)
{
    size_t bytes = 0;

    for (size_t i = 0; i < m->n_argv; i++)
        bytes += strlen(m->argv[i]) + 1 + sizeof(char *);
    for (size_t i = 0; i < m->n_env; i++)
        bytes += strlen(m->env[i]->key ? m->env[i]->key : "") +
                 strlen(m->env[i]->value ? m->env[i]->value : "") + 2 + sizeof(char *);
    if (m->n_argv && !*m->argv[0])
        lt_problem_add(c->problems, lt_check_path(c, "argv[0]"), "write the program's name",
                       "is empty");
    if (bytes > ARGUMENTS_MAX)
        lt_problem_add(c->problems, lt_check_path(c, "argv"), "put them into a file",
                       "arguments and environment of %zu bytes; at most %u are allowed", bytes,
                       ARGUMENTS_MAX);
}

static void check_name_of(const struct lt_check *c, const char *field, const char *name)
{
    const char *fault = lt_env_name_fault(name);

    if (fault)
        lt_problem_add(c->problems, lt_check_path(c, "%s.%.100s", field, name),
                       "take another name", "`%.100s` %s", name, fault);
}

static bool has_env(const Lt__V1__Command *m, const char *name)
{
    for (size_t i = 0; i < m->n_env; i++)
        if (lt_str_eq(m->env[i]->key, name))
            return true;
    return false;
}

static void check_environment(const struct lt_check *c, const Lt__V1__Command *m)
{
    for (size_t i = 0; i < m->n_env; i++)
        check_name_of(c, "env", m->env[i]->key ? m->env[i]->key : "");
    for (size_t i = 0; i < m->n_secrets; i++) {
        const char *name = m->secrets[i]->key ? m->secrets[i]->key : "";

        check_name_of(c, "secrets", name);
        if (has_env(m, name))
            lt_problem_add(c->problems, lt_check_path(c, "secrets.%.100s", name),
                           "keep one of them", "`%.100s` is in env, too", name);
        if (!m->secrets[i]->value || m->secrets[i]->value[0] != '/')
            lt_problem_add(c->problems, lt_check_path(c, "secrets.%.100s", name),
                           "write the path of the file that holds the value",
                           "isn't the absolute path of a file");
    }
    for (size_t i = 0; i < m->n_env_from_file; i++)
        if (m->env_from_file[i][0] != '/')
            lt_problem_add(c->problems, lt_check_path(c, "env_from_file[%zu]", i),
                           "write the whole path", "isn't an absolute path");
}

static void check_stopping(const struct lt_check *c, const Lt__V1__EarlyStopping *s)
{
    if (s->monitor && *s->monitor && !lt_metric_name_valid(s->monitor, strlen(s->monitor)))
        lt_problem_add(c->problems, lt_check_path(c, "early_stopping.monitor"),
                       "write a name as LTD_METRIC lines have it: a letter, then letters, digits and _./:@-",
                       "no metric can have this name");
    if (s->has_check_on_train_epoch_end)
        lt_problem_add(c->problems, lt_check_path(c, "early_stopping.check_on_train_epoch_end"),
                       "remove it", "a command's epochs aren't known: every value is looked at");
}

/* One of each kind: two would write the same files. */
static void check_loggers(const struct lt_check *c, const Lt__V1__Command *m)
{
    for (size_t i = 0; i < m->n_loggers; i++)
        for (size_t k = 0; k < i; k++)
            if (m->loggers[i]->logger_case == m->loggers[k]->logger_case)
                lt_problem_add(c->problems, lt_check_path(c, "loggers[%zu]", i), "remove one",
                               "is there twice");
}

void lt_check_command(const struct lt_check *c, const Lt__V1__Command *m)
{
    check_argv(c, m);
    check_environment(c, m);
    lt_check_job_of(c, m->name, m->job);
    if (m->working_dir && *m->working_dir && *m->working_dir != '/')
        lt_problem_add(c->problems, lt_check_path(c, "working_dir"), "write the whole path",
                       "isn't an absolute path");
    if (m->early_stopping)
        check_stopping(c, m->early_stopping);
    check_loggers(c, m);
    if (m->grace && m->grace->has_seconds && m->grace->seconds > GRACE_MAX_S)
        lt_problem_add(c->problems, lt_check_path(c, "grace"), "write a time up to 24h",
                       "is longer than a day");
    if (m->job && m->job->recovery)
        lt_problem_add(c->problems, lt_check_path(c, "job.recovery"), "remove it",
                       "a command makes its own checkpoints (LTD_RUN_DIR is a place for them)");
    if (m->resume && !(m->resume->job && *m->resume->job))
        lt_problem_add(c->problems, lt_check_path(c, "resume.job"),
                       "write the id of the job to continue, or `ltctl resume ID`", "is missing");
}
