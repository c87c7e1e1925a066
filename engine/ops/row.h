/* row.h - operators that work on each line along one axis: the softmax family */
#ifndef LT_OPS_ROW_H
#define LT_OPS_ROW_H

#include "engine/ops/util.h"

extern const struct lt_attr_spec lt_row_attrs[]; /* axis, default the last */

/* out[0] = in[0], floating, with an axis that is there. */
int lt_row_infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err);
/* The same for (dy, y) of one type. */
int lt_row_infer_pair(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                      struct lt_type *out, struct lt_error *err);
/* out = finish(x - greatest of the line, Σ exp(x - greatest)). */
int lt_row_ref(const struct lt_kernel_args *k, double (*finish)(double shifted, double sum));
/* out = finish(dy, y, Σ over the line of part(dy, y)). */
int lt_row_ref_grad(const struct lt_kernel_args *k, double (*part)(double dy, double y),
                    double (*finish)(double dy, double y, double sum));

#endif
