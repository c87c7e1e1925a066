/* reduce_max.c - greatest over axes (torch.amax); NaN wins; dx is shared evenly among equals */
#include <math.h>

#include "engine/ops/reduce.h"

static double fold(double acc, double x)
{
    return isnan(acc) || isnan(x) ? NAN : fmax(acc, x);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {dout[0], n.in[0], n.out[0]};

    return lt_op_emit(g, &n, "dx", "reduce_max_grad", in, 3, NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_reduce(k, -INFINITY, fold, NULL);
}

const struct lt_op lt_op_reduce_max = {
    .name = "reduce_max",
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
