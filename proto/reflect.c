/* reflect.c - a message's fields, read by descriptor
 *
 * protobuf-c's layout: an optional scalar has an int `has_x` at quantifier_offset; strings and
 * messages are pointers (an absent string points to its default); a oneof's members share the
 * storage and an enum `x_case` at quantifier_offset; a repeated field is a size_t count there and a
 * pointer to an array.
 */
#include "proto/reflect.h"

#include <stdint.h>
#include <string.h>
#include "base/buf.h"

size_t lt_type_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return sizeof(uint32_t);
    }
}

static const void *member(const ProtobufCMessage *m, unsigned offset)
{
    return (const char *)m + offset;
}

bool lt_field_is_oneof(const ProtobufCFieldDescriptor *f)
{
    return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

static bool pointer_set(const ProtobufCFieldDescriptor *f, const void *value)
{
    const void *p = *(const void *const *)value;

    return p && p != f->default_value;
}

size_t lt_field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const void *value = member(m, f->offset);
    const void *quantifier = member(m, f->quantifier_offset);

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)quantifier;
    if (lt_field_is_oneof(f) && *(const uint32_t *)quantifier != f->id)
        return 0;
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
        return pointer_set(f, value);
    return lt_field_is_oneof(f) || *(const protobuf_c_boolean *)quantifier != 0;
}

const void *lt_field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
    const void *value = member(m, f->offset);

    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return value;
    return *(const char *const *)value + i * lt_type_size(f->type);
}

bool lt_field_is_default(const ProtobufCFieldDescriptor *f, const void *value)
{
    if (!f->default_value || f->label == PROTOBUF_C_LABEL_REPEATED)
        return false;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return !strcmp(*(const char *const *)value, f->default_value);
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *a = value, *b = f->default_value;

        return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
    }
    return !memcmp(value, f->default_value, lt_type_size(f->type));
}

bool lt_field_is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    size_t n;

    if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    n = strlen(d->short_name);
    return n > 5 && !strcmp(d->short_name + n - 5, "Entry") && d->n_fields == 2 &&
           !strcmp(d->fields[0].name, "key") && !strcmp(d->fields[1].name, "value");
}

const ProtobufCFieldDescriptor *lt_oneof_set(const ProtobufCMessage *m,
                                             const ProtobufCFieldDescriptor *any)
{
    const uint32_t set = *(const uint32_t *)member(m, any->quantifier_offset);

    return set ? protobuf_c_message_descriptor_get_field(m->descriptor, set) : NULL;
}

bool lt_message_is_choice(const ProtobufCMessageDescriptor *d)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        if (!lt_field_is_oneof(&d->fields[i]) ||
            d->fields[i].quantifier_offset != d->fields[0].quantifier_offset)
            return false;
    return d->n_fields > 0;
}

size_t lt_message_count(const ProtobufCMessage *m, size_t limit)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    size_t sum = 1;

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];

        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        for (size_t k = 0, n = lt_field_count(m, f); k < n && sum <= limit; k++)
            sum += lt_message_count(*(const ProtobufCMessage *const *)lt_field_at(m, f, k),
                                    limit - sum);
    }
    return sum;
}

size_t lt_path_push(struct lt_buf *path, const ProtobufCFieldDescriptor *f, size_t index)
{
    const size_t len = path->len;

    if (len)
        lt_buf_char(path, '.');
    lt_buf_str(path, f->name); /* of every field of every plan: no printf */
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        lt_buf_printf(path, "[%zu]", index);
    return len;
}

void lt_path_pop(struct lt_buf *path, size_t len)
{
    path->len = len;
    if (path->data)
        path->data[len] = '\0';
}

const char *lt_path_text(const struct lt_buf *path)
{
    return path->len ? path->data : "";
}

static void walk(const ProtobufCMessage *m, struct lt_buf *path, lt_message_visit *visit,
                 void *context)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    visit(context, m, path);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];

        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        for (size_t k = 0, n = lt_field_count(m, f); k < n; k++) {
            const size_t len = lt_path_push(path, f, k);

            walk(*(const ProtobufCMessage *const *)lt_field_at(m, f, k), path, visit, context);
            lt_path_pop(path, len);
        }
    }
}

void lt_message_walk(const ProtobufCMessage *m, const char *at, lt_message_visit *visit,
                     void *context)
{
    LT_BUF_AUTO path = {0};

    lt_buf_str(&path, at);
    walk(m, &path, visit, context);
}
