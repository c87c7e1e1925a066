/* internal.h - what the files of this folder share */
#ifndef LT_RPC_INTERNAL_H
#define LT_RPC_INTERNAL_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "rpc/loop.h"
#include "rpc/server.h"

/* A batch in flight; completions come to fn on the loop's thread. */
struct lt_rpc_op {
    void (*fn)(struct lt_rpc_op *op, int ok);
    struct lt_rpc_op *next;
    int ok;
};

grpc_completion_queue *lt_rpc_loop_queue(const struct lt_rpc_loop *l);

void lt_rpc_log_init(void); /* before grpc_init() */
/* Aborts on anything but OK: an ill-formed batch is our mistake. */
void lt_rpc_batch(grpc_call *call, const grpc_op *ops, size_t n, void *tag);
/* The sentence and details of a finished client call. */
void lt_rpc_status_take(struct lt_rpc_status *out, grpc_status_code code, grpc_slice text,
                        const grpc_metadata_array *trailers);
/* A channel with this project's arguments. */
grpc_channel *lt_rpc_channel(const char *target);

/* Messages that wait for the connection, oldest first. */
struct lt_outbox {
    struct lt_out_message *head, **tail;
    size_t bytes;
};
void lt_outbox_init(struct lt_outbox *o);
size_t lt_outbox_put(struct lt_outbox *o, const ProtobufCMessage *m); /* bytes it counts for */
size_t lt_outbox_put_packed(struct lt_outbox *o, const void *data, size_t n);
grpc_byte_buffer *lt_outbox_take(struct lt_outbox *o, size_t *bytes); /* NULL: empty */
bool lt_outbox_empty(const struct lt_outbox *o);
size_t lt_outbox_drop(struct lt_outbox *o); /* bytes that were in it */

struct lt_rpc_server {
    struct lt_rpc_server_config config;
    grpc_server *core;
    struct lt_rpc_call *calls; /* open ones, doubly linked */
    unsigned open;
    size_t outbox_total; /* bytes queued in all calls */
    uint64_t last_call_ns;
    struct lt_rpc_listener *listeners;
    struct lt_tokens *tokens; /* NULL: no TCP */
    unsigned handles; /* uv handles and armed requests not yet gone */
    bool closing, serving, held;
    struct lt_health_watch *health_watches;
    struct lt_rpc_op down;
    uv_timer_t grace;
    void (*done)(void *arg);
    void *arg;
};

/* call.c */
void lt_rpc_call_arm(struct lt_rpc_server *s);    /* wait for one more call */
void lt_rpc_calls_drain(struct lt_rpc_server *s); /* end the streams */
struct lt_rpc_server *lt_rpc_call_server(const struct lt_rpc_call *c);
/* listen.c */
bool lt_rpc_peer_find(const char *peer, struct lt_rpc_peer *out); /* "fd:N" → credentials */
/* token.c: has the call shown a token? NULL, or what is wrong. */
const char *lt_rpc_token_refused(struct lt_rpc_server *s, const grpc_metadata_array *metadata);
/* Counts a call that was one too many; a connection that doesn't stop asking is closed. */
void lt_rpc_peer_turned_away(const char *peer);
void lt_rpc_listeners_close(struct lt_rpc_server *s);
/* reflection.c */
bool lt_rpc_knows_service(const char *name);
/* server.c */
void lt_rpc_server_unref(struct lt_rpc_server *s); /* one of `handles` is gone */

#endif
