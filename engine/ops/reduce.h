/* reduce.h - what the reductions share: which dimensions go, and a fold over what falls on one
 * element */
#ifndef LT_OPS_REDUCE_H
#define LT_OPS_REDUCE_H

#include "engine/ops/util.h"

extern const struct lt_attr_spec lt_reduce_attrs[]; /* axes (none: all), keepdims */

/* Bit i: dimension i is reduced. -EINVAL for an axis that isn't there or is named twice. */
int lt_reduce_mask(const struct lt_node *n, int ndim, unsigned *mask, struct lt_error *err);
int lt_infer_reduce(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                    struct lt_type *out, struct lt_error *err);
/* acc starts at `start`; out = finish(acc, how many fell on it). */
int lt_ref_reduce(const struct lt_kernel_args *k, double start,
                  double (*fold)(double acc, double x), double (*finish)(double acc, double count));
/* Flat index of the reduced element that flat index i of x falls on. */
int64_t lt_reduce_index(const struct lt_operand *x, unsigned mask, int64_t i);
/* dy brought to a shape that broadcasts against x (kept dimensions of 1). */
int lt_op_emit_keepdims(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id dy,
                        lt_id x, lt_id *out, struct lt_error *err);
int64_t lt_reduce_flops(const struct lt_graph *g, const struct lt_node *n,
                        const struct lt_binding *b);

#endif
