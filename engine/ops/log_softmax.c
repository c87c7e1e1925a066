/* log_softmax.c - x - log Σ exp(x) along an axis, shifted by the greatest (F.log_softmax) */
#include <math.h>

#include "engine/ops/row.h"

static double finish(double shifted, double sum)
{
    return shifted - log(sum);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    return lt_op_emit(g, &n, "dx", "log_softmax_grad", (lt_id[]){dout[0], n.out[0]}, 2, NULL, 0,
                      &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_row_ref(k, finish);
}

const struct lt_op lt_op_log_softmax = {
    .name = "log_softmax",
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = lt_row_attrs,
    .infer = lt_row_infer,
    .grad = grad,
    .ref = ref,
    .inplace = {1},
    .tol = 4e-6,
};
