/* relu_grad.c - dx of relu from dy and its output y */
#include <math.h>

#include "engine/ops/util.h"

static double value(double dy, double v)
{
    return v <= 0 ? 0 : dy; /* NaN lets dy through, as in torch */
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_binary(k, value);
}

const struct lt_op lt_op_relu_grad = {
    .name = "relu_grad",
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
