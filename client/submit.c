/* submit.c - a plan's files, Submit, and waiting for checks or the end */
#include "client/submit.h"

#include "base/str.h"
#include "client/ctl.h"
#include "client/files.h"
#include "client/plan_file.h"
#include "client/status.h"
#include "client/watch.h"
#include "proto/plan.h"

int lt_submit(struct lt_ctl *ctl, Lt__V1__JobSpec *spec, const char **job)
{
    Lt__V1__SubmitRequest q = LT__V1__SUBMIT_REQUEST__INIT;
    Lt__V1__SubmitResponse *r = NULL;
    int rc = lt_files_send(ctl);

    if (rc)
        return rc;
    q.request_id = (char *)lt_ctl_request_id(ctl);
    q.spec = spec;
    rc = lt_ctl_call(ctl, "Submit", &q, &lt__v1__submit_response__descriptor, &r);
    if (rc == 0)
        *job = r->job_id;
    return rc;
}

int lt_submit_refused(struct lt_ctl *ctl, const Lt__V1__JobStatus *s)
{
    const char *what = lt_str_eq(s->kind, "command") ? "command" : "plan";

    lt_plan_file_problems(ctl, s->problems, s->n_problems);
    if (s->n_problems == 0 && s->reason && s->reason[0])
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "the %s was refused: %s", what, s->reason);
    return lt_ctl_fail(ctl, LT_EXIT_REFUSED,
                       "the %s was refused, for what is listed above; job %s", what, s->id);
}

bool lt_submit_warn(struct lt_ctl *ctl, const Lt__V1__JobStatus *s)
{
    if (s->state == LT__V1__JOB_STATE__NEW || s->state == LT__V1__JOB_STATE__HELD_CHECKING)
        return false;
    if (s->result != LT__V1__JOB_RESULT__REFUSED)
        lt_plan_file_problems(ctl, s->problems, s->n_problems);
    return true;
}

struct wait {
    struct lt_ctl *ctl;
    int exit_code;
    Lt__V1__JobStatus **last;
};

static bool until_checked(void *arg, const Lt__V1__JobStatus *s, bool end)
{
    struct wait *w = arg;

    (void)end;
    if (!lt_submit_warn(w->ctl, s))
        return true;
    if (s->state == LT__V1__JOB_STATE__DONE && s->result == LT__V1__JOB_RESULT__REFUSED)
        w->exit_code = lt_submit_refused(w->ctl, s);
    return false;
}

int lt_submit_wait_checked(struct lt_ctl *ctl, const char *job, double seconds)
{
    struct wait w = {.ctl = ctl};
    int rc = lt_watch(ctl, job, seconds, until_checked, &w);

    return rc ? rc : w.exit_code;
}

static bool until_done(void *arg, const Lt__V1__JobStatus *s, bool end)
{
    struct wait *w = arg;

    if (s->state != LT__V1__JOB_STATE__DONE && !end)
        return true;
    w->exit_code = lt_status_exit_code(s);
    if (w->last)
        *w->last = (Lt__V1__JobStatus *)lt_message_copy(&s->base, w->ctl->arena);
    if (s->result == LT__V1__JOB_RESULT__REFUSED)
        w->exit_code = lt_submit_refused(w->ctl, s);
    return false;
}

int lt_submit_wait_done(struct lt_ctl *ctl, const char *job, double seconds,
                        Lt__V1__JobStatus **last)
{
    struct wait w = {.ctl = ctl, .exit_code = LT_EXIT_UNREACHABLE, .last = last};
    int rc;

    if (last)
        *last = NULL;
    rc = lt_watch(ctl, job, seconds, until_done, &w);
    return rc ? rc : w.exit_code;
}
