/* transpose.c - permutes dimensions: out.dim[i] = x.dim[perm[i]] (torch.permute) */
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int count;
    const int64_t *perm = lt_node_ints(n, "perm", &count);
    unsigned seen = 0;

    (void)g;
    if (count != in[0].ndim)
        return lt_refuse(n, err, "perm has %d entries for %d dimensions", count, in[0].ndim);
    out[0] = in[0];
    for (int i = 0; i < count; i++) {
        if (perm[i] < 0 || perm[i] >= count || seen & 1u << perm[i])
            return lt_refuse(n, err, "perm is no permutation of 0 … %d", count - 1);
        seen |= 1u << perm[i];
        out[0].dim[i] = in[0].dim[perm[i]];
    }
    return 0;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    int count;
    const int64_t *perm = lt_node_ints(&n, "perm", &count);
    int64_t back[LT_DIMS_MAX];
    struct lt_attr a = {.name = "perm", .kind = LT_ATTR_INTS, .i = count, .ints = back};

    for (int i = 0; i < count; i++)
        back[perm[i]] = i;
    return lt_op_emit(g, &n, "dx", "transpose", dout, 1, &a, 1, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0], *y = &k->out[0];
    int count;
    const int64_t *perm = lt_node_ints(k->node, "perm", &count);
    int64_t stride[LT_DIMS_MAX] = {0}, s = 1;

    (void)err;
    for (int i = x->ndim - 1; i >= 0; i--) {
        stride[i] = s;
        s *= x->dim[i];
    }
    for (int64_t flat = 0; flat < y->count; flat++) {
        int64_t rest = flat, at = 0;

        for (int i = y->ndim - 1; i >= 0; i--) {
            at += rest % y->dim[i] * stride[perm[i]];
            rest /= y->dim[i];
        }
        lt_set(y, flat, lt_get(x, at));
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INTS_REQ("perm"), LT_ATTR_END};

const struct lt_op lt_op_transpose = {
    .name = "transpose",
    .cls = LT_OP_OTHER,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
};
