/* batch_norm_grad.c - dx, dgamma, dbeta of batch_norm from dy, x, mean, invstd, sample weights,
 * gamma
 *
 * With h = (x - mean) * invstd over the m elements that count: dbeta = Σ dy, dgamma = Σ dy h,
 * dx = gamma * invstd * (dy - dbeta / m - h * dgamma / m). Samples of weight 0 took no part in the
 * statistics: the sums for dx's correction run over all dy (they do depend on the statistics), the
 * correction itself goes to counting samples only.
 */
#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = lt_check_same(n, &in[1], &in[0], "dy", err);

    (void)g;
    out[0] = in[1];
    out[1] = in[2];
    out[2] = in[2];
    rc = rc ? rc : lt_norm_check_channels(n, &in[1], in, 2, 2, err);
    rc = rc ? rc : lt_norm_check_channels(n, &in[1], in, 5, n->n_in - 5, err);
    return rc ? rc : lt_norm_check_weight(n, &in[1], &in[4], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *x = &k->in[1];

    (void)err;
    for (int64_t c = 0; c < x->dim[1]; c++) {
        double mean = lt_get(&k->in[2], c), invstd = lt_get(&k->in[3], c);
        double gamma = k->n_in > 5 ? lt_get(&k->in[5], c) : 1, m = 0, dgamma = 0, dbeta = 0;
        struct lt_channel it;

        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            m += lt_get(&k->in[4], it.sample) != 0;
            dbeta += lt_get(dy, it.at);
            dgamma += lt_get(dy, it.at) * (lt_get(x, it.at) - mean) * invstd;
        }
        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            double h = (lt_get(x, it.at) - mean) * invstd, v = lt_get(dy, it.at);

            if (lt_get(&k->in[4], it.sample) != 0)
                v -= dbeta / m + h * dgamma / m;
            lt_set(&k->out[0], it.at, gamma * invstd * v);
        }
        lt_set(&k->out[1], c, dgamma);
        lt_set(&k->out[2], c, dbeta);
    }
    return 0;
}

const struct lt_op lt_op_batch_norm_grad = {
    .name = "batch_norm_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 5,
    .max_in = 6,
    .n_out = 3,
    .infer = infer,
    .ref = ref,
    .tol = 2e-5,
};
