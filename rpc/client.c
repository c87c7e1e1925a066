/* client.c - blocking calls: every wait dispatches completions to the object that each belongs to
 *
 * A tag is a struct op {waiting, ok}; several streams share the queue, so whoever waits for its own
 * op also marks those of the others. A stream keeps one RECV_MESSAGE in flight, started as soon as
 * the last message was taken, so that lt_client_wait() can say which stream has something.
 */
#include "rpc/client.h"

#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "rpc/bytes.h"
#include "rpc/internal.h"

struct op {
    bool waiting; /* in flight */
    bool ok;
};

struct lt_client {
    grpc_channel *channel;
    grpc_completion_queue *cq;
    struct lt_client_stream *streams;
    grpc_metadata token; /* authorization */
    size_t n_metadata;   /* 1 with a token, else 0 */
};

/* Any call; a unary one is a stream that is opened and closed inside lt_client_call(). */
struct lt_client_stream {
    struct lt_client *client;
    struct lt_client_stream *next;
    const ProtobufCMessageDescriptor *out;
    grpc_call *call;
    grpc_metadata_array headers, trailers;
    grpc_status_code code;
    grpc_slice text;
    const char *core_error;
    grpc_byte_buffer *received;
    struct lt_arena *arena; /* the message last read */
    struct op start, read, write, end;
};

static gpr_timespec in_ms(int64_t ms)
{
    if (ms < 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

/* One completion, whoever's it is. false: none until then. */
static bool dispatch(struct lt_client *c, gpr_timespec until)
{
    grpc_event ev = grpc_completion_queue_next(c->cq, until, NULL);
    struct op *op = ev.tag;

    if (ev.type != GRPC_OP_COMPLETE)
        return false;
    op->waiting = false;
    op->ok = ev.success;
    return true;
}

static void wait_for(struct lt_client *c, const struct op *op)
{
    while (op->waiting)
        dispatch(c, gpr_inf_future(GPR_CLOCK_MONOTONIC));
}

static void start(struct lt_client_stream *s, const grpc_op *ops, size_t n, struct op *op)
{
    op->waiting = true;
    lt_rpc_batch(s->call, ops, n, op);
}

int lt_client_open(const char *target, struct lt_client **out, struct lt_error *err)
{
    struct lt_client *c = lt_calloc(1, sizeof *c);

    lt_rpc_log_init();
    grpc_init();
    c->cq = grpc_completion_queue_create_for_next(NULL);
    c->channel = lt_rpc_channel(target);
    if (!c->channel) {
        lt_client_close(c);
        return lt_error_set(err, -EINVAL, "%s: not a target (unix:/path or host:port)", target);
    }
    *out = c;
    return 0;
}

static void drop_token(struct lt_client *c)
{
    if (c->n_metadata) {
        grpc_slice_unref(c->token.key);
        grpc_slice_unref(c->token.value);
    }
    c->n_metadata = 0;
}

void lt_client_set_token(struct lt_client *c, const char *token)
{
    LT_AUTO(lt_free) char *value = lt_format("Bearer %s", token);

    drop_token(c);
    c->token.key = grpc_slice_from_copied_string("authorization");
    c->token.value = grpc_slice_from_copied_string(value);
    c->n_metadata = 1;
}

bool lt_client_connected(const struct lt_client *c)
{
    return grpc_channel_check_connectivity_state(c->channel, 0) == GRPC_CHANNEL_READY;
}

static void send_metadata(const struct lt_client_stream *s, grpc_op *op)
{
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    op->data.send_initial_metadata.count = s->client->n_metadata;
    op->data.send_initial_metadata.metadata = &s->client->token;
}

void lt_client_close(struct lt_client *c)
{
    if (!c)
        return;
    while (c->streams)
        lt_client_stream_close(c->streams);
    drop_token(c);
    if (c->channel)
        grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->cq);
    while (grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(c->cq);
    grpc_shutdown();
    lt_free(c);
}

static struct lt_client_stream *stream_new(struct lt_client *c, const char *method,
                                           const ProtobufCMessageDescriptor *out,
                                           unsigned timeout_ms)
{
    struct lt_client_stream *s = lt_calloc(1, sizeof *s);
    grpc_slice path = grpc_slice_from_copied_string(method); /* header compression keeps it beyond the call */
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};

    s->client = c;
    s->out = out;
    s->next = c->streams;
    c->streams = s;
    grpc_metadata_array_init(&s->headers);
    grpc_metadata_array_init(&s->trailers);
    s->text = grpc_empty_slice();
    s->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->cq,
                                       path, NULL, in_ms(timeout_ms ? (int64_t)timeout_ms : -1), NULL);
    grpc_slice_unref(path);
    op.data.recv_status_on_client.trailing_metadata = &s->trailers;
    op.data.recv_status_on_client.status = &s->code;
    op.data.recv_status_on_client.status_details = &s->text;
    op.data.recv_status_on_client.error_string = &s->core_error;
    start(s, &op, 1, &s->end);
    return s;
}

/* Headers both ways, and the one request when there is one. */
static void stream_begin(struct lt_client_stream *s, const ProtobufCMessage *request)
{
    grpc_op ops[4] = {{0}};
    size_t n = 0, len;
    grpc_byte_buffer *b = NULL;

    send_metadata(s, &ops[n++]);
    if (request) {
        b = lt_bytes_encode(request, &len);
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = b;
        ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    }
    ops[n].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[n++].data.recv_initial_metadata.recv_initial_metadata = &s->headers;
    start(s, ops, n, &s->start);
    if (b)
        grpc_byte_buffer_destroy(b);
}

static void read_start(struct lt_client_stream *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->received};

    start(s, &op, 1, &s->read);
}

