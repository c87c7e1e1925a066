/* reshape.c - the same elements in row-major order under another shape
 *
 * shape: 0 keeps the input's dimension at that place, -1 (once) is what remains. With a second
 * input: that one's shape. A symbol stays whole: n * 28 * 28 elements may become [n, 784] or [28,
 * n*28], never [n*28/3, …].
 */
#include "engine/ops/util.h"

/* The number of elements as k times at most one symbol. */
static int product(const struct lt_node *n, const struct lt_dim *d, int ndim, struct lt_dim *out,
                   struct lt_error *err)
{
    *out = lt_dim_num(1);
    for (int i = 0; i < ndim; i++)
        if (!lt_dim_mul(*out, d[i], out))
            return lt_refuse(n, err, "more than one symbolic dimension, or too many elements");
    return 0;
}

static int from_attr(const struct lt_node *n, const struct lt_type *in, struct lt_type *out,
                     struct lt_error *err)
{
    int count, hole = -1;
    const int64_t *shape = lt_node_ints(n, "shape", &count);
    struct lt_dim all, known;
    int rc;

    if (count > LT_DIMS_MAX)
        return lt_refuse(n, err, "%d dimensions; at most %d", count, LT_DIMS_MAX);
    out->ndim = count;
    for (int i = 0; i < count; i++) {
        if (shape[i] == -1 && hole >= 0)
            return lt_refuse(n, err, "more than one -1 in shape");
        if (shape[i] < -1 || (shape[i] == 0 && i >= in->ndim))
            return lt_refuse(n, err, "shape[%d] is %lld", i, (long long)shape[i]);
        if (shape[i] == -1)
            hole = i;
        out->dim[i] = shape[i] == 0 ? in->dim[i] : lt_dim_num(shape[i] == -1 ? 1 : shape[i]);
    }
    rc = product(n, in->dim, in->ndim, &all, err);
    rc = rc ? rc : product(n, out->dim, count, &known, err);
    if (rc)
        return rc;
    if (hole >= 0 && known.k > 0 && all.k % known.k == 0 &&
        (known.sym == all.sym || known.sym == LT_SYM_NONE)) {
        out->dim[hole] =
            (struct lt_dim){all.k / known.k, known.sym == all.sym ? LT_SYM_NONE : all.sym};
        return 0;
    }
    return hole < 0 && lt_dim_eq(all, known)
               ? 0
               : lt_refuse(n, err, "the shapes hold different numbers of elements");
}

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_dim a, b;
    int rc;

    (void)g;
    out[0] = in[0];
    if (n->n_in == 1)
        return from_attr(n, &in[0], &out[0], err);
    out[0] = in[1];
    out[0].dtype = in[0].dtype;
    rc = product(n, in[0].dim, in[0].ndim, &a, err);
    rc = rc ? rc : product(n, in[1].dim, in[1].ndim, &b, err);
    if (!rc && !lt_dim_eq(a, b))
        return lt_refuse(n, err, "the shapes hold different numbers of elements");
    return rc;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {dout[0], n.in[0]};

    n.n_attrs = 0; /* the shape is that of the second input, not this node's */
    return lt_op_emit(g, &n, "dx", "reshape", in, 2, NULL, 0, &din[0], err);
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INTS_OPT("shape"), LT_ATTR_END};

const struct lt_op lt_op_reshape = {
    .name = "reshape",
    .cls = LT_OP_VIEW,
    .min_in = 1,
    .max_in = 2,
    .n_out = 1,
    .attrs = attrs,
    .shape_only = 2,
    .infer = infer,
    .grad = grad,
    .ref = lt_ref_copy,
    .inplace = {1},
};
