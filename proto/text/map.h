/* map.h - trees to messages and back, by descriptors */
#ifndef LT_PROTO_TEXT_MAP_H
#define LT_PROTO_TEXT_MAP_H

#include <protobuf-c/protobuf-c.h>

struct lt_arena;
struct lt_map;
struct lt_node;
struct lt_problems;

/* As much of the message as could be read, even when there were problems; NULL: nothing. what: how
 * an unknown field's message is called ("the plan"). excused: paths that need no further complaint
 * are added to it (may be NULL). */
ProtobufCMessage *lt_tree_map(const struct lt_node *root, const ProtobufCMessageDescriptor *d,
                              const char *what, const char *base_dir, struct lt_arena *arena,
                              struct lt_problems *problems, struct lt_map *excused);
/* flags: enum lt_text_flags. NULL when the arena's cap is passed. */
struct lt_node *lt_tree_of(const ProtobufCMessage *m, int flags, struct lt_arena *arena);

#endif
