/* cast.c - another dtype; integers are cut towards zero */
#include <string.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    const char *name = lt_node_str(n, "dtype");

    (void)g;
    out[0] = in[0];
    for (int d = 0; d < LT_DTYPE_N; d++)
        if (!strcmp(name, lt_dtype_names[d])) {
            out[0].dtype = (enum lt_dtype)d;
            return 0;
        }
    return lt_refuse(n, err, "unknown dtype '%s'", name);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    enum lt_dtype d = g->values[n.in[0]].type.dtype;
    struct lt_attr to = {.name = "dtype", .kind = LT_ATTR_STR, .s = lt_dtype_names[d]};

    return lt_op_emit(g, &n, "dx", "cast", dout, 1, &to, 1, &din[0], err);
}

static const struct lt_attr_spec attrs[] = {
    {.name = "dtype", .kind = LT_ATTR_STR, .required = true}, LT_ATTR_END};

const struct lt_op lt_op_cast = {
    .name = "cast",
    .cls = LT_OP_POINTWISE,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = lt_ref_copy,
};
