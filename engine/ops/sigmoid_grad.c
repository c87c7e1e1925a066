/* sigmoid_grad.c - dx of sigmoid from dy and its output y */
#include <math.h>

#include "engine/ops/util.h"

static double value(double dy, double v)
{
    return dy * v * (1 - v);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_binary(k, value);
}

const struct lt_op lt_op_sigmoid_grad = {
    .name = "sigmoid_grad",
    .internal = true,
    .cls = LT_OP_POINTWISE,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = lt_infer_pair,
    .ref = ref,
    .inplace = {3},
    .tol = 2e-6,
};
