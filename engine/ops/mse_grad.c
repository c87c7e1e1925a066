/* mse_grad.c - dx of mse: dloss * weight * 2 * (x - target) / features */
#include "engine/ops/loss.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    const struct lt_type scalar = lt_scalar_type(LT_F64);
    int rc = lt_check_same(n, &scalar, &in[0], "dloss", err);

    (void)g;
    out[0] = in[1];
    rc = rc ? rc : lt_check_same(n, &in[1], &in[2], "the target", err);
    rc = rc ? rc : lt_loss_check_batch(n, &in[1], &in[3], "weight", err);
    return rc ? rc : lt_check_float(n, &in[3], "weight", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[1];
    int64_t per = x->dim[0] ? x->count / x->dim[0] : 0;
    double dloss = lt_get(&k->in[0], 0);

    (void)err;
    for (int64_t i = 0; i < x->count; i++) {
        double w = lt_get(&k->in[3], i / per);

        lt_set(&k->out[0], i,
               w == 0 ? 0 : dloss * w * 2 * (lt_get(x, i) - lt_get(&k->in[2], i)) / (double)per);
    }
    return 0;
}

const struct lt_op lt_op_mse_grad = {
    .name = "mse_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    .infer = infer,
    .ref = ref,
    .inplace = {2},
    .tol = 2e-6,
};
