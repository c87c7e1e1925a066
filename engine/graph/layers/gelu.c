/* gelu.c - nn.GELU, exact or by tanh */
#include "engine/graph/build.h"

static lt_id gelu_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    bool approximate = l->gelu->approximate == LT__V1__GELU__APPROXIMATE__tanh;
    struct lt_attr attr = lt_attr_str("approximate", approximate ? "tanh" : "none");

    return lt_build_node(b, "gelu", &x, 1, &attr, 1);
}

const struct lt_layer lt_layer_gelu = {LT__V1__LAYER__LAYER_GELU, "gelu", gelu_build};
