/* conv2d_dx.c - gradient of conv2d by its input: (dy, w, like x) → dx */
#include "engine/ops/conv.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    return lt_conv_infer_grad(n, in, 2, 1, out, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_conv_ref_grad(k, 2, 1, false);
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    return lt_conv_flops(g, n, 2, 1, b);
}

const struct lt_op lt_op_conv2d_dx = {
    .name = "conv2d_dx",
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
