/* log_softmax.c - nn.LogSoftmax along one dimension */
#include "engine/graph/build.h"

static lt_id log_softmax_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    int64_t dim = l->log_softmax->dim;
    struct lt_attr attr;
    const struct lt_type *t;

    if (x == LT_NONE)
        return LT_NONE;
    t = lt_build_type(b, x);
    if (dim < -t->ndim || dim >= t->ndim)
        return lt_build_problem(b, NULL, "dim %lld doesn't exist in %s", (long long)dim,
                                lt_build_text(b, x));
    attr = lt_attr_int("axis", dim < 0 ? dim + t->ndim : dim);
    return lt_build_node(b, "log_softmax", &x, 1, &attr, 1);
}

const struct lt_layer lt_layer_log_softmax = {LT__V1__LAYER__LAYER_LOG_SOFTMAX, "log_softmax",
                                              log_softmax_build};
