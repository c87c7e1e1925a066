/* relu.c - nn.ReLU */
#include "engine/graph/build.h"

static lt_id relu_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    (void)l;
    return lt_build_node(b, "relu", &x, 1, NULL, 0);
}

const struct lt_layer lt_layer_relu = {LT__V1__LAYER__LAYER_RELU, "relu", relu_build};
