/* command.c - where a command's program is
 *
 * A daemon's own PATH says nothing about the job: what counts is the command's, else the usual
 * folders. The search is ours and not execvp's, so that what was looked for where can be said.
 */
#include "engine/worker/command.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/worker/command_env.h"

const char *lt_command_dir(const Lt__V1__Command *c, const char *run_dir)
{
    return c->working_dir && c->working_dir[0] ? c->working_dir : run_dir;
}

static const char *search_path(const Lt__V1__Command *c)
{
    for (size_t i = 0; i < c->n_env; i++)
        if (lt_str_eq(c->env[i]->key, "PATH") && c->env[i]->value)
            return c->env[i]->value;
    return LT_COMMAND_PATH;
}

/* 0, -ENOENT, -EACCES (there, but no program that we may run). */
static int look(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == EACCES ? -EACCES : -ENOENT;
    return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

static int find_file(const char *name, const char *dir, char **out, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = name[0] == '/' ? lt_strdup(name) : lt_format("%s/%s", dir, name);
    int rc = look(path);

    if (rc == -ENOENT)
        return lt_error_set(err, rc, "there is no program %s", path);
    if (rc < 0)
        return lt_error_set(err, rc, "%s is not a program that may be run", path);
    *out = LT_TAKE(path);
    return 0;
}

int lt_command_find(const Lt__V1__Command *c, const char *dir, char **out, struct lt_error *err)
{
    const char *name = c->n_argv ? c->argv[0] : "", *path = search_path(c);
    bool refused = false;

    if (!*name)
        return lt_error_set(err, -EINVAL, "argv is empty");
    if (strchr(name, '/'))
        return find_file(name, dir, out, err);
    for (const char *p = path; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        size_t n = strcspn(p, ":");
        LT_AUTO(lt_free) char *file = n ? lt_format("%.*s/%s", (int)n, p, name)
                                        : lt_format("%s/%s", dir, name);
        int rc = look(file);

        if (rc == 0) {
            *out = LT_TAKE(file);
            return 0;
        }
        refused = refused || rc == -EACCES;
    }
    if (refused)
        return lt_error_set(err, -EACCES, "`%s` is in PATH, but not as a program that may be run: %s",
                            name, path);
    return lt_error_set(err, -ENOENT, "there is no program `%s` in PATH: %s", name, path);
}

/* ---- before it is queued */

static void check_program(const Lt__V1__Command *c, struct lt_problems *problems, char **program)
{
    struct lt_error err = {0};
    const char *remedy = "name a program that is on the node, or set env.PATH";

    if (lt_command_find(c, lt_command_dir(c, "."), program, &err) == 0)
        return;
    if (c->n_argv == 1 && strchr(c->argv[0], ' '))
        remedy = "argv is a list: [python, train.py]; for a shell's line [sh, -c, \"…\"]";
    lt_problem_add(problems, "argv[0]", remedy, "%s", err.text);
}

static void check_dir(const Lt__V1__Command *c, struct lt_problems *problems)
{
    struct stat st;

    if (!c->working_dir || !c->working_dir[0])
        return;
    if (stat(c->working_dir, &st) < 0)
        lt_problem_add(problems, "working_dir", "make it, or name another one", "%s: %s",
                       c->working_dir, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        lt_problem_add(problems, "working_dir", "name a folder", "%s is no folder", c->working_dir);
    else if (access(c->working_dir, X_OK) < 0)
        lt_problem_add(problems, "working_dir", "let the job's user in", "%s: %s", c->working_dir,
                       strerror(errno));
}

static void check_files(const Lt__V1__Command *c, struct lt_problems *problems)
{
    for (size_t i = 0; i < c->n_secrets; i++) {
        LT_AUTO(lt_free) char *at = lt_format("secrets.%s", c->secrets[i]->key);
        LT_BUF_AUTO value = {0};
        struct lt_error err = {0};

        if (lt_command_secret(c->secrets[i]->value, &value, &err) < 0)
            lt_problem_add(problems, at, "name a file that the job's user can read", "%s", err.text);
        lt_command_wipe(&value);
    }
    for (size_t i = 0; i < c->n_env_from_file; i++) {
        LT_AUTO(lt_free) char *at = lt_format("env_from_file[%zu]", i);
        struct lt_error err = {0};

        if (lt_command_env_file(c->env_from_file[i], NULL, &err) < 0)
            lt_problem_add(problems, at, "a NAME=VALUE a line, # before a comment", "%s", err.text);
    }
}

static void write_report(const char *program, struct lt_buf *report)
{
    lt_buf_str(report, "{\"program\":\"");
    for (const char *p = program; *p; p++) {
        if ((unsigned char)*p < 0x20)
            lt_buf_printf(report, "\\u%04x", (unsigned char)*p);
        else
            lt_buf_printf(report, "%s%c", strchr("\"\\", *p) ? "\\" : "", *p);
    }
    lt_buf_str(report, "\"}");
}

void lt_command_check(const Lt__V1__Command *c, struct lt_problems *problems, struct lt_buf *report)
{
    LT_AUTO(lt_free) char *program = NULL;

    check_dir(c, problems);
    check_program(c, problems, &program);
    check_files(c, problems);
    if (program)
        write_report(program, report);
}
