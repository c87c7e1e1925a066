/* repeat.c - the layers, `times` times in a row, as a Sequential of Sequentials: NAME.ROUND.LAYER
 */
#include <stdio.h>
#include "engine/graph/build.h"

static lt_id repeat_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    const Lt__V1__Repeat *r = l->repeat;

    if (!r->has_times || !r->times)
        return lt_build_problem(b, "times: 2", "times is missing");
    if (r->times > 10000)
        return lt_build_problem(b, "at most 10000", "times is %llu", (unsigned long long)r->times);
    for (uint64_t i = 0; i < r->times; i++) {
        char name[512];
        struct lt_build round = *b;

        snprintf(name, sizeof name, "%s.%llu", b->name, (unsigned long long)i);
        round.name = name;
        x = lt_build_layers(&round, r->layers, r->n_layers, x);
        b->parameters = round.parameters;
        if (x == LT_NONE)
            return LT_NONE; /* the other rounds would say the same again */
    }
    return x;
}

const struct lt_layer lt_layer_repeat = {LT__V1__LAYER__LAYER_REPEAT, "repeat", repeat_build};
