/* batch_norm.c - batch normalisation in training (Ioffe & Szegedy, arXiv:1502.03167; F.batch_norm)
 *
 * In: x [n, c, …], running_mean [c], running_var [c], weight [n] (sample weights), gamma [c], beta
 * [c]. Out: y, mean [c], invstd [c], the new running_mean, the new running_var. Statistics are over
 * the samples whose weight isn't 0: y uses the biased variance, running_var the unbiased one;
 * running = (1 - momentum) * running + momentum * batch. Batches without samples change nothing;
 * one value alone has no unbiased variance and leaves running_var as it was (torch refuses such a
 * batch). Statistics that aren't finite move nothing: the update of such a batch is left out, and
 * what validates after it must not be lost with it (torch's would be).
 */
#include <math.h>

#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc = lt_norm_check_channels(n, &in[0], in, 1, 2, err);

    (void)g;
    rc = rc ? rc : lt_norm_check_channels(n, &in[0], in, 4, n->n_in - 4, err);
    rc = rc ? rc : lt_norm_check_weight(n, &in[0], &in[3], err);
    out[0] = in[0];
    for (int i = 1; i < 5; i++)
        out[i] = in[1];
    return rc;
}

int lt_batch_norm_grad_emit(struct lt_graph *g, int node, int weight, const lt_id *dout, lt_id *din,
                            struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    bool affine = n.n_in > weight + 1;
    lt_id in[] = {dout[0], n.in[0], n.out[1], n.out[2], n.in[weight],
                  affine ? n.in[weight + 1] : LT_NONE},
          dx;
    int rc = lt_op_only_first(&n, dout, err), made;

    rc = rc ? rc
            : lt_op_emit(g, &n, "dx", "batch_norm_grad", in, affine ? 6 : 5, NULL, 0, &dx, err);
    if (rc)
        return rc;
    made = g->values[dx].node;
    din[0] = dx;
    for (int i = weight + 1; i < n.n_in; i++)
        din[i] = g->nodes[made].out[i - weight];
    return 0;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    return lt_batch_norm_grad_emit(g, node, 3, dout, din, err);
}

/* Mean and biased variance of a channel's counting elements; how many there are. */
static double moments(const struct lt_kernel_args *k, const struct lt_operand *weight, int64_t c,
                      double *mean, double *sum_of_squares)
{
    struct lt_channel it;
    double count = 0;

    *mean = *sum_of_squares = 0;
    for (lt_channel_start(&it, &k->in[0], c); lt_channel_next(&it);)
        if (lt_get(weight, it.sample) != 0) {
            count++;
            *mean += lt_get(&k->in[0], it.at);
        }
    *mean = count > 0 ? *mean / count : 0;
    for (lt_channel_start(&it, &k->in[0], c); lt_channel_next(&it);)
        if (lt_get(weight, it.sample) != 0)
            *sum_of_squares +=
                (lt_get(&k->in[0], it.at) - *mean) * (lt_get(&k->in[0], it.at) - *mean);
    return count;
}

static void move_running(const struct lt_kernel_args *k, int64_t c, double count, double mean,
                         double sum_of_squares)
{
    double momentum = lt_node_float(k->node, "momentum");

    for (int r = 0; r < 2; r++) {
        double old = lt_get(&k->in[1 + r], c), batch = r == 0 ? mean : sum_of_squares / (count - 1);

        lt_set(&k->out[3 + r], c,
               count > r && isfinite(batch) ? (1 - momentum) * old + momentum * batch : old);
    }
}

void lt_batch_norm_ref(const struct lt_kernel_args *k, int weight)
{
    const struct lt_operand *x = &k->in[0], *gamma = &k->in[weight + 1], *beta = &k->in[weight + 2];
    double eps = lt_node_float(k->node, "eps");

    for (int64_t c = 0; c < x->dim[1]; c++) {
        double mean, var, count = moments(k, &k->in[weight], c, &mean, &var);
        struct lt_channel it;

        if (k->n_out > 3)
            move_running(k, c, count, mean, var);
        var = count > 0 ? var / count : 0;
        lt_set(&k->out[1], c, mean);
        lt_set(&k->out[2], c, 1 / sqrt(var + eps));
        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            double v = (lt_get(x, it.at) - mean) / sqrt(var + eps);

            v = k->n_in > weight + 1 ? v * lt_get(gamma, c) : v;
            lt_set(&k->out[0], it.at, k->n_in > weight + 2 ? v + lt_get(beta, c) : v);
        }
    }
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    lt_batch_norm_ref(k, 3);
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("eps", 1e-5),
                                            LT_ATTR_FLOAT_DEF("momentum", 0.1), LT_ATTR_END};

const struct lt_op lt_op_batch_norm = {
    .name = "batch_norm",
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 6,
    .n_out = 5,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .updates = {0, 0, 0, 2, 3},
    .tol = 1e-5,
};
