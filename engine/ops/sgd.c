/* sgd.c - torch.optim.SGD without momentum: p -= lr * (g + weight_decay * p)
 *
 * In: p, g, lr float64[], scale float64[]. Out: the new p.
 */
#include <math.h>

#include "engine/ops/update.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = in[0];
    return lt_update_check(n, in, 2, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double lr = lt_get(&k->in[2], 0), scale = lt_get(&k->in[3], 0),
           wd = lt_node_float(k->node, "weight_decay");

    (void)err;
    if (isnan(scale)) {
        lt_update_unchanged(k);
        return 0;
    }
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, lt_get(&k->in[0], i) - lr * lt_update_gradient(k, i, scale, wd));
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("weight_decay", 0),
                                            LT_ATTR_INT_DEF("maximize", 0),
                                            LT_ATTR_FLOAT_DEF("clip_value", 0), LT_ATTR_END};

const struct lt_op lt_op_sgd = {
    .name = "sgd",
    .cls = LT_OP_UPDATE,
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .updates = {1},
    .tol = 1e-6,
};
