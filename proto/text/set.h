/* set.h - `path=value` applied to a tree */
#ifndef LT_PROTO_TEXT_SET_H
#define LT_PROTO_TEXT_SET_H

#include <protobuf-c/protobuf-c.h>

struct lt_arena;
struct lt_node;
struct lt_problems;

/* number: 1-based, for messages. d: what the tree will be mapped to (so that another member of a
 * oneof replaces the one that is there). Problems are said; the tree stays usable. */
void lt_tree_set(struct lt_node *root, const ProtobufCMessageDescriptor *d, const char *set,
                 int number, struct lt_arena *arena, struct lt_problems *problems);

#endif
