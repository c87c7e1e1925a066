/* follow.c - the Logs stream, and on a terminal the Watch stream beside it
 *
 * The cursor of the last message is where a broken stream goes on; positions per attempt and stream
 * are kept beside it, so that even a server which repeats a piece can't make us write a byte twice.
 */
#include "client/follow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/progress.h"
#include "client/status.h"
#include "client/submit.h"
#include "client/watch.h"
#include "proto/plan.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define SLICE_MS 100
#define GO_ON (-1)

struct position {
    uint32_t attempt;
    uint64_t next[2]; /* per stream */
    bool seen[2];
};

struct following {
    struct lt_ctl *ctl;
    const struct lt_follow *f;
    struct lt_client_stream *logs, *watch;
    struct lt_progress *progress;
    struct lt_buf cursor;
    struct position *positions;
    size_t n, cap;
    uint64_t give_up;
    bool cancelled;
};

static struct position *position_of(struct following *x, uint32_t attempt)
{
    for (size_t i = 0; i < x->n; i++) {
        if (x->positions[i].attempt == attempt)
            return &x->positions[i];
    }
    LT_GROW(x->positions, x->n, x->cap);
    x->positions[x->n] = (struct position){.attempt = attempt};
    return &x->positions[x->n++];
}

static int write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, data, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        data += w;
        n -= (size_t)w;
    }
    return 0;
}

static int on_chunk(struct following *x, const Lt__V1__LogChunk *c)
{
    unsigned stream = c->stream == LT__V1__LOG_STREAM__ERR;
    struct position *p = position_of(x, c->attempt);
    size_t skip = 0;
    int rc;

    if (p->seen[stream] && c->offset < p->next[stream])
        skip = LT_MIN((size_t)(p->next[stream] - c->offset), c->data.len);
    if (skip < c->data.len)
        lt_progress_hide(x->progress);
    rc = write_all(stream ? 2 : 1, c->data.data + skip, c->data.len - skip);
    if (rc < 0)
        return lt_ctl_fail(x->ctl, LT_EXIT_ERROR, "writing the output: %s", strerror(-rc));
    p->seen[stream] = true;
    p->next[stream] = c->offset + c->data.len;
    return GO_ON;
}

static void hint(struct following *x, Lt__V1__JobResult result, Lt__V1__FailureClass class,
                 const char *reason)
{
    if (result == LT__V1__JOB_RESULT__SUCCEEDED || result == LT__V1__JOB_RESULT__RESULT_NONE)
        return;
    lt_ctl_fail(x->ctl, 0, "job %s: %s%s%s%s%s; `ltctl events %s` tells its story", x->f->job,
                lt_job_result_name(result), class ? ", class " : "",
                class ? lt_failure_class_name(class) : "", reason && reason[0] ? ": " : "",
                reason ? reason : "", x->f->job);
}

static int refused(struct following *x)
{
    Lt__V1__JobStatus *s = NULL;
    int rc = lt_ctl_get(x->ctl, x->f->job, &s);

    return rc ? rc : lt_submit_refused(x->ctl, s);
}

static int on_end(struct following *x, const Lt__V1__End *e)
{
    lt_progress_hide(x->progress);
    if (!x->f->follow)
        return 0;
    if (e->result == LT__V1__JOB_RESULT__REFUSED)
        return refused(x);
    hint(x, e->result, e->class_, e->reason);
    return lt_job_exit_code(e->result, e->class_);
}

static int on_frame(struct following *x, const Lt__V1__LogsResponse *r)
{
    int rc = GO_ON;

    switch (r->frame_case) {
    case LT__V1__LOGS_RESPONSE__FRAME_CHUNK:
        rc = on_chunk(x, r->chunk);
        break;
    case LT__V1__LOGS_RESPONSE__FRAME_END:
        rc = on_end(x, r->end);
        break;
    case LT__V1__LOGS_RESPONSE__FRAME_GAP:
        lt_progress_hide(x->progress);
        lt_ctl_fail(x->ctl, 0, "%llu bytes are no longer there",
                    (unsigned long long)r->gap->missing);
        break;
    case LT__V1__LOGS_RESPONSE__FRAME_REWOUND:
        lt_progress_hide(x->progress);
        if (x->progress && !r->rewound->has_to_step)
            lt_ctl_note("the job begins again in a new attempt");
        else if (x->progress)
            lt_ctl_note("the job goes on from step %llu in a new attempt",
                        (unsigned long long)r->rewound->to_step);
        break;
    default:
        break;
    }
    if (r->has_cursor) {
        lt_buf_done(&x->cursor);
        lt_buf_append(&x->cursor, r->cursor.data, r->cursor.len);
    }
    return rc;
}

/* Everything that is there. GO_ON, or what ends the call; *broken: the connection is lost. */
static int read_logs(struct following *x, bool *broken)
{
    struct lt_rpc_status status = {0};
    ProtobufCMessage *m;
    int rc, result = GO_ON;

    while ((rc = lt_client_stream_read(x->logs, 0, &m, &status)) == 1) {
        x->give_up = lt_clock_mono_ns() + LT_RECONNECT_NS;
        result = on_frame(x, (const Lt__V1__LogsResponse *)m);
        if (result != GO_ON)
            break;
    }
    *broken = rc == 0 || status.code == LT_RPC_UNAVAILABLE;
    if (rc < 0 && rc != -EAGAIN && !*broken)
        result = lt_ctl_fail_status(x->ctl, &status);
    lt_rpc_status_done(&status);
    return result;
}

