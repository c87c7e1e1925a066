/* conv.h - geometry of the three convolution operators */
#ifndef LT_OPS_CONV_H
#define LT_OPS_CONV_H

#include "engine/ops/window.h"

struct lt_conv {
    int64_t n, c, h, w;     /* input */
    int64_t o, oh, ow;      /* output */
    int64_t groups, cg, og; /* channels per group */
    struct lt_window win;
};

extern const struct lt_attr_spec lt_conv_attrs[]; /* stride, padding, dilation, groups, act */

/* Checks input type, weight type and attributes; fills everything but n. */
int lt_conv_of(const struct lt_node *n, const struct lt_type *x, const struct lt_type *weight,
               struct lt_conv *out, struct lt_error *err);
/* dy has the type of the convolution's output. */
int lt_conv_check_dy(const struct lt_node *n, const struct lt_type *x, const struct lt_conv *c,
                     const struct lt_type *dy, struct lt_error *err);
/* The same from a kernel's operands, n included. */
void lt_conv_of_operands(const struct lt_kernel_args *k, const struct lt_operand *x,
                         const struct lt_operand *weight, struct lt_conv *out);
/* For output position (y, x) and tap (i, j): the input position, false outside. */
bool lt_conv_at(const struct lt_conv *c, int64_t oy, int64_t ox, int64_t i, int64_t j, int64_t *iy,
                int64_t *ix);
/* sums[at(x, w)] += dy * other over every product of the convolution: both gradients are this, by the input
 * (target is x, other is w) or by the weight (target is w, other is x). out[0] gets the sums. */
int lt_conv_ref_grad(const struct lt_kernel_args *k, int x_in, int weight_in, bool by_weight);
int lt_conv_infer_grad(const struct lt_node *n, const struct lt_type *in, int x_in, int weight_in,
                       struct lt_type *out, struct lt_error *err);
/* 2 * output elements * taps: forward, dx and dw cost the same. */
int64_t lt_conv_flops(const struct lt_graph *g, const struct lt_node *n, int x_in, int weight_in,
                      const struct lt_binding *b);

#endif
