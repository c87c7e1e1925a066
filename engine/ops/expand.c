/* expand.c - x broadcast to the shape of `like` (torch's expand); dx = sum_to */
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_type pair[2] = {in[0], in[1]};
    int rc;

    pair[1].dtype = in[0].dtype;
    rc = lt_infer_broadcast(g, n, pair, out, err);
    if (!rc && !lt_shape_eq(&out[0], &in[1]))
        return lt_refuse(n, err, "the shape to expand to is smaller than the input's");
    return rc;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    return lt_op_emit_sum_to(g, &n, "dx", dout[0], n.in[0], &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, lt_get(&k->in[0], lt_broadcast_index(&k->in[0], &k->out[0], i)));
    return 0;
}

const struct lt_op lt_op_expand = {
    .name = "expand",
    .cls = LT_OP_OTHER,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape_only = 2,
    .infer = infer,
    .grad = grad,
    .ref = ref,
};
