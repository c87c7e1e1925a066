/* cross_entropy.c - Σ over samples of weight * F.cross_entropy, and the weight to divide by
 *
 * In: logits [n, c], target int[n], weight [n], class_weight [c]. Out: loss_sum, weight_sum
 * (float64). A sample's loss with log-probabilities l, class weights w and smoothing s: (1 - s) *
 * w_y * -l_y + s / c * Σ_j w_j * -l_j; its part of weight_sum is weight * w_y. Ignored samples have
 * neither.
 */
#include <math.h>

#include "engine/ops/loss.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    lt_loss_outputs(out);
    return lt_cross_entropy_check(n, in, n->n_in, err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[5] = {dout[0]};

    if (dout[0] == LT_NONE) /* the weight depends on no logits */
        return 0;
    for (int i = 0; i < n.n_in; i++)
        in[i + 1] = n.in[i];
    return lt_op_emit(g, &n, "dx", "cross_entropy_grad", in, n.n_in + 1, NULL, 0, &din[0], err);
}

static double sample_loss(const struct lt_kernel_args *k, int64_t i, int64_t y)
{
    const struct lt_operand *x = &k->in[0];
    double s = lt_node_float(k->node, "label_smoothing"), top = -INFINITY, sum = 0, loss = 0;
    int64_t c = x->dim[1];

    for (int64_t j = 0; j < c; j++)
        top = fmax(top, lt_get(x, i * c + j));
    for (int64_t j = 0; j < c; j++)
        sum += exp(lt_get(x, i * c + j) - top);
    for (int64_t j = 0; j < c; j++) {
        double share = s / (double)c + (j == y ? 1 - s : 0);

        if (share != 0)
            loss -= share * (k->n_in > 3 ? lt_get(&k->in[3], j) : 1) *
                    (lt_get(x, i * c + j) - top - log(sum));
    }
    return loss;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double loss = 0, weight = 0;

    for (int64_t i = 0; i < k->in[0].dim[0]; i++) {
        double w = lt_get(&k->in[2], i);
        int64_t y;
        int rc = lt_cross_entropy_label(k, k->in, i, &y, err);

        if (rc)
            return rc;
        if (y < 0)
            continue;
        loss += w * sample_loss(k, i, y);
        weight += w * (k->n_in > 3 ? lt_get(&k->in[3], y) : 1);
    }
    lt_set(&k->out[0], 0, loss);
    lt_set(&k->out[1], 0, weight);
    return 0;
}

const struct lt_op lt_op_cross_entropy = {
    .name = "cross_entropy",
    .precision = LT_PRECISION_KEEP,
    .min_in = 3,
    .max_in = 4,
    .n_out = 2,
    .attrs = lt_cross_entropy_attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .tol = 1e-5,
};
