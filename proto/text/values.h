/* values.h - scalars and scalar messages as text */
#ifndef LT_PROTO_TEXT_VALUES_H
#define LT_PROTO_TEXT_VALUES_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct lt_arena;
struct lt_buf;
struct lt_node;

/* What is wrong with a value: filled by readers, said by the mapper with path and place. */
struct lt_fault {
    char reason[200];
    char remedy[200];
};

/* Scalar of field type f->type from a scalar node into *out (one element as lt_type_size() has it).
 * Texts are borrowed from the node, bytes (base64) from the arena. 0, -EINVAL (fault says why),
 * -ENOMEM. */
int lt_value_read(const ProtobufCFieldDescriptor *f, const struct lt_node *n,
                  struct lt_arena *arena, void *out, struct lt_fault *fault);
/* Text of one element; *quoted: a text rather than a number or truth value. flags: enum
 * lt_text_flags. */
void lt_value_print(const ProtobufCFieldDescriptor *f, const void *value, int flags,
                    struct lt_buf *out, bool *quoted);

/* A message that is written as one scalar: Duration, Size, CountOrAuto, BatchLimit, CheckInterval.
 */
struct lt_form {
    const ProtobufCMessageDescriptor *message;
    /* 0 or -EINVAL; the node is a scalar. */
    int (*read)(const struct lt_node *n, ProtobufCMessage *m, struct lt_arena *arena);
    /* False: nothing is set. */
    bool (*print)(const ProtobufCMessage *m, struct lt_buf *out, bool *quoted);
    const char *expected; /* "a length of time: 90s, 2h, 1:30:00" */
};
const struct lt_form *lt_form_of(const ProtobufCMessageDescriptor *d); /* NULL: none */

#endif
