/* session.c - one bidirectional call after another on one channel
 *
 *   WAITING --timer--> CALLING --headers--> OPEN --status--> WAITING …
 *
 * A call waits until the channel is ready, so the channel's own back-off (200 ms to 5 s) covers an
 * absent server; the timer here covers a server that ends our calls. An object in CLOSING is freed
 * when no batch is in flight and the timer's handle is gone.
 */
#include "rpc/session.h"

#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "rpc/bytes.h"
#include "rpc/internal.h"
#include "sys/log.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000

enum state { WAITING, CALLING, OPEN, CLOSING };

struct lt_rpc_session {
    struct lt_rpc_session_config config;
    enum state state;
    grpc_channel *channel;
    uv_timer_t timer;
    bool timer_gone;
    unsigned retry_ms;
    unsigned pending; /* batches in flight */
    grpc_call *call;
    grpc_metadata_array headers, trailers;
    grpc_status_code code;
    grpc_slice text;
    grpc_byte_buffer *received;
    struct lt_rpc_op on_headers, on_end, on_read, on_write;
    struct lt_outbox outbox;
    bool writing, starved, ended;
    void (*done)(void *arg);
    void *arg;
};

static void start(struct lt_rpc_session *s, const grpc_op *ops, size_t n, struct lt_rpc_op *op)
{
    s->pending++;
    lt_rpc_batch(s->call, ops, n, op);
}

static void call_free(struct lt_rpc_session *s)
{
    if (!s->call)
        return;
    grpc_metadata_array_destroy(&s->headers);
    grpc_metadata_array_destroy(&s->trailers);
    grpc_slice_unref(s->text);
    grpc_call_unref(s->call);
    s->call = NULL;
    lt_outbox_drop(&s->outbox);
}

static void free_when_over(struct lt_rpc_session *s)
{
    if (s->state != CLOSING || s->pending > 0 || !s->timer_gone)
        return;
    call_free(s);
    grpc_channel_destroy(s->channel);
    if (s->done)
        s->done(s->arg);
    lt_free((char *)s->config.target);
    lt_free((char *)s->config.method);
    lt_free(s);
}

/* ---- sending ---- */

static void pump(struct lt_rpc_session *s)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    size_t n;
    grpc_byte_buffer *b;

    if (s->writing || s->ended || !(b = lt_outbox_take(&s->outbox, &n)))
        return;
    op.data.send_message.send_message = b;
    s->writing = true;
    start(s, &op, 1, &s->on_write);
    grpc_byte_buffer_destroy(b);
}

int lt_rpc_session_send(struct lt_rpc_session *s, const ProtobufCMessage *m)
{
    if (s->state != OPEN || s->ended)
        return -ENOTCONN;
    if (s->outbox.bytes >= LT_SESSION_OUTBOX) {
        s->starved = true;
        return -EAGAIN;
    }
    lt_outbox_put(&s->outbox, m);
    pump(s);
    return 0;
}

/* ---- the call's end, and the next one ---- */

static void call_begin(struct lt_rpc_session *s);

static void retry(uv_timer_t *t)
{
    struct lt_rpc_session *s = t->data;

    if (s->state == WAITING)
        call_begin(s);
}

/* Every batch of the call is back. */
static void call_over(struct lt_rpc_session *s)
{
    bool was_open = s->state == OPEN;
    struct lt_rpc_status why = {0};

    if (s->state == CLOSING) {
        free_when_over(s);
        return;
    }
    lt_rpc_status_take(&why, s->code, s->text, &s->trailers);
    call_free(s);
    s->state = WAITING;
    s->starved = false;
    uv_timer_start(&s->timer, retry, s->retry_ms, 0);
    s->retry_ms = LT_MIN(s->retry_ms * 2, (unsigned)RETRY_MAX_MS);
    if (was_open)
        s->config.closed(s->config.arg, &why);
    else
        lt_debug("session with %s: %s: %s", s->config.target, lt_rpc_code_name(why.code), why.text);
    lt_rpc_status_done(&why);
}

static void batch_back(struct lt_rpc_session *s)
{
    s->pending--;
    if (s->pending == 0 && s->ended)
        call_over(s);
}

static void on_end(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_session *s = LT_CONTAINER_OF(op, struct lt_rpc_session, on_end);

    (void)ok;
    s->ended = true;
    batch_back(s);
}