static void read_watch(struct following *x)
{
    struct lt_rpc_status status = {0};
    ProtobufCMessage *m;
    int rc = -EAGAIN;

    while (x->watch && (rc = lt_client_stream_read(x->watch, 0, &m, &status)) == 1) {
        const Lt__V1__WatchResponse *r = (const Lt__V1__WatchResponse *)m;

        if (r->status)
            lt_progress_update(x->progress, r->status);
    }
    if (x->watch && rc != -EAGAIN) { /* the logs' stream decides what a lost connection means */
        lt_client_stream_close(x->watch);
        x->watch = NULL;
    }
    lt_rpc_status_done(&status);
}

static void close_streams(struct following *x)
{
    lt_client_stream_close(x->logs);
    lt_client_stream_close(x->watch);
    x->logs = x->watch = NULL;
}

static int open_logs(struct following *x, struct lt_rpc_status *status)
{
    Lt__V1__LogsRequest q = LT__V1__LOGS_REQUEST__INIT;

    q.job_id = (char *)x->f->job;
    q.has_follow = q.has_rank = true;
    q.follow = x->f->follow;
    q.rank = x->f->rank;
    q.has_cursor = x->cursor.len > 0;
    q.cursor.data = (uint8_t *)x->cursor.data;
    q.cursor.len = x->cursor.len;
    q.has_tail = x->f->has_tail && !q.has_cursor;
    q.tail = x->f->tail;
    return lt_client_stream_open(x->ctl->client, "/lt.v1.Jobs/Logs", &q.base,
                                 &lt__v1__logs_response__descriptor, 0, &x->logs, status);
}

/* GO_ON: open, or to be tried again. */
static int open_streams(struct following *x)
{
    Lt__V1__WatchRequest w = LT__V1__WATCH_REQUEST__INIT;
    struct lt_rpc_status status = {0};
    int rc = open_logs(x, &status), result = GO_ON;

    if (rc < 0 && status.code != LT_RPC_UNAVAILABLE)
        result = lt_ctl_fail_status(x->ctl, &status);
    lt_rpc_status_done(&status);
    w.job_id = (char *)x->f->job;
    if (rc == 0 && x->progress && x->f->follow)
        lt_client_stream_open(x->ctl->client, "/lt.v1.Jobs/Watch", &w.base,
                              &lt__v1__watch_response__descriptor, 0, &x->watch, &status);
    lt_rpc_status_done(&status);
    return result;
}

static int on_interrupt(struct following *x)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;
    Lt__V1__JobStatus *s;

    lt_interrupt_clear();
    lt_progress_hide(x->progress);
    if (x->f->cancel && !x->cancelled) {
        x->cancelled = true;
        q.job_id = (char *)x->f->job;
        lt_ctl_note("cancelling %s; Ctrl-C again leaves it alone", x->f->job);
        return lt_ctl_call(x->ctl, "Cancel", &q, &lt__v1__job_status__descriptor, &s)
                   ? LT_EXIT_DETACHED
                   : GO_ON;
    }
    lt_ctl_note(
        "detached; the job goes on. `ltctl logs -f %s` comes back, `ltctl cancel %s` ends it",
        x->f->job, x->f->job);
    return LT_EXIT_DETACHED;
}

static int wait_for_daemon(struct following *x)
{
    const struct timespec pause = {0, LT_RECONNECT_PAUSE_MS * 1000000};

    close_streams(x);
    if (lt_clock_mono_ns() > x->give_up) {
        lt_progress_hide(x->progress);
        return lt_ctl_fail(x->ctl, LT_EXIT_UNREACHABLE,
                           "the daemon at %s is gone, the job may go on without it; start `ltd`, "
                           "then `ltctl logs -f %s`",
                           x->ctl->socket, x->f->job);
    }
    nanosleep(&pause, NULL);
    lt_ctl_reconnect(x->ctl);
    return GO_ON;
}

static int step(struct following *x)
{
    bool broken = false;
    int rc = x->logs ? GO_ON : open_streams(x);

    if (rc != GO_ON)
        return rc;
    if (x->logs) {
        lt_client_wait(x->ctl->client, SLICE_MS);
        rc = read_logs(x, &broken);
        if (rc != GO_ON)
            return rc;
        read_watch(x);
    }
    if (lt_interrupted())
        rc = on_interrupt(x);
    if (rc == GO_ON && (broken || !x->logs))
        rc = wait_for_daemon(x);
    return rc;
}

int lt_follow(struct lt_ctl *ctl, const struct lt_follow *f)
{
    struct following x = {.ctl = ctl, .f = f, .give_up = lt_clock_mono_ns() + LT_RECONNECT_NS};
    int rc;

    x.progress = f->follow ? lt_progress_new() : NULL;
    if (f->follow)
        lt_interrupt_catch();
    do
        rc = step(&x);
    while (rc == GO_ON);
    close_streams(&x);
    lt_progress_free(x.progress);
    lt_buf_done(&x.cursor);
    lt_free(x.positions);
    return rc;
}
