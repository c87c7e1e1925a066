/* follow.c - the Logs streams of a job's ranks, and the Watch stream beside them: on a terminal for
 * progress, of a job just submitted until what its checks warn of is known
 *
 * One loop over all of them: what came is written, a lost connection opens all anew, Ctrl-C is the
 * job's. It is over when every rank's output is; what the job ended with is the same in each.
 */
#include "client/follow.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "client/ctl.h"
#include "client/lines.h"
#include "client/progress.h"
#include "client/source.h"
#include "client/submit.h"
#include "client/watch.h"
#include "proto/plan.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define SLICE_MS 100
#define RANKS_MAX 128 /* a client may have 256 calls open at ltd */

struct following {
    struct lt_ctl *ctl;
    const struct lt_follow *f;
    struct lt_sources all;
    struct lt_source *sources[RANKS_MAX];
    size_t n;
    struct lt_client_stream *watch;
    bool warned; /* of what the checks found, or nobody asks */
    bool lost;   /* the connection */
    bool cancelled;
};

int lt_follow_options(struct lt_ctl *ctl, struct lt_follow *f)
{
    uint64_t n;

    f->rank = lt_ctl_string(ctl, "rank");
    if (!f->rank || strcmp(f->rank, "all") == 0 ||
        (lt_parse_u64(f->rank, &n) == 0 && n <= UINT32_MAX))
        return 0;
    return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--rank takes a whole number or all, not `%s`", f->rank);
}

/* ---- which ranks */

/* How many the job has; an older daemon says so only once they were started. */
static uint32_t world_of(const Lt__V1__JobStatus *s)
{
    return s->has_world_size ? s->world_size : (uint32_t)LT_MAX(s->n_ranks, 1);
}

static void add_ranks(struct following *x, uint32_t world)
{
    if (world > 1)
        x->all.paper = lt_lines_paper_new(1, 2);
    if (world > RANKS_MAX)
        lt_ctl_note(
            "job %s has %u ranks; these are the first %u, `ltctl logs --rank N %s` shows one",
            x->f->job, world, RANKS_MAX, x->f->job);
    while (x->n < LT_MIN(world, RANKS_MAX)) {
        x->sources[x->n] = lt_source_new(&x->all, (uint32_t)x->n);
        x->n++;
    }
}

static int choose_ranks(struct following *x)
{
    const char *rank = x->f->rank;
    Lt__V1__JobStatus *s;
    uint64_t n = 0;
    int rc;

    if (rank && lt_parse_u64(rank, &n) == 0) {
        x->sources[x->n++] = lt_source_new(&x->all, (uint32_t)n);
        return 0;
    }
    rc = lt_ctl_get(x->ctl, x->f->job, &s);
    if (rc == 0)
        add_ranks(x, rank || lt_str_eq(s->kind, "command") ? world_of(s) : 1);
    return rc;
}

/* ---- how it ends */

static int refused(struct following *x)
{
    Lt__V1__JobStatus *s = NULL;
    int rc = lt_ctl_get(x->ctl, x->f->job, &s);

    return rc ? rc : lt_submit_refused(x->ctl, s);
}

static void hint(struct following *x, const Lt__V1__End *e)
{
    bool reason = e->reason && e->reason[0];

    if (e->result == LT__V1__JOB_RESULT__SUCCEEDED || e->result == LT__V1__JOB_RESULT__RESULT_NONE)
        return;
    lt_ctl_fail(x->ctl, 0, "job %s: %s%s%s%s%s; `ltctl events %s` tells its story", x->f->job,
                lt_job_result_name(e->result), e->class_ ? ", class " : "",
                e->class_ ? lt_failure_class_name(e->class_) : "", reason ? ": " : "",
                reason ? e->reason : "", x->f->job);
}

/* A job that was quicker than its watch. */
static void warn_at_last(struct following *x)
{
    Lt__V1__JobStatus *s;

    if (!x->warned && lt_ctl_get(x->ctl, x->f->job, &s) == 0)
        lt_submit_warn(x->ctl, s);
}

/* LT_GO_ON until all are at their end. */
static int ended(struct following *x)
{
    const Lt__V1__End *e = NULL;

    for (size_t i = 0; i < x->n; i++) {
        e = lt_source_end(x->sources[i]);
        if (!e)
            return LT_GO_ON;
    }
    lt_sources_pause(&x->all);
    if (!x->f->follow)
        return 0;
    if (e->result == LT__V1__JOB_RESULT__REFUSED)
        return refused(x);
    warn_at_last(x);
    hint(x, e);
    return lt_job_exit_code(e->result, e->class_);
}

/* ---- streams */

static bool wants_watch(const struct following *x)
{
    return x->all.progress || !x->warned;
}

static void on_status(struct following *x, const Lt__V1__JobStatus *s)
{
    if (!x->warned) {
        if (s->n_problems)
            lt_sources_pause(&x->all);
        x->warned = lt_submit_warn(x->ctl, s);
    }
    if (!lt_sources_within_line(&x->all))
        lt_progress_update(x->all.progress, s);
}

