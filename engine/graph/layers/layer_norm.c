/* layer_norm.c - nn.LayerNorm over the trailing dimensions */
#include "engine/graph/build.h"

/* The dimensions to normalise: the plan's, which must be the input's last ones, or the last one. */
static int shape_of(struct lt_build *b, const Lt__V1__LayerNorm *p, lt_id x, int64_t *dim)
{
    const struct lt_type *t = lt_build_type(b, x);
    int n = p->n_normalized_shape ? (int)p->n_normalized_shape : 1;
    bool fits = n < t->ndim && n <= LT_DIMS_MAX;

    for (int i = 0; fits && i < n; i++) {
        struct lt_dim d = t->dim[t->ndim - n + i];

        dim[i] = d.k;
        fits = d.sym == LT_SYM_NONE &&
               (!p->n_normalized_shape || (uint64_t)d.k == p->normalized_shape[i]);
    }
    if (fits)
        return n;
    lt_build_problem(b, "leave normalized_shape out to normalise the last dimension",
                     "normalized_shape isn't how %s ends", lt_build_text(b, x));
    return -1;
}

static lt_id layer_norm_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    const Lt__V1__LayerNorm *p = l->layer_norm;
    const struct lt_init one = {LT_INIT_CONSTANT, 1, 0, NULL},
                         zero = {LT_INIT_CONSTANT, 0, 0, NULL};
    lt_id in[3] = {x, LT_NONE, LT_NONE};
    int64_t dim[LT_DIMS_MAX];
    int ndim, n = 1;

    if (x == LT_NONE)
        return LT_NONE;
    ndim = shape_of(b, p, x, dim);
    if (ndim < 0)
        return LT_NONE;
    if (p->elementwise_affine)
        in[n++] = lt_build_param(b, "weight", dim, ndim, one);
    if (p->elementwise_affine && p->bias)
        in[n++] = lt_build_param(b, "bias", dim, ndim, zero);
    struct lt_attr attrs[] = {lt_attr_int("ndim", ndim), lt_attr_float("eps", p->eps)};

    return lt_build_node(b, "layer_norm", in, n, attrs, 2);
}

const struct lt_layer lt_layer_layer_norm = {LT__V1__LAYER__LAYER_LAYER_NORM, "layer_norm",
                                             layer_norm_build};
