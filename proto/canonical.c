/* canonical.c - the encoding that a plan's hash is taken of
 *
 * A message's bytes aren't unique on the wire; here they are: fields by ascending tag (descriptors
 * are sorted so), lists never packed, map entries by key, and nothing that only repeats a declared
 * default. A field without a declared default is kept whenever it is present, and so is a member of
 * a oneof: its presence says something.
 */
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "proto/plan.h"
#include "proto/reflect.h"

static void put_varint(struct lt_buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        lt_buf_char(out, (char)(v | 0x80));
    lt_buf_char(out, (char)v);
}

static void put_bytes(struct lt_buf *out, const void *data, size_t n)
{
    put_varint(out, n);
    if (n)
        lt_buf_append(out, data, n);
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static void put_number(struct lt_buf *out, ProtobufCType type, const void *value)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SINT32:
        put_varint(out, zigzag(*(const int32_t *)value));
        return;
    case PROTOBUF_C_TYPE_SINT64:
        put_varint(out, zigzag(*(const int64_t *)value));
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        put_varint(out, *(const uint64_t *)value);
        return;
    case PROTOBUF_C_TYPE_UINT32:
        put_varint(out, *(const uint32_t *)value);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        put_varint(out, *(const protobuf_c_boolean *)value != 0);
        return;
    default: /* int32 and enums: sign-extended */
        put_varint(out, (uint64_t)(int64_t) * (const int32_t *)value);
    }
}

static void put_value(struct lt_buf *out, const ProtobufCFieldDescriptor *f, const void *value)
{
    LT_BUF_AUTO inner = {0};

    switch (f->type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        put_varint(out, (uint64_t)f->id << 3 | 5);
        lt_buf_append(out, value, 4); /* little endian, as every machine we build for */
        return;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        put_varint(out, (uint64_t)f->id << 3 | 1);
        lt_buf_append(out, value, 8);
        return;
    case PROTOBUF_C_TYPE_STRING:
        put_varint(out, (uint64_t)f->id << 3 | 2);
        put_bytes(out, *(const char *const *)value, strlen(*(const char *const *)value));
        return;
    case PROTOBUF_C_TYPE_BYTES:
        put_varint(out, (uint64_t)f->id << 3 | 2);
        put_bytes(out, ((const ProtobufCBinaryData *)value)->data,
                  ((const ProtobufCBinaryData *)value)->len);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        lt_plan_canonical(*(const ProtobufCMessage *const *)value, &inner);
        put_varint(out, (uint64_t)f->id << 3 | 2);
        put_bytes(out, inner.data, inner.len);
        return;
    default:
        put_varint(out, (uint64_t)f->id << 3);
        put_number(out, f->type, value);
    }
}

struct entry {
    const char *key;
    const void *value;
};

/* Heap order at `root`, largest key first. */
static void sift(struct entry *e, size_t root, size_t n)
{
    for (size_t child = 2 * root + 1; child < n; root = child, child = 2 * root + 1) {
        struct entry kept = e[root];

        if (child + 1 < n && strcmp(e[child].key, e[child + 1].key) < 0)
            child++;
        if (strcmp(kept.key, e[child].key) >= 0)
            return;
        e[root] = e[child];
        e[child] = kept;
    }
}

static void put_map(struct lt_buf *out, const ProtobufCMessage *m,
                    const ProtobufCFieldDescriptor *f)
{
    const ProtobufCFieldDescriptor *key =
        &((const ProtobufCMessageDescriptor *)f->descriptor)->fields[0];
    const size_t n = lt_field_count(m, f);
    struct entry *e = lt_calloc(n ? n : 1, sizeof *e);

    for (size_t i = 0; i < n; i++) {
        e[i].value = lt_field_at(m, f, i);
        e[i].key =
            *(const char *const *)lt_field_at(*(const ProtobufCMessage *const *)e[i].value, key, 0);
        if (!e[i].key)
            e[i].key = "";
    }
    for (size_t i = n / 2; i-- > 0;)
        sift(e, i, n);
    for (size_t i = n; i-- > 1;) {
        struct entry last = e[i];

        e[i] = e[0];
        e[0] = last;
        sift(e, 0, i);
    }
    for (size_t i = 0; i < n; i++)
        put_value(out, f, e[i].value);
    lt_free(e);
}

void lt_plan_canonical(const ProtobufCMessage *m, struct lt_buf *out)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const bool droppable = !lt_field_is_oneof(f);

        if (lt_field_is_map(f)) {
            put_map(out, m, f);
            continue;
        }
        for (size_t k = 0, n = lt_field_count(m, f); k < n; k++)
            if (!droppable || !lt_field_is_default(f, lt_field_at(m, f, k)))
                put_value(out, f, lt_field_at(m, f, k));
    }
}

static void *copy_alloc(void *arena, size_t size)
{
    return lt_arena_alloc(arena, size ? size : 1);
}

static void copy_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

ProtobufCMessage *lt_message_copy(const ProtobufCMessage *m, struct lt_arena *arena)
{
    ProtobufCAllocator allocator = {copy_alloc, copy_free, arena};
    const size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = lt_malloc(n ? n : 1);
    ProtobufCMessage *copy;

    protobuf_c_message_pack(m, bytes);
    copy = protobuf_c_message_unpack(m->descriptor, &allocator, n, bytes);
    lt_free(bytes);
    return copy;
}
