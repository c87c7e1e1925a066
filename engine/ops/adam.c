/* adam.c - torch.optim.Adam and (decoupled) AdamW; formula in adam_update.c
 *
 * In: p, g, m, v, lr float64[], opt_step int64[], scale float64[]. Out: the new p, m, v.
 */
#include "engine/ops/adam_update.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    for (int i = 0; i < n->op->n_out; i++)
        out[i] = in[0];
    return lt_update_check(n, in, 4, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_adam_ref(k, 4, false);
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    return 12 * lt_type_count(&g->values[n->in[0]].type, b);
}

const struct lt_op lt_op_adam = {
    .name = "adam",
    .cls = LT_OP_UPDATE,
    .precision = LT_PRECISION_KEEP,
    .min_in = 7,
    .max_in = 7,
    .n_out = 3,
    .attrs = lt_adam_attrs,
    .infer = infer,
    .ref = ref,
    .flops = flops,
    .updates = {1, 3, 4},
    .tol = 2e-6,
};
