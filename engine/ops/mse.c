/* mse.c - Σ over samples of weight * mean over its features of (x - target)², and Σ weight
 * (F.mse_loss when divided) */
#include <errno.h>

#include "engine/ops/loss.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    char tx[128], tt[128];

    (void)g;
    lt_loss_outputs(out);
    lt_type_print(tx, sizeof tx, &in[0]);
    lt_type_print(tt, sizeof tt, &in[1]);
    if (!lt_type_eq(&in[0], &in[1]))
        return lt_refuse(n, err, "input %s and target %s must be of one type", tx, tt);
    if (lt_loss_check_batch(n, &in[0], &in[2], "weight", err))
        return -EINVAL;
    return lt_check_float(n, &in[2], "weight", err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    if (dout[0] == LT_NONE) /* the weight doesn't depend on x */
        return 0;
    return lt_op_emit(g, &n, "dx", "mse_grad", (lt_id[]){dout[0], n.in[0], n.in[1], n.in[2]}, 4,
                      NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    int64_t per = x->dim[0] ? x->count / x->dim[0] : 0;
    double loss = 0, weight = 0;

    (void)err;
    for (int64_t i = 0; i < x->dim[0]; i++) {
        double w = lt_get(&k->in[2], i), sum = 0;

        for (int64_t j = i * per; w != 0 && j < (i + 1) * per; j++)
            sum += (lt_get(x, j) - lt_get(&k->in[1], j)) * (lt_get(x, j) - lt_get(&k->in[1], j));
        loss += w != 0 ? w * sum / (double)per : 0;
        weight += w;
    }
    lt_set(&k->out[0], 0, loss);
    lt_set(&k->out[1], 0, weight);
    return 0;
}

const struct lt_op lt_op_mse = {
    .name = "mse",
    .precision = LT_PRECISION_KEEP,
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .tol = 1e-5,
};
