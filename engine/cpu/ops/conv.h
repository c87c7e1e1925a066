/* conv.h - a convolution's numbers and its primitives, for the builder and for the choice of
 * layouts */
#ifndef LT_CPU_OPS_CONV_H
#define LT_CPU_OPS_CONV_H

#include "engine/cpu/program.h"

struct lt_conv_shape {
    int64_t x[4], y[4]; /* n, c, h, w */
    int64_t w[5];       /* [groups,] o, c, kh, kw */
    int w_ndim;
    int64_t groups;
    enum lt_dtype xt, yt, wt; /* the types of x, y and w: bfloat16 operands may give float32 */
    int64_t stride[2], dilation[2], pad[2];
    double flops;
};
/* n gives the attributes; x, w, y are the values that play these parts, whatever the direction. */
void lt_conv_shape(const struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                   const struct lt_node *n, lt_id x, lt_id w, lt_id y, struct lt_conv_shape *s);
/* weights NULL: the implementation's choice. n: samples. */
int lt_conv_prim(const struct lt_conv_shape *s, enum lt_conv_kind kind, const struct lt_md *weights,
                 bool bias, bool relu, int64_t n, int threads, struct lt_prim **out,
                 struct lt_error *err);
bool lt_conv_is_empty(const struct lt_conv_shape *s);
/* Convolutions over float64 (conv64.c). */
int lt_conv64_build(struct lt_build *b, const struct lt_conv_shape *s, enum lt_conv_kind kind);

#endif
