/* flatten.c - nn.Flatten: joins dimensions start_dim … end_dim */
#include "engine/graph/build.h"

static lt_id flatten_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    int64_t from = l->flatten->start_dim, to = l->flatten->end_dim;
    int64_t shape[LT_DIMS_MAX];
    struct lt_dim joined = lt_dim_num(1);
    const struct lt_type *t;
    struct lt_attr attr;
    int n = 0;

    if (x == LT_NONE)
        return LT_NONE;
    t = lt_build_type(b, x);
    from += from < 0 ? t->ndim : 0;
    to += to < 0 ? t->ndim : 0;
    if (from < 0 || to >= t->ndim || from > to)
        return lt_build_problem(
            b, "start_dim and end_dim are dimensions of the input, in this order",
            "dimensions %lld … %lld don't exist in %s", (long long)l->flatten->start_dim,
            (long long)l->flatten->end_dim, lt_build_text(b, x));
    for (int64_t i = from; i <= to; i++)
        if (!lt_dim_mul(joined, t->dim[i], &joined))
            return lt_build_problem(b, NULL, "the size of %s joined can't be said",
                                    lt_build_text(b, x));
    for (int i = 0; i < from; i++)
        shape[n++] = 0;
    shape[n++] = joined.sym == LT_SYM_NONE ? joined.k : -1;
    for (int64_t i = to + 1; i < t->ndim; i++)
        shape[n++] = t->dim[i].k;
    attr = lt_attr_ints("shape", shape, n);
    return lt_build_node(b, "reshape", &x, 1, &attr, 1);
}

const struct lt_layer lt_layer_flatten = {LT__V1__LAYER__LAYER_FLATTEN, "flatten", flatten_build};
