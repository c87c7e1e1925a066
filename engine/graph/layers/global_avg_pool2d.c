/* global_avg_pool2d.c - nn.AdaptiveAvgPool2d(1): mean over height and width */
#include "engine/graph/build.h"

static lt_id global_avg_pool2d_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    static const int64_t axes[2] = {2, 3};
    struct lt_attr attrs[] = {lt_attr_ints("axes", axes, 2), lt_attr_int("keepdims", 1)};

    (void)l;
    if (x == LT_NONE)
        return LT_NONE;
    if (lt_build_type(b, x)->ndim != 4)
        return lt_build_problem(b, "put it before the layer that flattens",
                                "expected 4-d input [n, channels, height, width], got %s",
                                lt_build_text(b, x));
    return lt_build_node(b, "reduce_mean", &x, 1, attrs, 2);
}

const struct lt_layer lt_layer_global_avg_pool2d = {LT__V1__LAYER__LAYER_GLOBAL_AVG_POOL2D,
                                                    "global_avg_pool2d", global_avg_pool2d_build};
