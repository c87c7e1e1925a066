/* adam_update.c - see adam_update.h
 *
 * t = opt_step; decoupled: p *= 1 - lr * weight_decay, else g += weight_decay * p. m += (g - m) *
 * (1 - beta1); v = beta2 * v + (1 - beta2) * g²; p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 -
 * beta2^t) + eps); amsgrad takes the greatest v so far.
 */
#include "engine/ops/adam_update.h"

#include <math.h>

const struct lt_attr_spec lt_adam_attrs[] = {
    LT_ATTR_FLOAT_DEF("beta1", 0.9),    LT_ATTR_FLOAT_DEF("beta2", 0.999),
    LT_ATTR_FLOAT_DEF("eps", 1e-8),     LT_ATTR_FLOAT_DEF("weight_decay", 0),
    LT_ATTR_INT_DEF("decoupled", 0),    LT_ATTR_INT_DEF("maximize", 0),
    LT_ATTR_FLOAT_DEF("clip_value", 0), LT_ATTR_END,
};

int lt_adam_ref(const struct lt_kernel_args *k, int scalars, bool amsgrad)
{
    double lr = lt_get(&k->in[scalars], 0), t = lt_get(&k->in[scalars + 1], 0),
           scale = lt_get(&k->in[scalars + 2], 0);
    double b1 = lt_node_float(k->node, "beta1"), b2 = lt_node_float(k->node, "beta2");
    double eps = lt_node_float(k->node, "eps"), wd = lt_node_float(k->node, "weight_decay");
    bool decoupled = lt_node_int(k->node, "decoupled");
    double step_size = lr / (1 - pow(b1, t)), root = sqrt(1 - pow(b2, t));

    if (isnan(scale)) {
        lt_update_unchanged(k);
        return 0;
    }
    for (int64_t i = 0; i < k->out[0].count; i++) {
        double g = lt_update_gradient(k, i, scale, decoupled ? 0 : wd);
        double p = lt_get(&k->in[0], i) * (decoupled ? 1 - lr * wd : 1);
        double m = lt_get(&k->in[2], i) + (g - lt_get(&k->in[2], i)) * (1 - b1);
        double v = b2 * lt_get(&k->in[3], i) + (1 - b2) * g * g, top = v;

        if (amsgrad) {
            top = isnan(v) || v > lt_get(&k->in[4], i) ? v : lt_get(&k->in[4], i);
            lt_set(&k->out[3], i, top);
        }
        lt_set(&k->out[0], i, p - step_size * m / (sqrt(top) / root + eps));
        lt_set(&k->out[1], i, m);
        lt_set(&k->out[2], i, v);
    }
    return 0;
}
