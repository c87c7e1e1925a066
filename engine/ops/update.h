/* update.h - shared by the optimisers' update operators
 *
 * Every one takes the gradient *sum* g and a scalar scale (grad_scale.c); the gradient used is
 * clamp(g * scale, ±clip_value), negated when maximising. A scale that is NaN means: leave
 * everything as it was.
 */
#ifndef LT_OPS_UPDATE_H
#define LT_OPS_UPDATE_H

#include "engine/ops/util.h"

/* in[0 … n_tensors-1] are of one type, the rest scalars; output o is the new content of an input.
 */
int lt_update_check(const struct lt_node *n, const struct lt_type *in, int n_tensors,
                    struct lt_error *err);
/* The gradient of element i, with scale, clip_value, maximize and (unless decoupled) weight_decay *
 * p applied. */
double lt_update_gradient(const struct lt_kernel_args *k, int64_t i, double scale,
                          double weight_decay);
/* Copies inputs to the outputs that are their new content (no-op where they alias). */
void lt_update_unchanged(const struct lt_kernel_args *k);

#endif
