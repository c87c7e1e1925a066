/* outbox.c - packed messages in a list; each counts for a little more than its bytes */
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include "base/mem.h"
#include "rpc/bytes.h"
#include "rpc/internal.h"

#define OVERHEAD 64 /* bytes of bookkeeping per message */

struct lt_out_message {
    struct lt_out_message *next;
    grpc_byte_buffer *bytes;
    size_t size;
};

void lt_outbox_init(struct lt_outbox *o)
{
    o->head = NULL;
    o->tail = &o->head;
    o->bytes = 0;
}

static size_t put(struct lt_outbox *o, grpc_byte_buffer *bytes, size_t n)
{
    struct lt_out_message *out = lt_malloc(sizeof *out);

    out->next = NULL;
    out->bytes = bytes;
    out->size = n + OVERHEAD;
    *o->tail = out;
    o->tail = &out->next;
    o->bytes += out->size;
    return out->size;
}

size_t lt_outbox_put(struct lt_outbox *o, const ProtobufCMessage *m)
{
    size_t n;
    grpc_byte_buffer *bytes = lt_bytes_encode(m, &n);

    return put(o, bytes, n);
}

size_t lt_outbox_put_packed(struct lt_outbox *o, const void *data, size_t n)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(data, n);
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);

    grpc_slice_unref(slice);
    return put(o, bytes, n);
}

grpc_byte_buffer *lt_outbox_take(struct lt_outbox *o, size_t *bytes)
{
    struct lt_out_message *m = o->head;
    grpc_byte_buffer *b;

    if (!m)
        return NULL;
    o->head = m->next;
    if (!o->head)
        o->tail = &o->head;
    o->bytes -= m->size;
    *bytes = m->size;
    b = m->bytes;
    lt_free(m);
    return b;
}

bool lt_outbox_empty(const struct lt_outbox *o)
{
    return o->head == NULL;
}

size_t lt_outbox_drop(struct lt_outbox *o)
{
    size_t before = o->bytes, n;
    grpc_byte_buffer *b;

    while ((b = lt_outbox_take(o, &n)))
        grpc_byte_buffer_destroy(b);
    return before;
}
