/* batch_norm_grad_sum.c - a share of a batch norm's gradient sums, to be added to those of others
 *
 * In: dy, x [n, c, …], mean, invstd [c]. Out: float64 [2 c]: Σ dy of each channel, then Σ dy h,
 * h = (x - mean) * invstd.
 */
#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = lt_check_same(n, &in[1], &in[0], "dy", err);

    (void)g;
    rc = rc ? rc : lt_norm_check_channels(n, &in[1], in, 2, 2, err);
    out[0] =
        (struct lt_type){.dtype = LT_F64, .ndim = 1, .dim = {lt_dim_num(2 * in[1].dim[1].k)}};
    return rc;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *x = &k->in[1];
    struct lt_channel it;

    (void)err;
    for (int64_t c = 0; c < x->dim[1]; c++) {
        double dbeta = 0, dgamma = 0;

        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            dbeta += lt_get(dy, it.at);
            dgamma += lt_get(dy, it.at) * (lt_get(x, it.at) - lt_get(&k->in[2], c)) *
                      lt_get(&k->in[3], c);
        }
        lt_set(&k->out[0], c, dbeta);
        lt_set(&k->out[0], x->dim[1] + c, dgamma);
    }
    return 0;
}

const struct lt_op lt_op_batch_norm_grad_sum = {
    .name = "batch_norm_grad_sum",
    .internal = true,
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    .infer = infer,
    .ref = ref,
    .tol = 2e-5,
};
