/* graph_in.h - what building graphs and adding nodes share */
#ifndef LT_GRAPH_GRAPH_IN_H
#define LT_GRAPH_GRAPH_IN_H

#include "engine/graph/graph.h"

void *lt_graph_alloc(struct lt_graph *g, size_t size); /* from its arena */
const char *lt_graph_strdup(struct lt_graph *g, const char *s);
lt_id lt_graph_value_add(struct lt_graph *g, enum lt_value_kind kind, const struct lt_type *type);
struct lt_attr lt_graph_attr_copy(struct lt_graph *g, const struct lt_attr *a);

#endif
