/* call.c - one call on the server: request, outbox, end
 *
 * Batches in flight are counted; the call is freed when none is left and the close op has fired. At
 * most one SEND_MESSAGE and one RECV_MESSAGE are in flight at a time (the core allows no more). The
 * handler is told `closed` exactly once: at a cancel as soon as it is known, else behind the last
 * batch.
 */
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "rpc/bytes.h"
#include "rpc/call.h"
#include "sys/clock.h"
#include "sys/log.h"

#define REQUEST_MAX (64u << 10)
#define EARLY_ARENA (64u << 10)

void lt_rpc_call_start(struct lt_rpc_call *c, const grpc_op *ops, size_t n, struct lt_rpc_op *op)
{
    c->pending++;
    lt_rpc_batch(c->core, ops, n, op);
}

static bool one_request(const struct lt_rpc_call *c)
{
    return c->method->kind == LT_RPC_UNARY || c->method->kind == LT_RPC_SERVER_STREAM;
}

static void tell_closed(struct lt_rpc_call *c, bool cancelled)
{
    if (c->told)
        return;
    c->told = true;
    if (c->requested && c->method->closed)
        c->method->closed(c, cancelled);
}

static void free_call(struct lt_rpc_call *c)
{
    lt_rpc_call_drop_outbox(c);
    grpc_call_details_destroy(&c->details);
    grpc_metadata_array_destroy(&c->metadata);
    if (c->core)
        grpc_call_unref(c->core);
    lt_rpc_status_done(&c->status);
    lt_buf_done(&c->status_details);
    lt_arena_free(c->arena);
    lt_free(c);
}

static void unlink_call(struct lt_rpc_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->next = NULL;
    c->link = &c->next; /* in a list of its own: once more changes nothing */
}

void lt_rpc_call_free_when_over(struct lt_rpc_call *c)
{
    struct lt_rpc_server *s = c->server;

    if (c->pending > 0 || !c->closed)
        return;
    tell_closed(c, c->cancelled != 0);
    unlink_call(c);
    s->open--;
    s->last_call_ns = lt_clock_mono_ns();
    free_call(c);
    lt_rpc_server_unref(s);
}

/* ---- requests ---- */

static void read_next(struct lt_rpc_call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->received};

    if (c->reading || c->paused || c->held || c->closed || c->finishing)
        return;
    c->reading = true;
    lt_rpc_call_start(c, &op, 1, &c->on_read);
}

static void take_end(struct lt_rpc_call *c)
{
    if (one_request(c)) {
        if (!c->requested)
            lt_rpc_finish(c, LT_RPC_INTERNAL, "the request's message is missing");
    } else if (!c->closed) {
        c->requested = true;
        c->method->msg(c, NULL);
    }
}

static void take_message(struct lt_rpc_call *c, grpc_byte_buffer *b)
{
    size_t n = lt_bytes_len(b), max = c->method->max_request ? c->method->max_request : REQUEST_MAX;
    LT_AUTO(lt_arena_free) struct lt_arena *arena = NULL;
    struct lt_error err = {0};
    ProtobufCMessage *m;
    int rc;

    if (n > max) {
        lt_rpc_finish(c, LT_RPC_RESOURCE_EXHAUSTED,
                      "the message has %zu bytes, at most %zu are taken", n, max);
        return;
    }
    arena = lt_arena_new(lt_bytes_arena_cap(n));
    rc = lt_bytes_decode(c->method->in, b, arena, &m, &err);
    if (rc < 0) {
        lt_rpc_finish(c, lt_rpc_code_of_errno(rc), "the message can't be decoded: %s", err.text);
        return;
    }
    c->requested = true;
    if (one_request(c)) {
        lt_arena_free(c->arena);
        c->arena = LT_TAKE(arena);
    }
    c->method->msg(c, m);
}

