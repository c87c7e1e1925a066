/* sigmoid.c - nn.Sigmoid */
#include "engine/graph/build.h"

static lt_id sigmoid_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    (void)l;
    return lt_build_node(b, "sigmoid", &x, 1, NULL, 0);
}

const struct lt_layer lt_layer_sigmoid = {LT__V1__LAYER__LAYER_SIGMOID, "sigmoid", sigmoid_build};
