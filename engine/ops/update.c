/* update.c - see update.h */
#include "engine/ops/update.h"

#include <math.h>

int lt_update_check(const struct lt_node *n, const struct lt_type *in, int n_tensors,
                    struct lt_error *err)
{
    const struct lt_type f64 = lt_scalar_type(LT_F64), i64 = lt_scalar_type(LT_I64);
    bool has_step = n->n_in - n_tensors == 3; /* lr, opt_step, scale; or lr, scale */
    int rc = lt_check_float(n, &in[0], "the parameter", err);

    for (int i = 1; !rc && i < n_tensors; i++)
        if (!lt_type_eq(&in[0], &in[i]))
            return lt_refuse(n, err, "input %d must be of the parameter's type", i);
    rc = rc ? rc : lt_check_same(n, &f64, &in[n_tensors], "lr", err);
    if (has_step)
        rc = rc ? rc : lt_check_same(n, &i64, &in[n_tensors + 1], "opt_step", err);
    return rc ? rc : lt_check_same(n, &f64, &in[n->n_in - 1], "scale", err);
}

double lt_update_gradient(const struct lt_kernel_args *k, int64_t i, double scale,
                          double weight_decay)
{
    double clip = lt_node_float(k->node, "clip_value"), g = lt_get(&k->in[1], i) * scale;

    if (clip > 0)
        g = g < -clip ? -clip : g > clip ? clip : g; /* NaN stays NaN */
    if (lt_node_int(k->node, "maximize"))
        g = -g;
    return g + weight_decay * lt_get(&k->in[0], i);
}

void lt_update_unchanged(const struct lt_kernel_args *k)
{
    for (int o = 0; o < k->n_out; o++) {
        const struct lt_operand *in = &k->in[k->node->op->updates[o] - 1];

        for (int64_t i = 0; in->data != k->out[o].data && i < in->count; i++)
            lt_set(&k->out[o], i, lt_get(in, i));
    }
}
