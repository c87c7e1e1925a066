/* sequential.c - nn.Sequential inside a model */
#include "engine/graph/build.h"

static lt_id sequential_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    return lt_build_layers(b, l->sequential->layers, l->sequential->n_layers, x);
}

const struct lt_layer lt_layer_sequential = {LT__V1__LAYER__LAYER_SEQUENTIAL, "sequential",
                                             sequential_build};
