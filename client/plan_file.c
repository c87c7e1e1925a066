/* plan_file.c - reading a plan from a file or standard input */
#include "client/plan_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "client/ctl.h"
#include "client/files.h"
#include "proto/text/text.h"
#include "sys/file.h"

static int read_stdin(struct lt_buf *out, struct lt_error *err)
{
    char chunk[65536];
    ssize_t n;

    while ((n = read(0, chunk, sizeof chunk)) > 0) {
        lt_buf_append(out, chunk, (size_t)n);
        if (out->len > LT_TEXT_MAX)
            return lt_error_set(err, -EFBIG, "standard input: more than %u bytes", LT_TEXT_MAX);
    }
    return n < 0 ? lt_error_set(err, -errno, "standard input: %s", strerror(errno)) : 0;
}

static char *folder_of(const char *path)
{
    LT_AUTO(lt_free) char *whole = NULL;
    char *real = strcmp(path, "-") == 0 ? NULL : realpath(path, NULL);
    char *slash, *cwd;

    if (real) {
        whole = lt_strdup(real);
        free(real);
        slash = strrchr(whole, '/');
        slash[slash == whole] = 0;
        return LT_TAKE(whole);
    }
    cwd = getcwd(NULL, 0);
    whole = lt_strdup(cwd ? cwd : "/");
    free(cwd);
    return LT_TAKE(whole);
}

int lt_plan_file_read(struct lt_ctl *ctl, const char *path, Lt__V1__JobSpec **out)
{
    LT_AUTO(lt_free) char *folder = folder_of(path);
    struct lt_problems problems = {0};
    struct lt_error err = {0};
    LT_BUF_AUTO text = {0};
    const char *const *sets;
    Lt__V1__JobSpec *spec;
    size_t n_sets;
    int rc = strcmp(path, "-") == 0 ? read_stdin(&text, &err)
                                    : lt_file_read(path, LT_TEXT_MAX, &text, &err);

    if (rc == -ENOENT)
        return lt_ctl_fail(ctl, LT_EXIT_NOT_FOUND, "%s: there is no such file", path);
    if (rc == -EFBIG)
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "%s; a plan is text of a few thousand bytes: is this one?", err.text);
    if (rc == -EISDIR)
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "%s is a directory; name the plan's file", path);
    if (rc < 0)
        return lt_ctl_fail(ctl, rc == -EACCES ? LT_EXIT_NOT_PERMITTED : LT_EXIT_REFUSED, "%s",
                           err.text);
    ctl->plan_path = path;
    ctl->plan_text = lt_arena_strdup(ctl->arena, text.data ? text.data : "");
    ctl->plan_len = strlen(ctl->plan_text);
    sets = lt_ctl_list(ctl, "set", &n_sets);
    spec = lt_text_check_spec(text.data ? text.data : "", text.len, folder, sets, n_sets,
                              ctl->arena, &problems);
    lt_ctl_problems(path, &problems);
    rc = 0;
    if (!spec && lt_ctl_names_program(ctl)) {
        rc = lt_ctl_fail(ctl, LT_EXIT_REFUSED,
                         "%s is no plan; a program stands behind `--`: ltctl %s -- %s", path,
                         ctl->verb->name, path);
    } else if (!spec || problems.errors) {
        rc = lt_ctl_fail(ctl, LT_EXIT_REFUSED,
                         "%s has %zu problem%s, listed above; nothing was submitted", path,
                         problems.errors, problems.errors == 1 ? "" : "s");
    }
    lt_problems_done(&problems);
    *out = spec;
    return rc;
}

void lt_plan_file_problems(struct lt_ctl *ctl, Lt__V1__Problem *const *list, size_t n)
{
    struct lt_problems problems = {0};
    const char *const *sets;
    size_t n_sets;

    if (!ctl->plan_text) {
        lt_ctl_problem_messages(NULL, list, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const Lt__V1__Problem *p = list[i];
        LT_BUF_AUTO reason = {0};

        lt_files_name(ctl, p->reason ? p->reason : "", &reason);
        (p->severity == LT__V1__PROBLEM__SEVERITY__WARNING ? lt_problem_warn : lt_problem_add)(
            &problems, p->path ? p->path : "", p->remedy, "%s", reason.data ? reason.data : "");
    }
    sets = lt_ctl_list(ctl, "set", &n_sets);
    lt_text_place(ctl->plan_text, ctl->plan_len, sets, n_sets, &problems);
    lt_ctl_problems(ctl->plan_path, &problems);
    lt_problems_done(&problems);
}
