/* dropout_grad.c - dx of dropout: dy where the mask kept, scaled by 1 / (1 - p) */
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_type mask = in[0];
    double p = lt_node_float(n, "p");

    (void)g;
    out[0] = in[0];
    mask.dtype = LT_U8;
    if (!(p >= 0 && p <= 1))
        return lt_refuse(n, err, "p is %g; 0 <= p <= 1", p);
    return lt_check_same(n, &mask, &in[1], "the mask", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double p = lt_node_float(k->node, "p");

    (void)err;
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i,
               ((const uint8_t *)k->in[1].data)[i] ? lt_get(&k->in[0], i) / (1 - p) : 0);
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("p", 0.5), LT_ATTR_END};

const struct lt_op lt_op_dropout_grad = {
    .name = "dropout_grad",
    .internal = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .inplace = {1},
    .tol = 1e-6,
};
