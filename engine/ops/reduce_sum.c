/* reduce_sum.c - sum over axes; dx = dy expanded */
#include <math.h>

#include "engine/ops/reduce.h"

static double fold(double acc, double x)
{
    return acc + x;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {LT_NONE, n.in[0]};
    int rc = lt_op_emit_keepdims(g, &n, "dy", dout[0], n.in[0], &in[0], err);

    return rc ? rc : lt_op_emit(g, &n, "dx", "expand", in, 2, NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_reduce(k, 0, fold, NULL);
}

const struct lt_op lt_op_reduce_sum = {
    .name = "reduce_sum",
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = lt_reduce_attrs,
    .infer = lt_infer_reduce,
    .grad = grad,
    .ref = ref,
    .flops = lt_reduce_flops,
    .tol = 1e-5,
};
