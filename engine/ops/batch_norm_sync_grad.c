/* batch_norm_sync_grad.c - dx of a batch norm whose statistics were of all ranks
 *
 * In: dy, x [n, c, …], mean, invstd [c], weight [n], total of batch_norm_sum (for how many elements
 * count), total of batch_norm_grad_sum, optionally gamma [c]. As batch_norm_grad:
 * dx = gamma * invstd * (dy - Σdy / m - h * Σ(dy h) / m); samples of weight 0: gamma * invstd * dy.
 */
#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = lt_check_same(n, &in[1], &in[0], "dy", err);

    (void)g;
    rc = rc ? rc : lt_norm_check_channels(n, &in[1], in, 2, 2, err);
    rc = rc ? rc : lt_norm_check_weight(n, &in[1], &in[4], err);
    rc = rc ? rc : lt_norm_check_totals(n, &in[1], in, 5, 1, err);
    rc = rc ? rc : lt_norm_check_channels(n, &in[1], in, 7, n->n_in - 7, err);
    if (!rc && (in[6].dtype != LT_F64 || in[6].ndim != 1 ||
                in[6].dim[0].k != 2 * in[1].dim[1].k))
        rc = lt_refuse(n, err, "the gradient's total isn't float64 [2 c]");
    out[0] = in[1];
    return rc;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *x = &k->in[1];
    int64_t channels = x->dim[1];
    double m = lt_get(&k->in[5], channels);
    struct lt_channel it;

    (void)err;
    for (int64_t c = 0; c < channels; c++) {
        double mean = lt_get(&k->in[2], c), invstd = lt_get(&k->in[3], c);
        double gamma = k->n_in > 7 ? lt_get(&k->in[7], c) : 1;
        double dbeta = lt_get(&k->in[6], c), dgamma = lt_get(&k->in[6], channels + c);

        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            double h = (lt_get(x, it.at) - mean) * invstd, v = lt_get(dy, it.at);

            if (lt_get(&k->in[4], it.sample) != 0)
                v -= dbeta / m + h * dgamma / m;
            lt_set(&k->out[0], it.at, gamma * invstd * v);
        }
    }
    return 0;
}

const struct lt_op lt_op_batch_norm_sync_grad = {
    .name = "batch_norm_sync_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 7,
    .max_in = 8,
    .n_out = 1,
    .infer = infer,
    .ref = ref,
    .tol = 2e-5,
};
