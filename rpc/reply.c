/* reply.c - what a call sends: messages from its outbox one at a time, then the status
 *
 * Headers go with the first message (or at once, for streams), the status with the last one. A
 * handler that was refused room is told when half of the outbox is free again.
 */
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <stdio.h>
#include <string.h>
#include "base/auto.h"
#include "rpc/call.h"

#define DETAILS_KEY "grpc-status-details-bin"

void lt_rpc_call_drop_outbox(struct lt_rpc_call *c)
{
    c->server->outbox_total -= lt_outbox_drop(&c->outbox);
}

static void add_status(struct lt_rpc_call *c, grpc_op *op, grpc_slice *text, grpc_metadata *trailer)
{
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.status = (grpc_status_code)c->status.code;
    if (c->status.text[0]) {
        *text = grpc_slice_from_static_string(c->status.text); /* lives as long as the call */
        op->data.send_status_from_server.status_details = text;
    }
    if (c->status_details.len > 0) {
        trailer->key = grpc_slice_from_static_string(DETAILS_KEY);
        trailer->value =
            grpc_slice_from_static_buffer(c->status_details.data, c->status_details.len);
        op->data.send_status_from_server.trailing_metadata = trailer;
        op->data.send_status_from_server.trailing_metadata_count = 1;
    }
    c->status_sent = true;
}

/* Sends what is next: headers with the first message, the status with the last one. */
static void pump(struct lt_rpc_call *c)
{
    grpc_op ops[3] = {{0}};
    size_t n = 0, size = 0;
    grpc_byte_buffer *message;
    grpc_slice text;
    grpc_metadata trailer = {0};

    if (c->writing || c->status_sent || c->closed)
        return;
    message = lt_outbox_take(&c->outbox, &size);
    if (!message && !c->finishing)
        return;
    if (!c->headers_sent)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    c->headers_sent = true;
    if (message) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = message;
        c->server->outbox_total -= size;
    }
    if (c->finishing && lt_outbox_empty(&c->outbox))
        add_status(c, &ops[n++], &text, &trailer);
    c->writing = true;
    lt_rpc_call_start(c, ops, n, &c->on_write);
    if (message)
        grpc_byte_buffer_destroy(message); /* the core took its references */
}

void lt_rpc_call_written(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_call *c = LT_CONTAINER_OF(op, struct lt_rpc_call, on_write);

    c->pending--;
    c->writing = false;
    if (!ok)
        lt_rpc_call_drop_outbox(c);
    pump(c);
    if (c->starved && !c->told && !c->finishing &&
        c->outbox.bytes <= c->server->config.outbox_bytes / 2) {
        c->starved = false;
        if (c->method->writable)
            c->method->writable(c);
    }
    lt_rpc_call_free_when_over(c);
}

/* Clients wait for a stream's headers; its first message may come much later. */
void lt_rpc_call_send_headers(struct lt_rpc_call *c)
{
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};

    c->headers_sent = c->writing = true;
    lt_rpc_call_start(c, &op, 1, &c->on_write);
}

bool lt_rpc_room(struct lt_rpc_call *c)
{
    const struct lt_rpc_server *s = c->server;

    if (c->outbox.bytes < s->config.outbox_bytes &&
        (c->outbox.bytes == 0 || s->outbox_total < s->config.outbox_total))
        return true;
    c->starved = true;
    return false;
}

int lt_rpc_send_always(struct lt_rpc_call *c, const ProtobufCMessage *m)
{
    if (c->closed || c->told || c->finishing)
        return -EPIPE;
    c->server->outbox_total += lt_outbox_put(&c->outbox, m);
    pump(c);
    return 0;
}

int lt_rpc_send(struct lt_rpc_call *c, const ProtobufCMessage *m)
{
    if (!c->closed && !c->told && !c->finishing && !lt_rpc_room(c))
        return -EAGAIN;
    return lt_rpc_send_always(c, m);
}

int lt_rpc_send_packed(struct lt_rpc_call *c, const void *data, size_t n)
{
    if (c->closed || c->told || c->finishing)
        return -EPIPE;
    c->server->outbox_total += lt_outbox_put_packed(&c->outbox, data, n);
    pump(c);
    return 0;
}

size_t lt_rpc_queued(const struct lt_rpc_call *c)
{
    return c->outbox.bytes;
}

void lt_rpc_reply(struct lt_rpc_call *c, const ProtobufCMessage *m)
{
    if (c->closed || c->told || c->finishing)
        return;
    c->server->outbox_total += lt_outbox_put(&c->outbox, m);
    c->finishing = true;
    pump(c);
}

void lt_rpc_finish(struct lt_rpc_call *c, enum lt_rpc_code code, const char *format, ...)
{
    va_list ap;

    if (c->finishing)
        return;
    c->finishing = true;
    c->status.code = code;
    va_start(ap, format);
    vsnprintf(c->status.text, sizeof c->status.text, format, ap);
    va_end(ap);
    pump(c);
}

void lt_rpc_finish_status(struct lt_rpc_call *c, const struct lt_rpc_status *status)
{
    if (c->finishing)
        return;
    if (status->problems.len > 0)
        lt_rpc_status_pack(status, &c->status_details);
    lt_rpc_finish(c, status->code, "%s", status->text);
}
