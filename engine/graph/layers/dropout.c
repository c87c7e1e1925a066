/* dropout.c - nn.Dropout: nothing outside training */
#include "engine/graph/build.h"

static lt_id dropout_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    double p = l->dropout->p;

    if (!(p >= 0 && p <= 1))
        return lt_build_problem(b, "0 <= p <= 1", "p is %g", p);
    if (x == LT_NONE || !b->training || p == 0)
        return x;
    lt_id in[3] = {x, lt_build_input(b, "rng_step"), lt_build_input(b, "sample_index")};
    struct lt_attr attrs[] = {lt_attr_float("p", p), lt_attr_int("seed", (int64_t)b->plan->seed)};

    return lt_build_node(b, "dropout", in, 3, attrs, 2);
}

const struct lt_layer lt_layer_dropout = {LT__V1__LAYER__LAYER_DROPOUT, "dropout", dropout_build};
