/* batch_norm_eval.c - batch normalisation with the running statistics: (x - mean) / sqrt(var + eps)
 * * gamma + beta */
#include <math.h>

#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = in[0];
    return lt_norm_check_channels(n, &in[0], in, 1, n->n_in - 1, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    double eps = lt_node_float(k->node, "eps");
    struct lt_channel it;

    (void)err;
    for (int64_t c = 0; c < x->dim[1]; c++)
        for (lt_channel_start(&it, x, c); lt_channel_next(&it);) {
            double v = (lt_get(x, it.at) - lt_get(&k->in[1], c)) / sqrt(lt_get(&k->in[2], c) + eps);

            v = k->n_in > 3 ? v * lt_get(&k->in[3], c) : v;
            lt_set(&k->out[0], it.at, k->n_in > 4 ? v + lt_get(&k->in[4], c) : v);
        }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("eps", 1e-5), LT_ATTR_END};

const struct lt_op lt_op_batch_norm_eval = {
    .name = "batch_norm_eval",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 3,
    .max_in = 5,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .inplace = {1},
    .tol = 1e-5,
};
