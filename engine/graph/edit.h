/* edit.h - what passes and devices do to a graph
 *
 * Passes add nodes behind the others, redirect uses, and kill nodes; lt_graph_sort() then puts the
 * nodes into an order in which they can run again, close to the one they had. Values keep their
 * numbers; node numbers change only in lt_graph_sort(). Pure.
 */
#ifndef LT_GRAPH_EDIT_H
#define LT_GRAPH_EDIT_H

#include "engine/graph/graph.h"

/* Nodes, program outputs and gradients that used `old` use `with` from now on (except node `but`;
 * -1: none). */
void lt_graph_replace(struct lt_graph *g, lt_id old, lt_id with, int but);
/* The node is gone; its outputs have no producer and must not be used any more. */
void lt_graph_kill(struct lt_graph *g, int node);
/* Kills nodes whose results reach neither an output, a gradient, the loss nor an update. Returns
 * how many. */
int lt_graph_sweep(struct lt_graph *g);
/* Drops dead nodes and reorders the others: each before its first user, readers of a persistent
 * value's old content before the node that updates it, otherwise as they were. -EINVAL when that is
 * impossible (a cycle). */
int lt_graph_sort(struct lt_graph *g, struct lt_error *err);
/* Reorders: order[i] is the node that comes at place i; n = live nodes. */
void lt_graph_permute(struct lt_graph *g, const int *order, int n);
/* Number of live uses (inputs of nodes, outputs, gradients) of each value; n_values ints,
 * lt_free(). */
int *lt_graph_uses(const struct lt_graph *g);

/* Which nodes must come before which: users behind producers, updates behind the old content's
 * readers. */
struct lt_deps {
    int *first; /* n_nodes + 1 indices into node[] */
    int *node;  /* what node i waits for: node[first[i]] … node[first[i + 1] - 1] */
};
void lt_deps_init(struct lt_deps *d, const struct lt_graph *g);
void lt_deps_done(struct lt_deps *d);

#endif
