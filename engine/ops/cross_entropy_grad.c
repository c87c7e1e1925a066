/* cross_entropy_grad.c - dlogits of cross_entropy: (dloss float64[], logits, target, weight,
 * class_weight)
 *
 * With p = softmax(logits): weight * dloss * ((1 - s) * w_y * (p_j - [j = y]) + s / c * (p_j * Σ w
 * - w_j)).
 */
#include <math.h>

#include "engine/ops/loss.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    const struct lt_type scalar = lt_scalar_type(LT_F64);
    int rc = lt_check_same(n, &scalar, &in[0], "dloss", err);

    (void)g;
    out[0] = in[1];
    return rc ? rc : lt_cross_entropy_check(n, in + 1, n->n_in - 1, err);
}

static void sample_grad(const struct lt_kernel_args *k, int64_t i, int64_t y, double scale)
{
    const struct lt_operand *x = &k->in[1], *cw = k->n_in > 4 ? &k->in[4] : NULL;
    double s = lt_node_float(k->node, "label_smoothing"), top = -INFINITY, sum = 0, all = 0;
    int64_t c = x->dim[1];

    for (int64_t j = 0; j < c; j++) {
        top = fmax(top, lt_get(x, i * c + j));
        all += cw ? lt_get(cw, j) : 1;
    }
    for (int64_t j = 0; j < c; j++)
        sum += exp(lt_get(x, i * c + j) - top);
    for (int64_t j = 0; j < c; j++) {
        double p = exp(lt_get(x, i * c + j) - top) / sum;
        double hard = (1 - s) * (cw ? lt_get(cw, y) : 1) * (p - (j == y));
        double soft = s / (double)c * (p * all - (cw ? lt_get(cw, j) : 1));

        lt_set(&k->out[0], i * c + j, scale * (hard + soft));
    }
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    int64_t c = k->in[1].dim[1];
    double dloss = lt_get(&k->in[0], 0);

    for (int64_t i = 0; i < k->in[1].dim[0]; i++) {
        int64_t y;
        int rc = lt_cross_entropy_label(k, k->in + 1, i, &y, err);

        if (rc)
            return rc;
        if (y >= 0)
            sample_grad(k, i, y, dloss * lt_get(&k->in[3], i));
        else
            for (int64_t j = 0; j < c; j++)
                lt_set(&k->out[0], i * c + j, 0);
    }
    return 0;
}

const struct lt_op lt_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 5,
    .n_out = 1,
    .attrs = lt_cross_entropy_attrs,
    .infer = infer,
    .ref = ref,
    .inplace = {2},
    .tol = 1e-5,
};
