/* lower_layout.h - the walk that gives values their layouts, as its rules see it */
#ifndef LT_CPU_LOWER_LAYOUT_H
#define LT_CPU_LOWER_LAYOUT_H

#include "engine/cpu/lower.h"

enum { PLAIN, LAST, TURNED }; /* the device's first layouts */

struct lt_map;

struct lt_walk {
    struct lt_device *d;
    struct lt_graph *g;
    const struct lt_binding *b;
    lt_id *hint;          /* per value: the persistent value as which it would best lie; LT_NONE */
    struct lt_map *moved; /* "value/layout" → reordered value + 1 */
    int node;
    struct lt_error *err;
};

struct lt_node *
lt_walk_node(const struct lt_walk *w); /* the one that is looked at; moves when nodes are added */
int lt_walk_layout(const struct lt_walk *w, lt_id v);
const struct lt_layout *lt_walk_shape(const struct lt_walk *w, lt_id v);
lt_id lt_walk_root(const struct lt_walk *w,
                   lt_id v); /* the persistent value that v is new content of, or v */
/* Input i in that layout: a reorder is put between where it lies otherwise. */
void lt_walk_want(struct lt_walk *w, int i, int to);
/* v in another layout; shared by all that ask for the same. */
lt_id lt_walk_moved(struct lt_walk *w, lt_id v, int to);
/* The same, in another type too. */
lt_id lt_walk_moved_as(struct lt_walk *w, lt_id v, int to, enum lt_dtype type);
/* The parameter of which v is the copy rounded to bfloat16; LT_NONE: it is none. */
lt_id lt_walk_rounded(const struct lt_walk *w, lt_id v);
/* A weight lies as its kernel likes it: the parameter, and its rounded copy with it. */
void lt_walk_place_weight(struct lt_walk *w, lt_id v, int to);
bool lt_walk_same_bytes(const struct lt_walk *w, lt_id v, int to);
void lt_walk_give(struct lt_walk *w, int o, int to); /* output o lies so */
/* A persistent value's layout, where no earlier program nor node decided it. */
void lt_walk_place(struct lt_walk *w, lt_id v, int to);

int lt_walk_rule(struct lt_walk *w); /* of the node's operator (lower_rules.c) */

#endif
