/* linear.c - nn.Linear over the last dimension
 *
 * Weights and bias start uniform in ±1/sqrt(in): kaiming_uniform(a = sqrt(5)) and torch's bias
 * bound are both that.
 */
#include <math.h>
#include "engine/graph/build.h"

static lt_id linear_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    const Lt__V1__Linear *p = l->linear;
    const struct lt_type *t;
    struct lt_init init = {LT_INIT_UNIFORM, 0, 0, NULL};
    int64_t dim[2] = {(int64_t)p->out_features, 0};
    lt_id in[3] = {x, LT_NONE, LT_NONE};

    if (!p->has_out_features || dim[0] < 1)
        return lt_build_problem(b, "give a number of outputs, such as out_features: 10",
                                "out_features is missing");
    if (x == LT_NONE)
        return LT_NONE;
    t = lt_build_type(b, x);
    if (t->ndim < 2 || t->dim[t->ndim - 1].sym != LT_SYM_NONE)
        return lt_build_problem(b, "its input has a batch and a feature dimension",
                                "expected at least 2-d input, got %s", lt_build_text(b, x));
    dim[1] = t->dim[t->ndim - 1].k;
    init.b = 1 / sqrt((double)dim[1]);
    init.a = -init.b;
    in[1] = lt_build_param(b, "weight", dim, 2, init);
    if (p->bias)
        in[2] = lt_build_param(b, "bias", dim, 1, init);
    return lt_build_node(b, "linear", in, p->bias ? 3 : 2, NULL, 0);
}

const struct lt_layer lt_layer_linear = {LT__V1__LAYER__LAYER_LINEAR, "linear", linear_build};