static void received(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_call *c = LT_CONTAINER_OF(op, struct lt_rpc_call, on_read);
    grpc_byte_buffer *b = c->received;

    c->pending--;
    c->reading = false;
    c->received = NULL;
    if (!c->told && !c->finishing) {
        if (ok && b) {
            take_message(c, b);
            if (!one_request(c))
                read_next(c);
        } else {
            take_end(c);
        }
    }
    if (b)
        grpc_byte_buffer_destroy(b);
    lt_rpc_call_free_when_over(c);
}

void lt_rpc_pause(struct lt_rpc_call *c)
{
    c->paused = true;
}

void lt_rpc_resume(struct lt_rpc_call *c)
{
    c->paused = false;
    read_next(c);
}

/* ---- begin and end ---- */

static void ended(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_call *c = LT_CONTAINER_OF(op, struct lt_rpc_call, on_close);

    (void)ok;
    c->pending--;
    c->closed = true;
    if (c->cancelled) {
        tell_closed(c, true);
        lt_rpc_call_drop_outbox(c);
    }
    lt_rpc_call_free_when_over(c);
}

/* Cancelled, not finished: a status that waits to be read would keep the call for as long as its
 * client likes, and there is no end to how many such a client opens. The core sends code and text
 * if the connection takes them. */
static void turn_away(struct lt_rpc_call *c, enum lt_rpc_code code, const char *text)
{
    char *peer = grpc_call_get_peer(c->core);

    c->finishing = c->status_sent = true;
    unlink_call(c); /* it counts no more */
    grpc_call_cancel_with_status(c->core, (grpc_status_code)code, text, NULL);
    lt_rpc_peer_turned_away(peer);
    gpr_free(peer);
}

/* One program that opens calls without end must leave room for its user's others. */
static bool same_program(const struct lt_rpc_peer *a, const struct lt_rpc_peer *b)
{
    return a->by_token ? a->connection == b->connection : a->pid == b->pid;
}

/* Those who come by a token are as one more user: its calls leave the Unix socket's room. */
static bool has_too_many(struct lt_rpc_call *call)
{
    const struct lt_rpc_server *s = call->server;
    const struct lt_rpc_peer *peer = &call->peer;
    unsigned by_uid = 0, by_pid = 0;
    char text[64];

    for (const struct lt_rpc_call *c = s->calls; c; c = c->next) {
        bool same = c->peer.uid == peer->uid && c->peer.by_token == peer->by_token;

        by_uid += same;
        by_pid += same && same_program(&c->peer, peer);
    }
    if (by_pid > s->config.calls_per_pid && peer->by_token)
        snprintf(text, sizeof text, "this connection has %u calls open", s->config.calls_per_pid);
    else if (by_pid > s->config.calls_per_pid)
        snprintf(text, sizeof text, "process %d has %u calls open", (int)peer->pid,
                 s->config.calls_per_pid);
    else if (by_uid > s->config.calls_per_uid)
        snprintf(text, sizeof text, "user %u has %u calls open", (unsigned)peer->uid,
                 s->config.calls_per_uid);
    else
        return false;
    turn_away(call, LT_RPC_RESOURCE_EXHAUSTED, text);
    return true;
}

/* May this peer make this call now? Ends it otherwise. */
static bool admit(struct lt_rpc_call *c)
{
    struct lt_rpc_server *s = c->server;
    char *peer = grpc_call_get_peer(c->core);
    bool known = lt_rpc_peer_find(peer, &c->peer);
    const char *refused = known && c->peer.by_token ? lt_rpc_token_refused(s, &c->metadata) : NULL;
    unsigned have;

    gpr_free(peer);
    if (refused) {
        turn_away(c, LT_RPC_UNAUTHENTICATED, refused);
        return false;
    }
    if (!c->method) {
        lt_rpc_finish(c, LT_RPC_UNIMPLEMENTED, "this server has no such method");
        return false;
    }
    if (!known) {
        lt_rpc_finish(c, LT_RPC_UNAUTHENTICATED, "the connection's owner isn't known");
        return false;
    }
    have = s->config.rights ? s->config.rights(s->config.context, &c->peer) : 0;
    if (c->method->need == 0 || (c->method->need & ~have) != 0) {
        lt_rpc_finish(c, LT_RPC_PERMISSION_DENIED, "user %u may not do this here",
                      (unsigned)c->peer.uid);
        return false;
    }
    return !has_too_many(c);
}

