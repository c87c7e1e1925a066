/* names.h - names of a model in its general form (import_graph.c, import_node.c) */
#ifndef LT_GRAPH_NAMES_H
#define LT_GRAPH_NAMES_H

#include "base/map.h"
#include "engine/graph/import_in.h"

struct lt_names {
    struct lt_import *im;
    struct lt_map *values; /* name → 2 + value; LT_NONE: of a broken node */
    struct lt_map *used;
};

void lt_names_set(struct lt_names *s, const char *name, lt_id v);
/* LT_NONE when unknown, with *known telling whether the name was ever given. */
lt_id lt_names_get(const struct lt_names *s, const char *name, bool *known);
const char *lt_names_near(const struct lt_names *s, const char *name);
struct lt_build lt_names_build(struct lt_names *s, const char *path, const char *name);
/* May it be given to something new? Reported when not. */
bool lt_names_free(struct lt_names *s, struct lt_build *b, const char *name);
/* Node i of the plan's list. */
void lt_names_node(struct lt_names *s, const Lt__V1__GraphNode *n, size_t i);

#endif
