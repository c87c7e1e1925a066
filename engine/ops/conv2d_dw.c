/* conv2d_dw.c - gradient of conv2d by its weight: (dy, x, like w) → dw */
#include "engine/ops/conv.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    return lt_conv_infer_grad(n, in, 1, 2, out, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_conv_ref_grad(k, 1, 2, true);
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    return lt_conv_flops(g, n, 1, 2, b);
}

const struct lt_op lt_op_conv2d_dw = {
    .name = "conv2d_dw",
    .internal = true,
    .cls = LT_OP_CONTRACTION,
    .precision = LT_PRECISION_LOW,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .attrs = lt_conv_attrs,
    .shape_only = 4,
    .infer = infer,
    .ref = ref,
    .flops = flops,
    .tol = 2e-5,
};
