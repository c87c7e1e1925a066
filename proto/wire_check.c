/* wire_check.c - a walk over bytes by the descriptor of the message they claim to be
 *
 * One pass, no allocation, recursion bounded by LT_WIRE_DEPTH. What it lets through protobuf-c
 * unpacks without surprises: every known field has the wire type its declaration asks for, every
 * length lies inside its parent, and no string holds a NUL (protobuf-c keeps strings without a
 * length, so that it would be cut there in silence).
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "proto/reflect.h"
#include "proto/wire.h"

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };

struct frame {
    const uint8_t *begin;  /* of the message */
    const uint8_t *record; /* being looked at */
    const ProtobufCFieldDescriptor *field;
};
struct walk {
    struct frame frames[LT_WIRE_DEPTH];
    size_t depth; /* frames in use */
    size_t fields;
    struct lt_error *err;
};
struct record {
    uint32_t tag;
    unsigned wire;
    const uint8_t *data; /* of a length-delimited one: its content */
    size_t size;
};

/* Bytes used, 0 when it is cut off or longer than ten. */
static size_t read_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 10 && p + i < end; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            *out = v;
            return i + 1;
        }
    }
    return 0;
}

/* NULL: malformed. Else the first byte behind the record. */
static const uint8_t *read_record(const uint8_t *p, const uint8_t *end, struct record *r)
{
    uint64_t key, len;
    size_t n = read_varint(p, end, &key);

    if (!n || key >> 3 == 0 || key >> 3 > 0x1fffffff)
        return NULL;
    p += n;
    *r = (struct record){.tag = (uint32_t)(key >> 3), .wire = key & 7, .data = p};
    switch (r->wire) {
    case WIRE_VARINT:
        r->size = read_varint(p, end, &len);
        return r->size ? p + r->size : NULL;
    case WIRE_64BIT:
    case WIRE_32BIT:
        r->size = r->wire == WIRE_64BIT ? 8 : 4;
        return (size_t)(end - p) >= r->size ? p + r->size : NULL;
    case WIRE_LENGTH:
        n = read_varint(p, end, &len);
        if (!n || len > (uint64_t)(end - p - n))
            return NULL;
        r->data = p + n;
        r->size = (size_t)len;
        return r->data + r->size;
    default:
        return NULL; /* groups were never ours */
    }
}

static unsigned wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LENGTH;
    default:
        return WIRE_VARINT;
    }
}

static size_t index_in(const struct frame *f)
{
    struct record r;
    size_t n = 0;

    for (const uint8_t *p = f->begin; p && p < f->record; n += p && r.tag == f->field->id)
        p = read_record(p, f->record, &r);
    return n;
}

static int fail(struct walk *w, int code, const char *what)
{
    LT_BUF_AUTO path = {0};

    for (size_t i = 0; i < w->depth && w->frames[i].field; i++) {
        const struct frame *f = &w->frames[i];

        lt_path_push(&path, f->field,
                     f->field->label == PROTOBUF_C_LABEL_REPEATED ? index_in(f) : 0);
    }
    return lt_error_set(w->err, code, "%s%s%s", lt_path_text(&path), path.len ? ": " : "", what);
}

/* A list of scalars in one record: each counts as a field. */
static int check_packed(struct walk *w, const ProtobufCFieldDescriptor *f, const struct record *r)
{
    const unsigned wire = wire_of(f->type);
    const size_t width = wire == WIRE_64BIT ? 8 : 4;

    if (wire != WIRE_VARINT) {
        w->fields += r->size / width;
        return r->size % width ? fail(w, -EPROTO, "packed list is cut off") : 0;
    }
    for (const uint8_t *p = r->data, *end = p + r->size; p < end; w->fields++) {
        uint64_t ignored;
        const size_t n = read_varint(p, end, &ignored);

        if (!n)
            return fail(w, -EPROTO, "packed list is cut off");
        p += n;
    }
    return 0;
}

static int check_message(struct walk *w, const ProtobufCMessageDescriptor *d, const uint8_t *p,
                         size_t n);

static int check_field(struct walk *w, const ProtobufCFieldDescriptor *f, const struct record *r)
{
    const unsigned wire = wire_of(f->type);

    if (wire != WIRE_LENGTH && r->wire == WIRE_LENGTH && f->label == PROTOBUF_C_LABEL_REPEATED)
        return check_packed(w, f, r);
    if (r->wire != wire)
        return fail(w, -EPROTO, "has the wrong wire type");
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return check_message(w, f->descriptor, r->data, r->size);
    if (f->type == PROTOBUF_C_TYPE_STRING && memchr(r->data, 0, r->size))
        return fail(w, -EPROTO, "a text with a NUL byte in it");
    return 0;
}

static int check_message(struct walk *w, const ProtobufCMessageDescriptor *d, const uint8_t *p,
                         size_t n)
{
    const uint8_t *const end = p + n;
    struct frame *frame;
    int rc = 0;

    if (w->depth == LT_WIRE_DEPTH)
        return fail(w, -EPROTO, "messages nest deeper than 32 levels");
    frame = &w->frames[w->depth++];
    *frame = (struct frame){.begin = p};
    while (p < end && rc == 0) {
        struct record r;
        const uint8_t *next = read_record(p, end, &r);

        frame->record = p;
        frame->field = next ? protobuf_c_message_descriptor_get_field(d, r.tag) : NULL;
        if (!next)
            return fail(w, -EPROTO, "malformed: a field is cut off or has no valid key");
        if (frame->field)
            rc = check_field(w, frame->field, &r);
        if (rc == 0 && ++w->fields > LT_WIRE_FIELDS)
            rc = fail(w, -E2BIG, "more fields than the limit of 1000000");
        p = next;
    }
    if (rc == 0)
        w->depth--;
    return rc;
}

int lt_wire_check(const ProtobufCMessageDescriptor *d, const void *data, size_t n,
                  struct lt_error *err)
{
    struct walk w = {.err = err};

    return check_message(&w, d, n ? data : (const void *)"", n);
}
