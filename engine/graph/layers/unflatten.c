/* unflatten.c - nn.Unflatten: splits a dimension; one size may be -1 */
#include "engine/graph/build.h"

/* Fills in the -1. Product of the others, or 0 when the sizes make no sense. */
static bool sizes_resolve(int64_t whole, const Lt__V1__Unflatten *u, int64_t *sizes)
{
    int64_t product = 1;
    int open = -1;

    for (size_t i = 0; i < u->n_sizes; i++) {
        sizes[i] = u->sizes[i];
        if (sizes[i] == -1 && open < 0)
            open = (int)i;
        else if (sizes[i] <= 0 || __builtin_mul_overflow(product, sizes[i], &product))
            return false;
    }
    if (open < 0)
        return product == whole;
    sizes[open] = whole / product;
    return whole % product == 0 && sizes[open] > 0;
}

static lt_id unflatten_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    const Lt__V1__Unflatten *u = l->unflatten;
    int64_t dim = u->dim, shape[LT_DIMS_MAX], sizes[LT_DIMS_MAX];
    const struct lt_type *t;
    struct lt_attr attr;
    int n = 0;

    if (!u->n_sizes || u->n_sizes > LT_DIMS_MAX)
        return lt_build_problem(b, "sizes: [1, 28, 28]", "sizes has %zu entries", u->n_sizes);
    if (x == LT_NONE)
        return LT_NONE;
    t = lt_build_type(b, x);
    dim += dim < 0 ? t->ndim : 0;
    if (dim < 0 || dim >= t->ndim || t->dim[dim].sym != LT_SYM_NONE ||
        t->ndim - 1 + (int)u->n_sizes > LT_DIMS_MAX)
        return lt_build_problem(b, "name a dimension that isn't the batch's",
                                "dimension %lld of %s can't be split", (long long)u->dim,
                                lt_build_text(b, x));
    if (!sizes_resolve(t->dim[dim].k, u, sizes))
        return lt_build_problem(b, "their product must be the dimension's size",
                                "sizes don't make up dimension %lld of %s", (long long)u->dim,
                                lt_build_text(b, x));
    for (int i = 0; i < dim; i++)
        shape[n++] = 0;
    for (size_t i = 0; i < u->n_sizes; i++)
        shape[n++] = sizes[i];
    for (int64_t i = dim + 1; i < t->ndim; i++)
        shape[n++] = t->dim[i].k;
    attr = lt_attr_ints("shape", shape, n);
    return lt_build_node(b, "reshape", &x, 1, &attr, 1);
}

const struct lt_layer lt_layer_unflatten = {LT__V1__LAYER__LAYER_UNFLATTEN, "unflatten",
                                            unflatten_build};
