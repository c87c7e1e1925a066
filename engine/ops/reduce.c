/* reduce.c - see reduce.h */
#include "engine/ops/reduce.h"

#include "base/mem.h"

const struct lt_attr_spec lt_reduce_attrs[] = {LT_ATTR_INTS_OPT("axes"),
                                               LT_ATTR_INT_DEF("keepdims", 0), LT_ATTR_END};

int lt_reduce_mask(const struct lt_node *n, int ndim, unsigned *mask, struct lt_error *err)
{
    int count;
    const int64_t *axes = lt_node_ints(n, "axes", &count);

    *mask = count ? 0 : (1u << ndim) - 1;
    for (int i = 0; i < count; i++) {
        int axis = lt_axis(n, axes[i], ndim, err);

        if (axis < 0)
            return axis;
        if (*mask & 1u << axis)
            return lt_refuse(n, err, "axis %d is named twice", axis);
        *mask |= 1u << axis;
    }
    return 0;
}

int lt_infer_reduce(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                    struct lt_type *out, struct lt_error *err)
{
    bool keep = lt_node_int(n, "keepdims");
    unsigned mask;
    int rc = lt_reduce_mask(n, in[0].ndim, &mask, err);

    (void)g;
    if (rc)
        return rc;
    out[0] = (struct lt_type){.dtype = in[0].dtype};
    for (int i = 0; i < in[0].ndim; i++) {
        if (!(mask & 1u << i))
            out[0].dim[out[0].ndim++] = in[0].dim[i];
        else if (keep)
            out[0].dim[out[0].ndim++] = lt_dim_num(1);
    }
    return 0;
}

int64_t lt_reduce_index(const struct lt_operand *x, unsigned mask, int64_t i)
{
    int64_t at = 0, stride = 1;

    for (int d = x->ndim - 1; d >= 0; d--) {
        if (!(mask & 1u << d)) {
            at += i % x->dim[d] * stride;
            stride *= x->dim[d];
        }
        i /= x->dim[d];
    }
    return at;
}

int lt_ref_reduce(const struct lt_kernel_args *k, double start, double (*fold)(double, double),
                  double (*finish)(double, double))
{
    const struct lt_operand *x = &k->in[0], *y = &k->out[0];
    double *acc = lt_malloc(((size_t)y->count + 1) * sizeof *acc);
    unsigned mask;

    lt_reduce_mask(k->node, x->ndim, &mask, NULL);
    for (int64_t i = 0; i < y->count; i++)
        acc[i] = start;
    for (int64_t i = 0; i < x->count; i++) {
        double *a = &acc[lt_reduce_index(x, mask, i)];

        *a = fold(*a, lt_get(x, i));
    }
    for (int64_t i = 0; i < y->count; i++)
        lt_set(y, i, finish ? finish(acc[i], (double)x->count / (double)y->count) : acc[i]);
    lt_free(acc);
    return 0;
}

int lt_op_emit_keepdims(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id dy,
                        lt_id x, lt_id *out, struct lt_error *err)
{
    const struct lt_type tx = g->values[x].type;
    int64_t shape[LT_DIMS_MAX];
    struct lt_attr a = {.name = "shape", .kind = LT_ATTR_INTS, .i = tx.ndim, .ints = shape};
    unsigned mask;
    int rc = lt_reduce_mask(n, tx.ndim, &mask, err);
    lt_id shaped;

    if (rc || lt_node_int(n, "keepdims") || mask == 0) {
        *out = dy;
        return rc;
    }
    for (int i = 0; i < tx.ndim; i++)
        shape[i] = mask & 1u << i ? 1 : tx.dim[i].sym != LT_SYM_NONE ? -1 : tx.dim[i].k;
    rc = lt_op_emit(g, n, suffix, "reshape", &dy, 1, &a, 1, &shaped, err);
    if (!rc)
        *out = shaped;
    return rc;
}

int64_t lt_reduce_flops(const struct lt_graph *g, const struct lt_node *n,
                        const struct lt_binding *b)
{
    return lt_type_count(&g->values[n->in[0]].type, b);
}
