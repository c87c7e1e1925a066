/* batch_norm_sum.c - a share of a batch norm's statistics, to be added to those of other ranks
 *
 * In: x [n, c, …], weight [n], optionally the total of this operator without it (then over all
 * ranks). Out: float64 [c + 1], over the samples whose weight isn't 0: per channel Σ x, or with a
 * total Σ (x - mean)², mean = total / count rounded to x's type; behind them how many elements of a
 * channel count.
 */
#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = in[0].ndim < 2 || in[0].dim[1].sym != LT_SYM_NONE
                 ? lt_refuse(n, err, "takes [n, c, …]")
                 : lt_norm_check_weight(n, &in[0], &in[1], err);

    (void)g;
    if (rc < 0)
        return rc;
    out[0] = (struct lt_type){
        .dtype = LT_F64, .ndim = 1, .dim = {lt_dim_num(in[0].dim[1].k + 1)}};
    return n->n_in > 2 ? lt_check_same(n, &out[0], &in[2], "total", err) : 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    int64_t channels = x->dim[1], counted = 0;
    struct lt_channel it;

    (void)err;
    for (int64_t c = 0; c < channels; c++) {
        double mean = k->n_in > 2 ? lt_norm_mean(x->dtype, &k->in[2], c) : 0, sum = 0;

        counted = 0;
        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            double v = lt_get(x, it.at) - mean;

            if (lt_get(&k->in[1], it.sample) == 0)
                continue;
            counted++;
            sum += k->n_in > 2 ? v * v : v;
        }
        lt_set(&k->out[0], c, sum);
    }
    lt_set(&k->out[0], channels, (double)counted);
    return 0;
}

const struct lt_op lt_op_batch_norm_sum = {
    .name = "batch_norm_sum",
    .internal = true,
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .infer = infer,
    .ref = ref,
    .tol = 1e-5,
};
