/* command.c - see command.h
 *
 * A program behind `--` should find what it finds in the caller's shell, but not everything that
 * happens to be there: a job that runs again next week on another node must not depend on it, and
 * what is in a job's spec can be read by whoever may see the job. So a few names are taken along,
 * docs/command-jobs.md lists them, and --env adds to them.
 */
#include "client/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/problem.h"
#include "base/str.h"
#include "client/ctl.h"
#include "client/plan_file.h"
#include "proto/plan.h"
#include "proto/text/text.h"

#define PATH_BYTES 4096

extern char **environ;

static const char *const taken[] = {
    "PATH", "HOME",   "USER",        "LOGNAME",      "SHELL",             "LANG",       "LANGUAGE",
    "TZ",   "TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONPATH", "LD_LIBRARY_PATH",
};

static const char *here(struct lt_ctl *ctl)
{
    char *dir = lt_arena_alloc(ctl->arena, PATH_BYTES);

    return getcwd(dir, PATH_BYTES) ? dir : "/";
}

static char *absolute(struct lt_ctl *ctl, const char *path)
{
    if (path[0] == '/')
        return lt_arena_strdup(ctl->arena, path);
    return strcmp(path, ".") == 0 ? (char *)here(ctl)
                                  : lt_arena_format(ctl->arena, "%s/%s", here(ctl), path);
}

static char *before_equals(struct lt_ctl *ctl, const char *text)
{
    return lt_arena_format(ctl->arena, "%.*s", (int)strcspn(text, "="), text);
}

/* ---- the environment */

static void set_env(struct lt_ctl *ctl, Lt__V1__Command *c, char *name, const char *value)
{
    Lt__V1__Command__EnvEntry *e = NULL;

    for (size_t i = 0; i < c->n_env && !e; i++)
        if (lt_str_eq(c->env[i]->key, name))
            e = c->env[i];
    if (!e) {
        e = lt_arena_alloc(ctl->arena, sizeof *e);
        lt__v1__command__env_entry__init(e);
        e->key = name;
        c->env[c->n_env++] = e;
    }
    e->value = lt_arena_strdup(ctl->arena, value);
}

static bool is_taken(const char *name)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(taken); i++)
        if (strcmp(name, taken[i]) == 0)
            return true;
    return lt_str_starts(name, "LC_");
}

static void take_callers(struct lt_ctl *ctl, Lt__V1__Command *c)
{
    for (char **e = environ; *e; e++) {
        char *name = before_equals(ctl, *e);

        if (strchr(*e, '=') && is_taken(name))
            set_env(ctl, c, name, strchr(*e, '=') + 1);
    }
}

static int take_env(struct lt_ctl *ctl, Lt__V1__Command *c)
{
    size_t n, callers = 0;
    const char *const *list = lt_ctl_list(ctl, "env", &n);

    while (environ[callers])
        callers++;
    c->env = lt_arena_alloc(ctl->arena, (n + callers + 1) * sizeof *c->env);
    take_callers(ctl, c);
    for (size_t i = 0; i < n; i++) {
        char *name = before_equals(ctl, list[i]);
        const char *equals = strchr(list[i], '='), *value = equals ? equals + 1 : getenv(name);

        if (!value)
            return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--env %s: you have no such variable; write --env %s=VALUE",
                               name, name);
        set_env(ctl, c, name, value);
    }
    return 0;
}

static int take_secrets(struct lt_ctl *ctl, Lt__V1__Command *c)
{
    const char *const *list = lt_ctl_list(ctl, "secret", &c->n_secrets);

    c->secrets = lt_arena_alloc(ctl->arena, (c->n_secrets + 1) * sizeof *c->secrets);
    for (size_t i = 0; i < c->n_secrets; i++) {
        const char *equals = strchr(list[i], '=');
        Lt__V1__Command__SecretsEntry *e = lt_arena_alloc(ctl->arena, sizeof *e);

        if (!equals || !equals[1])
            return lt_ctl_fail(ctl, LT_EXIT_USAGE,
                               "--secret takes NAME=FILE: the value stays in the file");
        lt__v1__command__secrets_entry__init(e);
        e->key = before_equals(ctl, list[i]);
        e->value = absolute(ctl, equals + 1);
        c->secrets[i] = e;
    }
    return 0;
}

/* ---- the spec */

static int build(struct lt_ctl *ctl, Lt__V1__Command *c)
{
    const char *dir = lt_ctl_string(ctl, "working-dir"), *name = lt_ctl_string(ctl, "name");
    const char *const *files = lt_ctl_list(ctl, "env-from-file", &c->n_env_from_file);
    uint64_t nproc;
    int rc;

    c->argv = (char **)ctl->args;
    c->n_argv = (size_t)ctl->n_args;
    c->name = (char *)name;
    c->working_dir = dir ? absolute(ctl, dir) : (char *)here(ctl);
    if (lt_ctl_number(ctl, "nproc", &nproc)) {
        c->has_nproc = true;
        c->nproc = nproc;
    }
    c->env_from_file = lt_arena_alloc(ctl->arena, (c->n_env_from_file + 1) * sizeof *c->env_from_file);
    for (size_t i = 0; i < c->n_env_from_file; i++)
        c->env_from_file[i] = absolute(ctl, files[i]);
    rc = take_env(ctl, c);
    return rc ? rc : take_secrets(ctl, c);
}

static Lt__V1__JobSpec *check(struct lt_ctl *ctl, Lt__V1__JobSpec *spec, struct lt_problems *problems)
{
    size_t n;
    const char *const *sets = lt_ctl_list(ctl, "set", &n);

    if (n)
        spec = lt_text_apply_sets(spec, sets, n, here(ctl), ctl->arena, problems);
    if (spec)
        lt_plan_validate(spec, problems);
    return spec;
}

static int read_command(struct lt_ctl *ctl, Lt__V1__JobSpec **out)
{
    Lt__V1__JobSpec *spec = lt_arena_alloc(ctl->arena, sizeof *spec);
    Lt__V1__Command *c = lt_arena_alloc(ctl->arena, sizeof *c);
    struct lt_problems problems = {0};
    int rc;

    lt__v1__job_spec__init(spec);
    lt__v1__command__init(c);
    spec->kind_case = LT__V1__JOB_SPEC__KIND_COMMAND;
    spec->command = c;
    rc = build(ctl, c);
    if (rc)
        return rc;
    *out = check(ctl, spec, &problems);
    lt_ctl_problems(NULL, &problems);
    if (!*out || problems.errors)
        rc = lt_ctl_fail(ctl, LT_EXIT_REFUSED, "the command has %zu problem%s, listed above; nothing was submitted",
                         problems.errors, problems.errors == 1 ? "" : "s");
    lt_problems_done(&problems);
    return rc;
}

int lt_spec_read(struct lt_ctl *ctl, Lt__V1__JobSpec **out)
{
    static const char *const of_programs[] = {"nproc", "name", "working-dir", "env", "env-from-file", "secret"};

    if (ctl->program)
        return read_command(ctl, out);
    for (size_t i = 0; i < LT_ARRAY_LEN(of_programs); i++)
        if (lt_ctl_flag(ctl, of_programs[i]))
            return lt_ctl_fail(ctl, LT_EXIT_USAGE,
                               "--%s belongs to a program: ltctl %s --%s … -- PROGRAM; a plan says it itself, or --set",
                               of_programs[i], ctl->verb->name, of_programs[i]);
    return lt_plan_file_read(ctl, ctl->args[0], out);
}
