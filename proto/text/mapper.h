/* mapper.h - the state of one mapping and its complaints; used by map.c and complain.c alone */
#ifndef LT_PROTO_TEXT_MAPPER_H
#define LT_PROTO_TEXT_MAPPER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include "base/buf.h"

struct lt_arena;
struct lt_map;
struct lt_node;
struct lt_problems;

struct lt_mapper {
    struct lt_arena *arena;
    struct lt_problems *problems;
    struct lt_map *excused;
    const char *base_dir;
    struct lt_buf path;
    int depth; /* messages */
    int mute;  /* > 0: say nothing */
};

/* At the key: the name is wrong. At the value: what it holds is. */
enum lt_where { LT_AT_VALUE, LT_AT_KEY };

/* Nobody needs to complain about this path again. */
void lt_excuse(struct lt_mapper *mp, const char *path);
/* At the mapper's path. remedy may be NULL. */
void lt_complain(struct lt_mapper *mp, const struct lt_node *n, enum lt_where where,
                 const char *remedy, const char *format, ...) __attribute__((format(printf, 5, 6)));
void lt_complain_memory(struct lt_mapper *mp, const struct lt_node *n);
/* No field of d has this name. Returns the one that was probably meant, or NULL. what: the
 * message's name. */
const char *lt_complain_unknown(struct lt_mapper *mp, const struct lt_node *n, enum lt_where where,
                                const ProtobufCMessageDescriptor *d, const char *word,
                                const char *what);
/* Two members of one oneof. */
void lt_complain_two(struct lt_mapper *mp, const struct lt_node *n, const char *before,
                     const char *name, const char *what);
/* `- linear:` and, not indented under it, `out_features: 10`: a map of two keys where one was
 * meant. False: it isn't that. */
bool lt_complain_indentation(struct lt_mapper *mp, const struct lt_node *n,
                             const ProtobufCMessageDescriptor *d);
/* A value where a message's map belongs; also excuses everything below the path. */
void lt_complain_no_map(struct lt_mapper *mp, const struct lt_node *n);

#endif