static void read_watch(struct following *x)
{
    struct lt_rpc_status status = {0};
    ProtobufCMessage *m;
    int rc = -EAGAIN;

    while (x->watch && (rc = lt_client_stream_read(x->watch, 0, &m, &status)) == 1) {
        const Lt__V1__WatchResponse *r = (const Lt__V1__WatchResponse *)m;

        if (r->status)
            on_status(x, r->status);
    }
    if (x->watch && (rc != -EAGAIN || !wants_watch(x))) {
        lt_client_stream_close(x->watch); /* a lost connection is the logs' streams' affair */
        x->watch = NULL;
    }
    lt_rpc_status_done(&status);
}

static void open_watch(struct following *x)
{
    Lt__V1__WatchRequest w = LT__V1__WATCH_REQUEST__INIT;
    struct lt_rpc_status status = {0};

    w.job_id = (char *)x->f->job;
    lt_client_stream_open(x->ctl->client, "/lt.v1.Jobs/Watch", &w.base,
                          &lt__v1__watch_response__descriptor, 0, &x->watch, &status);
    lt_rpc_status_done(&status);
}

static void close_streams(struct following *x)
{
    for (size_t i = 0; i < x->n; i++)
        lt_source_close(x->sources[i]);
    lt_client_stream_close(x->watch);
    x->watch = NULL;
}

static int open_streams(struct following *x)
{
    int rc = LT_GO_ON;

    x->lost = false;
    for (size_t i = 0; i < x->n && rc == LT_GO_ON && !x->lost; i++)
        rc = lt_source_open(x->sources[i], &x->lost);
    if (rc == LT_GO_ON && !x->lost && wants_watch(x))
        open_watch(x);
    return rc;
}

static int read_streams(struct following *x)
{
    int rc = LT_GO_ON;

    lt_client_wait(x->ctl->client, SLICE_MS);
    read_watch(x); /* before what the job says */
    for (size_t i = 0; i < x->n && rc == LT_GO_ON; i++)
        rc = lt_source_read(x->sources[i], &x->lost);
    return rc == LT_GO_ON ? ended(x) : rc;
}

/* ---- the loop */

static int flush(struct following *x)
{
    int rc = LT_GO_ON;

    for (size_t i = 0; i < x->n && rc == LT_GO_ON; i++)
        rc = lt_source_flush(x->sources[i]);
    lt_sources_pause(&x->all);
    return rc;
}

static int cancel(struct following *x)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;
    Lt__V1__JobStatus *s;

    x->cancelled = true;
    q.job_id = (char *)x->f->job;
    lt_sources_pause(&x->all);
    lt_ctl_note("cancelling %s; Ctrl-C again leaves it alone", x->f->job);
    return lt_ctl_call(x->ctl, "Cancel", &q, &lt__v1__job_status__descriptor, &s) ? LT_EXIT_DETACHED
                                                                                  : LT_GO_ON;
}

static int on_interrupt(struct following *x)
{
    int rc;

    lt_interrupt_clear();
    if (x->f->cancel && !x->cancelled)
        return cancel(x);
    rc = flush(x);
    if (rc != LT_GO_ON)
        return rc;
    lt_ctl_note(
        "detached; the job goes on. `ltctl logs -f %s` comes back, `ltctl cancel %s` ends it",
        x->f->job, x->f->job);
    return LT_EXIT_DETACHED;
}

static int gone(struct following *x)
{
    int rc = flush(x);

    return rc != LT_GO_ON
               ? rc
               : lt_ctl_fail(x->ctl, LT_EXIT_UNREACHABLE,
                             "the daemon at %s is gone, the job may go on without it; start `ltd`, "
                             "then `ltctl logs -f %s`",
                             x->ctl->socket, x->f->job);
}

static int wait_for_daemon(struct following *x)
{
    const struct timespec pause = {0, LT_RECONNECT_PAUSE_MS * 1000000};

    close_streams(x);
    if (lt_lost_for_good(&x->all.lost, lt_clock_mono_ns()))
        return gone(x);
    nanosleep(&pause, NULL);
    return lt_ctl_reconnect(x->ctl) ? open_streams(x) : LT_GO_ON;
}

static int step(struct following *x)
{
    int rc = x->lost ? LT_GO_ON : read_streams(x);

    if (rc == LT_GO_ON && lt_interrupted())
        rc = on_interrupt(x);
    if (rc == LT_GO_ON && x->lost)
        rc = wait_for_daemon(x);
    return rc;
}

int lt_follow(struct lt_ctl *ctl, const struct lt_follow *f)
{
    struct following x = {.ctl = ctl,
                          .f = f,
                          .all = {.ctl = ctl,
                                  .job = f->job,
                                  .follow = f->follow,
                                  .has_tail = f->has_tail,
                                  .tail = f->tail},
                          .warned = !f->submitted};
    int rc = choose_ranks(&x);

    if (rc)
        return rc;
    x.all.progress = f->follow ? lt_progress_new() : NULL;
    if (f->follow)
        lt_interrupt_catch();
    rc = open_streams(&x);
    while (rc == LT_GO_ON)
        rc = step(&x);
    close_streams(&x);
    lt_progress_free(x.all.progress);
    for (size_t i = 0; i < x.n; i++)
        lt_source_free(x.sources[i]);
    lt_lines_paper_free(x.all.paper);
    return rc;
}
