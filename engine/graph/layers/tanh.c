/* tanh.c - nn.Tanh */
#include "engine/graph/build.h"

static lt_id tanh_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    (void)l;
    return lt_build_node(b, "tanh", &x, 1, NULL, 0);
}

const struct lt_layer lt_layer_tanh = {LT__V1__LAYER__LAYER_TANH, "tanh", tanh_build};
