/* say.c - what goes to stderr: errors, each with what to do next, notes, and lists of problems */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/problem.h"
#include "client/ctl.h"
#include "rpc/status.h"

int lt_ctl_fail(const struct lt_ctl *ctl, int exit_code, const char *format, ...)
{
    LT_BUF_AUTO line = {0};
    va_list ap;

    va_start(ap, format);
    lt_buf_vprintf(&line, format, ap);
    va_end(ap);
    fprintf(stderr, "ltctl%s%s: %s\n", ctl->verb ? " " : "", ctl->verb ? ctl->verb->name : "",
            line.data);
    return exit_code;
}

void lt_ctl_note(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static const struct {
    enum lt_rpc_code code;
    int exit_code;
    const char *next;
} outcomes[] = {
    {LT_RPC_INVALID_ARGUMENT, LT_EXIT_USAGE, NULL},
    {LT_RPC_NOT_FOUND, LT_EXIT_NOT_FOUND, NULL},
    {LT_RPC_ALREADY_EXISTS, LT_EXIT_ERROR, NULL},
    {LT_RPC_PERMISSION_DENIED, LT_EXIT_NOT_PERMITTED,
     "jobs are their owner's; ask whoever submitted it, or root"},
    {LT_RPC_UNAUTHENTICATED, LT_EXIT_NOT_PERMITTED,
     "is --token-file (LTD_TOKEN_FILE) the file that it was started with?"},
    {LT_RPC_UNAVAILABLE, LT_EXIT_UNREACHABLE,
     "is `ltd` running? `ltctl run` and `ltctl submit` start one"},
    {LT_RPC_DEADLINE_EXCEEDED, LT_EXIT_UNREACHABLE,
     "the daemon didn't answer in time; `ltctl doctor` looks why"},
    {LT_RPC_CANCELLED, LT_EXIT_UNREACHABLE, "the daemon ended the call; try again"},
    {LT_RPC_UNIMPLEMENTED, LT_EXIT_ERROR,
     "the daemon is of another version; `ltctl version` compares"},
};

int lt_ctl_fail_status(const struct lt_ctl *ctl, const struct lt_rpc_status *s)
{
    const char *next = NULL;
    int exit_code = LT_EXIT_ERROR;

    for (size_t i = 0; i < LT_ARRAY_LEN(outcomes); i++) {
        if (outcomes[i].code == s->code) {
            exit_code = outcomes[i].exit_code;
            next = outcomes[i].next;
        }
    }
    if (s->problems.len) {
        lt_ctl_problems(NULL, &s->problems);
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "%s", s->text);
    }
    if (strstr(s->text, "`ltctl ")) /* the daemon said it itself */
        next = NULL;
    return lt_ctl_fail(ctl, exit_code, "%s%s%s", s->text[0] ? s->text : lt_rpc_code_name(s->code),
                       next ? "; " : "", next ? next : "");
}

static void print_problem(const char *file, unsigned line, unsigned column, const char *path,
                          const char *reason, const char *remedy, bool warning)
{
    if (file)
        fprintf(stderr, "%s:", file);
    if (file && line)
        fprintf(stderr, "%u:%u:", line, column);
    fprintf(stderr, "%s%s%s%s%s%s%s\n", file ? " " : "", warning ? "warning: " : "", path,
            path[0] ? ": " : "", reason, remedy[0] ? "; " : "", remedy);
}

void lt_ctl_problems(const char *file, const struct lt_problems *p)
{
    for (size_t i = 0; i < p->len; i++) {
        const struct lt_problem *x = &p->items[i];

        print_problem(file, (unsigned)x->line, (unsigned)x->column, x->path, x->reason,
                      x->remedy ? x->remedy : "", x->warning);
    }
    if (p->dropped)
        fprintf(stderr, "… and %zu more\n", p->dropped);
}

static const char *text(const char *s)
{
    return s ? s : "";
}

void lt_ctl_problem_messages(const char *file, Lt__V1__Problem *const *problems, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Lt__V1__Problem *x = problems[i];

        print_problem(file, x->line, x->column, text(x->path), text(x->reason), text(x->remedy),
                      x->severity == LT__V1__PROBLEM__SEVERITY__WARNING);
    }
}
