/* reduce_mean.c - mean over axes; dx = dy / count expanded */
#include <math.h>

#include "engine/ops/reduce.h"

static double fold(double acc, double x)
{
    return acc + x;
}

static double finish(double acc, double count)
{
    return acc / count;
}

/* 1 / count: a constant where the reduced dimensions are numbers, else mean of ones is not needed:
 * symbols are refused. */
static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    const struct lt_type tx = g->values[n.in[0]].type;
    lt_id dy, in[] = {LT_NONE, n.in[0]}, scaled[2];
    double count = 1;
    unsigned mask;
    int rc = lt_reduce_mask(&n, tx.ndim, &mask, err);

    for (int i = 0; !rc && i < tx.ndim; i++) {
        if (mask & 1u << i && tx.dim[i].sym != LT_SYM_NONE)
            return lt_refuse(&n, err,
                             "the gradient of a mean over a symbolic dimension; use reduce_sum");
        count *= mask & 1u << i ? (double)tx.dim[i].k : 1;
    }
    rc = rc ? rc : lt_op_emit_keepdims(g, &n, "dy", dout[0], n.in[0], &dy, err);
    if (rc)
        return rc;
    scaled[0] = dy;
    scaled[1] = lt_graph_const(g, 1 / count, tx.dtype);
    rc = lt_op_emit(g, &n, "dy_over_count", "mul", scaled, 2, NULL, 0, &in[0], err);
    return rc ? rc : lt_op_emit(g, &n, "dx", "expand", in, 2, NULL, 0, &din[0], err);
}

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = lt_check_float(n, &in[0], "the input", err);

    return rc ? rc : lt_infer_reduce(g, n, in, out, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_reduce(k, 0, fold, finish);
}

const struct lt_op lt_op_reduce_mean = {
    .name = "reduce_mean",
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = lt_reduce_attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .flops = lt_reduce_flops,
    .tol = 1e-5,
};
