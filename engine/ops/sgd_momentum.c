/* sgd_momentum.c - torch.optim.SGD with momentum
 *
 * In: p, g, buf, lr float64[], opt_step int64[], scale float64[]. Out: the new p, the new buf.
 * d = g + weight_decay * p; buf = opt_step is 1 ? d : momentum * buf + (1 - dampening) * d;
 * p -= lr * (nesterov ? d + momentum * buf : buf).
 */
#include <math.h>

#include "engine/ops/update.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = in[0];
    out[1] = in[0];
    return lt_update_check(n, in, 3, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double lr = lt_get(&k->in[3], 0), scale = lt_get(&k->in[5], 0),
           wd = lt_node_float(k->node, "weight_decay");
    double momentum = lt_node_float(k->node, "momentum"),
           damp = lt_node_float(k->node, "dampening");
    bool first = lt_get_int(&k->in[4], 0) == 1, nesterov = lt_node_int(k->node, "nesterov");

    (void)err;
    if (isnan(scale)) {
        lt_update_unchanged(k);
        return 0;
    }
    for (int64_t i = 0; i < k->out[0].count; i++) {
        double d = lt_update_gradient(k, i, scale, wd);
        double buf = first ? d : momentum * lt_get(&k->in[2], i) + (1 - damp) * d;
        double p = lt_get(&k->in[0], i);

        lt_set(&k->out[1], i, buf);
        lt_set(&k->out[0], i, p - lr * (nesterov ? d + momentum * buf : buf));
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {
    LT_ATTR_FLOAT_DEF("momentum", 0),
    LT_ATTR_FLOAT_DEF("dampening", 0),
    LT_ATTR_INT_DEF("nesterov", 0),
    LT_ATTR_FLOAT_DEF("weight_decay", 0),
    LT_ATTR_INT_DEF("maximize", 0),
    LT_ATTR_FLOAT_DEF("clip_value", 0),
    LT_ATTR_END,
};

const struct lt_op lt_op_sgd_momentum = {
    .name = "sgd_momentum",
    .cls = LT_OP_UPDATE,
    .precision = LT_PRECISION_KEEP,
    .min_in = 6,
    .max_in = 6,
    .n_out = 2,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .updates = {1, 3},
    .tol = 1e-6,
};
