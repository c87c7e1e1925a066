/* wire.h - bytes that come from outside become messages only through here
 *
 * protobuf-c recurses without a limit, keeps unknown fields, takes any enum value and any bytes as
 * a string. lt_wire_check() walks the bytes by the message's descriptor first, and bounds depth and
 * number of fields; lt_wire_decode() then unpacks into a capped arena. Pure.
 */
#ifndef LT_PROTO_WIRE_H
#define LT_PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct lt_arena;
struct lt_error;
struct lt_problems;

#define LT_WIRE_DEPTH 32
#define LT_WIRE_FIELDS 1000000

/* -EPROTO (malformed, too deep, wrong wire type), -E2BIG (too many fields). */
int lt_wire_check(const ProtobufCMessageDescriptor *d, const void *data, size_t n,
                  struct lt_error *err);
/* Check, then unpack into the arena (-ENOMEM when its cap is passed). The message lives as long as
 * the arena; never *_free_unpacked it. */
int lt_wire_decode(const ProtobufCMessageDescriptor *d, const void *data, size_t n,
                   struct lt_arena *arena, ProtobufCMessage **out, struct lt_error *err);
/* Unknown fields (by path and tag), enum values that no name stands for, strings that aren't UTF-8,
 * map keys given twice: one problem each. (A NUL inside a string is lt_wire_check()'s: here it
 * can't be seen any more.) */
void lt_wire_validate(const ProtobufCMessage *m, struct lt_problems *problems);
/* The same, with `at` as the path of m. */
void lt_wire_validate_at(const ProtobufCMessage *m, const char *at, struct lt_problems *problems);

#endif
