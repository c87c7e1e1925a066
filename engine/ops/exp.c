/* exp.c - e^x; dx = dy * y */
#include <math.h>

#include "engine/ops/util.h"

static double value(double x)
{
    return exp(x);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {dout[0], n.out[0]};

    return lt_op_emit(g, &n, "dx", "mul", in, 2, NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_unary(k, value);
}

const struct lt_op lt_op_exp = {
    .name = "exp",
    .cls = LT_OP_POINTWISE,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = lt_infer_same_float,
    .grad = grad,
    .ref = ref,
    .inplace = {1},
    .tol = 2e-6,
};
