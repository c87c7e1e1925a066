/* accuracy.c - Σ weight of the samples whose greatest output is the target class, and Σ weight
 *
 * The first class wins among equals; NaN counts as greatest (torch.argmax).
 */
#include <math.h>

#include "engine/ops/loss.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int rc;

    (void)g;
    lt_loss_outputs(out);
    if (in[0].ndim != 2)
        return lt_refuse(n, err, "expected outputs [n, classes]");
    rc = lt_loss_check_batch(n, &in[0], &in[1], "the target", err);
    rc = rc ? rc : lt_loss_check_labels(n, &in[1], err);
    rc = rc ? rc : lt_loss_check_batch(n, &in[0], &in[2], "weight", err);
    return rc ? rc : lt_check_float(n, &in[2], "weight", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    int64_t c = x->dim[1];
    double right = 0, weight = 0;

    (void)err;
    for (int64_t i = 0; i < x->dim[0]; i++) {
        int64_t best = 0;

        for (int64_t j = 1; j < c; j++) {
            double top = lt_get(x, i * c + best), v = lt_get(x, i * c + j);

            if (!isnan(top) && (v > top || isnan(v)))
                best = j;
        }
        right += best == lt_get_int(&k->in[1], i) ? lt_get(&k->in[2], i) : 0;
        weight += lt_get(&k->in[2], i);
    }
    lt_set(&k->out[0], 0, right);
    lt_set(&k->out[1], 0, weight);
    return 0;
}

const struct lt_op lt_op_accuracy = {
    .name = "accuracy",
    .precision = LT_PRECISION_KEEP,
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .infer = infer,
    .ref = ref,
    .tol = 1e-6,
};