static const struct lt_rpc_method *find_method(const struct lt_rpc_server *s, grpc_slice path)
{
    for (const struct lt_rpc_method *const *m = s->config.methods; *m; m++)
        if (grpc_slice_str_cmp(path, (*m)->path) == 0)
            return *m;
    return NULL;
}

static void link_call(struct lt_rpc_call *c)
{
    struct lt_rpc_server *s = c->server;

    c->next = s->calls;
    if (c->next)
        c->next->link = &c->next;
    c->link = &s->calls;
    s->calls = c;
    s->open++;
    s->last_call_ns = lt_clock_mono_ns();
}

static void arrived(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_call *c = LT_CONTAINER_OF(op, struct lt_rpc_call, on_new);
    struct lt_rpc_server *s = c->server;
    grpc_op close_op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                        .data.recv_close_on_server.cancelled = &c->cancelled};

    if (!ok) { /* the server is shutting down */
        free_call(c);
        lt_rpc_server_unref(s);
        return;
    }
    if (!s->closing)
        lt_rpc_call_arm(s);
    link_call(c); /* its hold on the server is the call's now */
    lt_rpc_call_start(c, &close_op, 1,
                      &c->on_close); /* a batch of its own, so that it fires at a cancel */
    c->method = find_method(s, c->details.method);
    if (!admit(c))
        return;
    if (s->closing) {
        lt_rpc_finish(c, LT_RPC_UNAVAILABLE, "the daemon is shutting down");
        return;
    }
    if (c->method->kind != LT_RPC_UNARY)
        lt_rpc_call_send_headers(c);
    c->held = s->held && !c->method->early;
    read_next(c);
}

void lt_rpc_call_arm(struct lt_rpc_server *s)
{
    struct lt_rpc_call *c = lt_calloc(1, sizeof *c);
    grpc_call_error e;

    c->server = s;
    c->on_new.fn = arrived;
    c->on_close.fn = ended;
    c->on_read.fn = received;
    c->on_write.fn = lt_rpc_call_written;
    lt_outbox_init(&c->outbox);
    grpc_call_details_init(&c->details);
    grpc_metadata_array_init(&c->metadata);
    s->handles++;
    e = grpc_server_request_call(s->core, &c->core, &c->details, &c->metadata,
                                 lt_rpc_loop_queue(s->config.loop),
                                 lt_rpc_loop_queue(s->config.loop), &c->on_new);
    if (e != GRPC_CALL_OK) {
        lt_err("grpc_server_request_call: %s", grpc_call_error_to_string(e));
        abort();
    }
}

void lt_rpc_calls_drain(struct lt_rpc_server *s)
{
    for (struct lt_rpc_call *c = s->calls, *next; c; c = next) {
        next = c->next;
        if (c->method && c->method->kind != LT_RPC_UNARY)
            lt_rpc_finish(c, LT_RPC_UNAVAILABLE, "the daemon is shutting down");
    }
}

struct lt_rpc_server *lt_rpc_call_server(const struct lt_rpc_call *c)
{
    return c->server;
}

void lt_rpc_server_hold(struct lt_rpc_server *s, bool held)
{
    s->held = held;
    for (struct lt_rpc_call *c = s->calls; c && !held; c = c->next)
        if (c->held) {
            c->held = false;
            read_next(c);
        }
}

void *lt_rpc_call_context(const struct lt_rpc_call *c)
{
    return c->server->config.context;
}

void lt_rpc_call_set(struct lt_rpc_call *c, void *own)
{
    c->own = own;
}

void *lt_rpc_call_get(const struct lt_rpc_call *c)
{
    return c->own;
}

const struct lt_rpc_peer *lt_rpc_call_peer(const struct lt_rpc_call *c)
{
    return &c->peer;
}

struct lt_arena *lt_rpc_call_arena(struct lt_rpc_call *c)
{
    if (!c->arena)
        c->arena = lt_arena_new(EARLY_ARENA);
    return c->arena;
}