static int stream_status(struct lt_client_stream *s, struct lt_rpc_status *status)
{
    wait_for(s->client, &s->end);
    lt_rpc_status_take(status, s->code, s->text, &s->trailers);
    return lt_rpc_code_errno(status->code);
}

/* Decodes what the last read brought into arena. */
static int take_received(struct lt_client_stream *s, struct lt_arena *arena,
                         ProtobufCMessage **message, struct lt_rpc_status *status)
{
    grpc_byte_buffer *b = s->received;
    struct lt_error err = {0};
    int rc;

    s->received = NULL;
    rc = lt_bytes_decode(s->out, b, arena, message, &err);
    grpc_byte_buffer_destroy(b);
    if (rc < 0) {
        lt_rpc_status_done(status);
        status->code = LT_RPC_INTERNAL;
        snprintf(status->text, sizeof status->text, "the reply can't be decoded: %s", err.text);
    }
    return rc;
}

/* The only reply of a unary call or an upload. */
static int take_reply(struct lt_client_stream *s, struct lt_arena *arena, ProtobufCMessage **reply,
                      struct lt_rpc_status *status)
{
    int rc;

    wait_for(s->client, &s->read);
    rc = stream_status(s, status);
    if (rc < 0)
        return rc;
    if (!s->received) {
        status->code = LT_RPC_INTERNAL;
        snprintf(status->text, sizeof status->text, "the reply is missing");
        return lt_rpc_code_errno(status->code);
    }
    return take_received(s, arena, reply, status);
}

int lt_client_call(struct lt_client *c, const char *method, const ProtobufCMessage *request,
                   const ProtobufCMessageDescriptor *out, unsigned timeout_ms,
                   struct lt_arena *arena, ProtobufCMessage **reply, struct lt_rpc_status *status)
{
    struct lt_client_stream *s = stream_new(c, method, out, timeout_ms);
    int rc;

    stream_begin(s, request);
    read_start(s);
    rc = take_reply(s, arena, reply, status);
    lt_client_stream_close(s);
    return rc;
}

int lt_client_stream_open(struct lt_client *c, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *out, unsigned timeout_ms,
                          struct lt_client_stream **stream, struct lt_rpc_status *status)
{
    struct lt_client_stream *s = stream_new(c, method, out, timeout_ms);

    lt_rpc_status_done(status);
    stream_begin(s, request);
    read_start(s);
    *stream = s;
    return 0;
}

int lt_client_stream_read(struct lt_client_stream *s, int wait_ms, ProtobufCMessage **message,
                          struct lt_rpc_status *status)
{
    gpr_timespec until = in_ms(wait_ms);
    int rc;

    while (s->read.waiting)
        if (!dispatch(s->client, until))
            return -EAGAIN;
    if (!s->received)
        return stream_status(s, status);
    lt_arena_free(s->arena);
    s->arena = lt_arena_new(0);
    rc = take_received(s, s->arena, message, status);
    if (rc < 0) {
        grpc_call_cancel(s->call, NULL);
        return rc;
    }
    read_start(s);
    return 1;
}

int lt_client_wait(struct lt_client *c, int wait_ms)
{
    gpr_timespec until = in_ms(wait_ms);

    for (;;) {
        for (struct lt_client_stream *s = c->streams; s; s = s->next)
            if (!s->read.waiting)
                return 1;
        if (!dispatch(c, until))
            return 0;
    }
}

int lt_client_upload_open(struct lt_client *c, const char *method,
                          const ProtobufCMessageDescriptor *out, unsigned timeout_ms,
                          struct lt_client_stream **stream, struct lt_rpc_status *status)
{
    struct lt_client_stream *s = stream_new(c, method, out, timeout_ms);
    grpc_op op = {0};
    grpc_op in = {.op = GRPC_OP_RECV_INITIAL_METADATA,
                  .data.recv_initial_metadata.recv_initial_metadata = &s->headers};

    lt_rpc_status_done(status);
    send_metadata(s, &op);
    start(s, &op, 1, &s->write);
    start(s, &in, 1, &s->start);
    read_start(s);
    *stream = s;
    return 0;
}

int lt_client_upload_write(struct lt_client_stream *s, const ProtobufCMessage *m)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    size_t len;

    wait_for(s->client, &s->write);
    if (!s->write.ok || !s->end.waiting)
        return -EPIPE;
    op.data.send_message.send_message = lt_bytes_encode(m, &len);
    start(s, &op, 1, &s->write);
    grpc_byte_buffer_destroy(op.data.send_message.send_message);
    wait_for(s->client, &s->write);
    return s->write.ok ? 0 : -EPIPE;
}

int lt_client_upload_finish(struct lt_client_stream *s, struct lt_arena *arena,
                            ProtobufCMessage **reply, struct lt_rpc_status *status)
{
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};

    wait_for(s->client, &s->write);
    start(s, &op, 1, &s->write);
    return take_reply(s, arena, reply, status);
}

static void unlink_stream(struct lt_client_stream *s)
{
    struct lt_client_stream **p = &s->client->streams;

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
}

void lt_client_stream_close(struct lt_client_stream *s)
{
    if (!s)
        return;
    if (s->end.waiting)
        grpc_call_cancel(s->call, NULL);
    wait_for(s->client, &s->start);
    wait_for(s->client, &s->read);
    wait_for(s->client, &s->write);
    wait_for(s->client, &s->end);
    unlink_stream(s);
    if (s->received)
        grpc_byte_buffer_destroy(s->received);
    grpc_metadata_array_destroy(&s->headers);
    grpc_metadata_array_destroy(&s->trailers);
    grpc_slice_unref(s->text);
    gpr_free((void *)s->core_error);
    grpc_call_unref(s->call);
    lt_arena_free(s->arena);
    lt_free(s);
}
