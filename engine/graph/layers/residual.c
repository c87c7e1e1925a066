/* residual.c - y = x + layers(x) */
#include "engine/graph/build.h"

static lt_id residual_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    lt_id y = lt_build_layers(b, l->residual->layers, l->residual->n_layers, x);
    lt_id in[2] = {x, y};

    if (x == LT_NONE || y == LT_NONE)
        return LT_NONE;
    if (!lt_type_eq(lt_build_type(b, x), lt_build_type(b, y)))
        return lt_build_problem(b, "its layers must give back the shape they take",
                                "the layers make %s of %s, which can't be added",
                                lt_build_text(b, y), lt_build_text(b, x));
    return lt_build_node(b, "add", in, 2, NULL, 0);
}

const struct lt_layer lt_layer_residual = {LT__V1__LAYER__LAYER_RESIDUAL, "residual",
                                           residual_build};
