/* watch.c - the Watch stream, opened again when it breaks */
#include "client/watch.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "client/ctl.h"
#include "client/lost.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define SLICE_MS 100 /* how late Ctrl-C may be noticed */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

void lt_interrupt_catch(void)
{
    struct sigaction a = {.sa_handler = on_interrupt};

    sigaction(SIGINT, &a, NULL);
}

bool lt_interrupted(void)
{
    return interrupted != 0;
}

void lt_interrupt_clear(void)
{
    interrupted = 0;
}

struct watch {
    struct lt_ctl *ctl;
    const char *job;
    uint64_t deadline; /* 0: none */
    struct lt_lost lost;
    lt_watch_fn *fn;
    void *arg;
};

enum { GO_ON = -1 };

/* GO_ON when the connection broke. */
static int read_all(struct watch *w, struct lt_client_stream *s, struct lt_rpc_status *status)
{
    for (;;) {
        ProtobufCMessage *m;
        int rc = lt_client_stream_read(s, SLICE_MS, &m, status);

        lt_lost_read(&w->lost, w->ctl->client, rc);
        if (rc == 1) {
            const Lt__V1__WatchResponse *r = (const Lt__V1__WatchResponse *)m;

            if (r->status && !w->fn(w->arg, r->status, r->end))
                return 0;
            if (r->end)
                return 0;
        } else if (rc != -EAGAIN) {
            return rc == 0 || status->code == LT_RPC_UNAVAILABLE
                       ? GO_ON
                       : lt_ctl_fail_status(w->ctl, status);
        }
        if (lt_interrupted())
            return LT_EXIT_DETACHED;
        if (w->deadline && lt_clock_mono_ns() > w->deadline)
            return LT_EXIT_TIMEOUT;
    }
}

static int once(struct watch *w)
{
    LT_AUTO(lt_client_stream_close) struct lt_client_stream *s = NULL;
    Lt__V1__WatchRequest q = LT__V1__WATCH_REQUEST__INIT;
    struct lt_rpc_status status = {0};
    int rc;

    q.job_id = (char *)w->job;
    rc = lt_client_stream_open(w->ctl->client, "/lt.v1.Jobs/Watch", &q.base,
                               &lt__v1__watch_response__descriptor, 0, &s, &status);
    if (rc == 0)
        rc = read_all(w, s, &status);
    else
        rc = status.code == LT_RPC_UNAVAILABLE ? GO_ON : lt_ctl_fail_status(w->ctl, &status);
    lt_rpc_status_done(&status);
    return rc;
}

int lt_watch(struct lt_ctl *ctl, const char *job, double seconds, lt_watch_fn *fn, void *arg)
{
    const struct timespec pause = {0, LT_RECONNECT_PAUSE_MS * 1000000};
    uint64_t now = lt_clock_mono_ns();
    struct watch w = {.ctl = ctl,
                      .job = job,
                      .fn = fn,
                      .arg = arg,
                      .deadline = seconds < 0 ? 0 : now + (uint64_t)(seconds * 1e9) + 1};
    int rc;

    while ((rc = once(&w)) == GO_ON) {
        now = lt_clock_mono_ns();
        if (lt_lost_for_good(&w.lost, now))
            return lt_ctl_fail(
                ctl, LT_EXIT_UNREACHABLE,
                "the daemon at %s is gone, the job may go on without it; `ltd` adopts it again",
                ctl->socket);
        if (w.deadline && now > w.deadline)
            return LT_EXIT_TIMEOUT;
        if (lt_interrupted())
            return LT_EXIT_DETACHED;
        nanosleep(&pause, NULL);
        lt_ctl_reconnect(ctl);
    }
    return rc;
}
