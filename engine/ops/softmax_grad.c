/* softmax_grad.c - dx of softmax from dy and its output: y * (dy - Σ dy y) */
#include "engine/ops/row.h"

static double part(double dy, double y)
{
    return dy * y;
}

static double finish(double dy, double y, double sum)
{
    return y * (dy - sum);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_row_ref_grad(k, part, finish);
}

const struct lt_op lt_op_softmax_grad = {
    .name = "softmax_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = lt_row_attrs,
    .infer = lt_row_infer_pair,
    .ref = ref,
    .inplace = {3},
    .tol = 4e-6,
};
