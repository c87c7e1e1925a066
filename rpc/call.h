/* call.h - one call on the server, shared by call.c (begin, requests, end) and reply.c (what is
 * sent) */
#ifndef LT_RPC_CALL_H
#define LT_RPC_CALL_H

#include <grpc/grpc.h>
#include "base/buf.h"
#include "rpc/internal.h"

struct lt_rpc_call {
    struct lt_rpc_server *server;
    const struct lt_rpc_method *method; /* NULL: unknown, being refused */
    struct lt_rpc_call *next, **link;   /* in server->calls */
    grpc_call *core;
    grpc_call_details details;
    grpc_metadata_array metadata;
    struct lt_rpc_op on_new, on_close, on_read, on_write;
    struct lt_rpc_peer peer;
    void *own;
    struct lt_arena *arena; /* the one request, and what the handler puts there */
    grpc_byte_buffer *received;
    struct lt_outbox outbox;
    struct lt_rpc_status status; /* how it ends */
    struct lt_buf status_details;
    unsigned pending; /* batches in flight */
    int cancelled;
    bool reading, writing, paused, held, requested, headers_sent;
    bool starved;                /* the handler was refused room */
    bool finishing, status_sent; /* a status is set; is on its way */
    bool closed, told;           /* the close op fired; the handler knows */
};

/* A batch; its completion comes to op. */
void lt_rpc_call_start(struct lt_rpc_call *c, const grpc_op *ops, size_t n, struct lt_rpc_op *op);
void lt_rpc_call_free_when_over(struct lt_rpc_call *c);
/* reply.c */
void lt_rpc_call_send_headers(struct lt_rpc_call *c);
void lt_rpc_call_drop_outbox(struct lt_rpc_call *c);
void lt_rpc_call_written(struct lt_rpc_op *op, int ok); /* completion of on_write */

#endif