static void on_write(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_session *s = LT_CONTAINER_OF(op, struct lt_rpc_session, on_write);

    s->writing = false;
    if (ok)
        pump(s);
    else
        lt_outbox_drop(&s->outbox);
    if (s->state == OPEN && s->starved && !s->ended && s->outbox.bytes <= LT_SESSION_OUTBOX / 2) {
        s->starved = false;
        if (s->config.writable)
            s->config.writable(s->config.arg);
    }
    if (s->state == CLOSING && !s->writing && !s->ended)
        grpc_call_cancel(s->call, NULL);
    batch_back(s);
}

/* ---- receiving ---- */

static void read_next(struct lt_rpc_session *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->received};

    start(s, &op, 1, &s->on_read);
}

static void take_message(struct lt_rpc_session *s, grpc_byte_buffer *b)
{
    LT_AUTO(lt_arena_free)
    struct lt_arena *arena = lt_arena_new(lt_bytes_arena_cap(lt_bytes_len(b)));
    struct lt_error err = {0};
    ProtobufCMessage *m;

    if (lt_bytes_decode(s->config.in, b, arena, &m, &err) < 0) {
        lt_warning("session with %s: a message can't be decoded: %s", s->config.target, err.text);
        grpc_call_cancel(s->call, NULL);
        return;
    }
    s->retry_ms = RETRY_MIN_MS;
    s->config.message(s->config.arg, m);
}

static void on_read(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_session *s = LT_CONTAINER_OF(op, struct lt_rpc_session, on_read);
    grpc_byte_buffer *b = s->received;

    s->received = NULL;
    if (ok && b && s->state == OPEN) {
        take_message(s, b);
        if (s->state == OPEN)
            read_next(s);
    } else if (!b && s->state == OPEN && !s->ended) {
        grpc_call_cancel(s->call, NULL); /* the server is done with us; let the status come */
    }
    if (b)
        grpc_byte_buffer_destroy(b);
    batch_back(s);
}

static void on_headers(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_session *s = LT_CONTAINER_OF(op, struct lt_rpc_session, on_headers);

    if (ok && s->state == CALLING && !s->ended) {
        s->state = OPEN;
        read_next(s);
        s->config.opened(s->config.arg);
    }
    batch_back(s);
}

static void call_begin(struct lt_rpc_session *s)
{
    grpc_op ops[2] = {{0}}, end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    grpc_slice path = grpc_slice_from_copied_string(
        s->config.method); /* the connection may keep it longer than we live */

    s->state = CALLING;
    s->ended = s->writing = false;
    grpc_metadata_array_init(&s->headers);
    grpc_metadata_array_init(&s->trailers);
    s->text = grpc_empty_slice();
    s->call = grpc_channel_create_call(s->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                       lt_rpc_loop_queue(s->config.loop),
                                       path, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice_unref(path);
    end.data.recv_status_on_client.trailing_metadata = &s->trailers;
    end.data.recv_status_on_client.status = &s->code;
    end.data.recv_status_on_client.status_details = &s->text;
    start(s, &end, 1, &s->on_end);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags =
        GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &s->headers;
    start(s, ops, 2, &s->on_headers);
}

int lt_rpc_session_open(const struct lt_rpc_session_config *config, struct lt_rpc_session **out,
                    struct lt_error *err)
{
    struct lt_rpc_session *s = lt_calloc(1, sizeof *s);
    int rc = uv_timer_init(lt_rpc_loop_uv(config->loop), &s->timer);

    if (rc < 0) {
        lt_free(s);
        return lt_error_set(err, rc, "event loop: %s", uv_strerror(rc));
    }
    s->timer.data = s;
    s->config = *config;
    s->config.target = lt_strdup(config->target);
    s->config.method = lt_strdup(config->method);
    s->retry_ms = RETRY_MIN_MS;
    s->on_headers.fn = on_headers;
    s->on_end.fn = on_end;
    s->on_read.fn = on_read;
    s->on_write.fn = on_write;
    lt_outbox_init(&s->outbox);
    s->channel = lt_rpc_channel(s->config.target);
    uv_timer_start(&s->timer, retry, 0, 0);
    *out = s;
    return 0;
}

static void timer_closed(uv_handle_t *h)
{
    struct lt_rpc_session *s = h->data;

    s->timer_gone = true;
    free_when_over(s);
}

void lt_rpc_session_close(struct lt_rpc_session *s, void (*done)(void *arg), void *arg)
{
    s->done = done;
    s->arg = arg;
    s->state = CLOSING;
    uv_close((uv_handle_t *)&s->timer, timer_closed);
    if (s->call && !s->writing && !s->ended)
        grpc_call_cancel(s->call, NULL);
}
