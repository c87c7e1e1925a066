/* stream.c - one loop for all streams with a cursor */
#include "client/stream.h"

#include <errno.h>
#include <time.h>

#include "base/buf.h"
#include "client/ctl.h"
#include "client/lost.h"
#include "client/watch.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define SLICE_MS 100
#define GO_ON (-1)

struct reading {
    struct lt_ctl *ctl;
    const struct lt_stream *s;
    struct lt_buf cursor;
    struct lt_lost lost;
};

/* Exit code, or GO_ON when the connection broke. */
static int read_all(struct reading *r, struct lt_client_stream *stream,
                    struct lt_rpc_status *status)
{
    for (;;) {
        ProtobufCBinaryData cursor = {0, NULL};
        ProtobufCMessage *m;
        int rc = lt_client_stream_read(stream, SLICE_MS, &m, status);

        lt_lost_read(&r->lost, r->ctl->client, rc);
        if (rc == 1) {
            rc = r->s->reply(r->s->arg, m, &cursor);
            if (cursor.len) {
                lt_buf_done(&r->cursor);
                lt_buf_append(&r->cursor, cursor.data, cursor.len);
            }
            if (rc != 0)
                return rc < 0 ? -rc : 0;
        } else if (rc == 0) {
            return r->s->follow ? GO_ON : 0;
        } else if (rc != -EAGAIN) {
            return status->code == LT_RPC_UNAVAILABLE && r->s->follow
                       ? GO_ON
                       : lt_ctl_fail_status(r->ctl, status);
        }
        if (lt_interrupted())
            return LT_EXIT_DETACHED;
    }
}

static int once(struct reading *r)
{
    LT_AUTO(lt_client_stream_close) struct lt_client_stream *stream = NULL;
    const ProtobufCBinaryData cursor = {r->cursor.len, (uint8_t *)r->cursor.data};
    struct lt_rpc_status status = {0};
    int rc = lt_client_stream_open(r->ctl->client, r->s->method, r->s->request(r->s->arg, cursor),
                                   r->s->out, 0, &stream, &status);

    if (rc == 0)
        rc = read_all(r, stream, &status);
    else
        rc = status.code == LT_RPC_UNAVAILABLE && r->s->follow
                 ? GO_ON
                 : lt_ctl_fail_status(r->ctl, &status);
    lt_rpc_status_done(&status);
    return rc;
}

int lt_stream_run(struct lt_ctl *ctl, const struct lt_stream *s)
{
    const struct timespec pause = {0, LT_RECONNECT_PAUSE_MS * 1000000};
    struct reading r = {.ctl = ctl, .s = s};
    int rc;

    if (s->follow)
        lt_interrupt_catch();
    while ((rc = once(&r)) == GO_ON) {
        if (lt_interrupted())
            rc = LT_EXIT_DETACHED;
        else if (lt_lost_for_good(&r.lost, lt_clock_mono_ns()))
            rc = lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE,
                             "the daemon at %s is gone; start `ltd` and ask again", ctl->socket);
        if (rc != GO_ON)
            break;
        nanosleep(&pause, NULL);
        lt_ctl_reconnect(ctl);
    }
    lt_buf_done(&r.cursor);
    return rc;
}
