/* reflect.h - a message's fields, read by descriptor
 *
 * Presence in protobuf-c has five forms (has_x, a pointer, a pointer beside a default string, a
 * oneof's case, a count); they are told apart here and nowhere else. Pure.
 */
#ifndef LT_PROTO_REFLECT_H
#define LT_PROTO_REFLECT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct lt_buf;

/* Bytes of one element as the C struct holds it (a string or message: its pointer). */
size_t lt_type_size(ProtobufCType type);
/* Number of values: 0 or 1, or a repeated field's length. */
size_t lt_field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Value i < lt_field_count(), borrowed: const char *const *, const int32_t *, const
 * ProtobufCMessage *const * … */
const void *lt_field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i);
/* Does the value equal the field's declared default? False where none is declared. */
bool lt_field_is_default(const ProtobufCFieldDescriptor *f, const void *value);
bool lt_field_is_oneof(const ProtobufCFieldDescriptor *f);
bool lt_field_is_map(const ProtobufCFieldDescriptor *f);
/* The member of a oneof that is set, or NULL. `member`: any member of it. */
const ProtobufCFieldDescriptor *lt_oneof_set(const ProtobufCMessage *m,
                                             const ProtobufCFieldDescriptor *member);
/* Has the message one oneof and nothing else (Layer, Loss, BatchLimit)? In text it is written as
 * its member. */
bool lt_message_is_choice(const ProtobufCMessageDescriptor *d);

/* Messages in m, itself included; stops counting above limit. */
size_t lt_message_count(const ProtobufCMessage *m, size_t limit);

/* "path.name", or "path.name[index]" for a repeated field. Returns the length before, for
 * lt_path_pop(). */
size_t lt_path_push(struct lt_buf *path, const ProtobufCFieldDescriptor *f, size_t index);
void lt_path_pop(struct lt_buf *path, size_t len);
const char *lt_path_text(const struct lt_buf *path); /* "" when empty */

/* Calls visit for m and every message below it, parents first, fields by tag. path is the message's
 * own and may be pushed to and popped from. `at`: the path of m itself. */
typedef void lt_message_visit(void *context, const ProtobufCMessage *m, struct lt_buf *path);
void lt_message_walk(const ProtobufCMessage *m, const char *at, lt_message_visit *visit,
                     void *context);

#endif
