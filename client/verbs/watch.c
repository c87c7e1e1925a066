/* watch.c - ltctl watch JOB: a line for every change until the job ends */
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/status.h"
#include "client/watch.h"

static const struct lt_option options[] = {
    {"timeout", 0, LT_OPTION_DURATION, "TIME", "watch no longer than this (then exit 9)"},
};

struct view {
    struct lt_ctl *ctl;
    struct lt_progress *progress;
    struct lt_buf last;
    int exit_code;
};

/* On a pipe: what changed, but not each step of a running job. */
static void print_line(struct view *v, const Lt__V1__JobStatus *s)
{
    LT_BUF_AUTO word = {0};
    LT_BUF_AUTO line = {0};

    lt_status_word(s, &word);
    lt_buf_printf(&line, "%s attempt %u epoch %llu%s%s", word.data, s->attempt,
                  (unsigned long long)s->epoch, s->reason && s->reason[0] ? " " : "",
                  s->reason ? s->reason : "");
    if (v->last.data && lt_str_eq(line.data, v->last.data))
        return;
    printf("%s step %llu\n", line.data, (unsigned long long)s->step);
    fflush(stdout);
    lt_buf_done(&v->last);
    lt_buf_str(&v->last, line.data);
}

static bool on_status(void *arg, const Lt__V1__JobStatus *s, bool end)
{
    struct view *v = arg;

    if (lt_ctl_output(v->ctl) != LT_OUTPUT_TABLE)
        lt_output_line(lt_status_json(s));
    else if (v->progress)
        lt_progress_update(v->progress, s);
    else
        print_line(v, s);
    v->exit_code = lt_status_exit_code(s);
    return !end && s->state != LT__V1__JOB_STATE__DONE;
}

static int run(struct lt_ctl *ctl)
{
    struct view v = {.ctl = ctl, .exit_code = LT_EXIT_UNREACHABLE};
    double seconds = -1;
    int rc = lt_ctl_connect(ctl);

    if (rc)
        return rc;
    lt_ctl_duration(ctl, "timeout", &seconds);
    v.progress = isatty(1) && lt_ctl_output(ctl) == LT_OUTPUT_TABLE ? lt_progress_new() : NULL;
    lt_interrupt_catch();
    rc = lt_watch(ctl, ctl->args[0], seconds, on_status, &v);
    if (v.progress)
        fputc('\n', stderr);
    lt_progress_free(v.progress);
    lt_buf_done(&v.last);
    if (rc == LT_EXIT_TIMEOUT)
        return lt_ctl_fail(ctl, rc, "job %s is still running", ctl->args[0]);
    return rc ? rc : v.exit_code;
}

const struct lt_verb lt_verb_watch = {
    .name = "watch",
    .arguments = "JOB",
    .summary = "Show a job's state as it changes, until it ends",
    .details =
        "Exits with the job's code. With -o json, jsonl or yaml each change is one line of JSON.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
