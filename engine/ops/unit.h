/* unit.h - what operators on flat forms (graph.h, struct lt_unit) share */
#ifndef LT_OPS_UNIT_H
#define LT_OPS_UNIT_H

#include "engine/ops/util.h"

/* Elements from one member to the next, in plain layout. */
int64_t lt_unit_step(enum lt_dtype dtype, int64_t count);
/* Shape rule of a start: the inputs are the members of each of the unit's slices; out: its flat form. */
int lt_unit_infer_start(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                        struct lt_type *out, struct lt_error *err);
/* Members behind one another, gaps 0. */
int lt_unit_pack(const struct lt_kernel_args *k, struct lt_error *err);
/* Kernel of a start with one rank: that, and slice 0 the sum of all. */
int lt_unit_reduce(const struct lt_kernel_args *k, struct lt_error *err);

#endif
