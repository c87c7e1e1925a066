/* batch_norm_apply.c - batch norm with statistics that are known: (x - mean) * invstd * gamma + beta
 *
 * In: x [n, c, …], totals of batch_norm_sum (Σ x; Σ (x - mean)²), optionally gamma, beta [c].
 * Out: y, mean [c], invstd [c].
 */
#include <math.h>

#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = lt_norm_check_totals(n, &in[0], in, 1, 2, err);

    (void)g;
    out[0] = in[0];
    out[1] = out[2] = (struct lt_type){.dtype = in[0].dtype, .ndim = 1, .dim = {in[0].dim[1]}};
    return rc ? rc : lt_norm_check_channels(n, &in[0], in, 3, n->n_in - 3, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    double eps = lt_node_float(k->node, "eps"), n = lt_get(&k->in[1], x->dim[1]);
    struct lt_channel it;

    (void)err;
    for (int64_t c = 0; c < x->dim[1]; c++) {
        double mean = lt_norm_mean(x->dtype, &k->in[1], c);
        double invstd = 1 / sqrt((n > 0 ? lt_get(&k->in[2], c) / n : 0) + eps);

        lt_set(&k->out[1], c, mean);
        lt_set(&k->out[2], c, invstd);
        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            double v = (lt_get(x, it.at) - mean) * invstd;

            v = k->n_in > 3 ? v * lt_get(&k->in[3], c) : v;
            lt_set(&k->out[0], it.at, k->n_in > 4 ? v + lt_get(&k->in[4], c) : v);
        }
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("eps", 1e-5), LT_ATTR_END};

const struct lt_op lt_op_batch_norm_apply = {
    .name = "batch_norm_apply",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 3,
    .max_in = 5,
    .n_out = 3,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .tol = 1e-5,
};
