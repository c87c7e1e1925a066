/* accuracy.c - share of samples whose largest output is the target class */
#include <errno.h>
#include "engine/graph/build.h"

static const char *accuracy_label(const Lt__V1__Metric *m)
{
    return m->accuracy->name;
}

static int accuracy_build(struct lt_build *b, const Lt__V1__Metric *m, struct lt_sums *out)
{
    const Lt__V1__Accuracy *a = m->accuracy;
    lt_id in[3] = {lt_build_result(b, a->input), lt_build_target(b, a->target), LT_NONE};

    if (in[0] == LT_NONE || in[1] == LT_NONE || !lt_build_classes(b, in[0], in[1], a->target))
        return -EINVAL;
    in[2] = lt_build_input(b, "weight");
    out->sum = lt_build_node(b, "accuracy", in, 3, NULL, 0);
    if (out->sum == LT_NONE)
        return -EINVAL;
    out->weight = b->g->nodes[b->g->n_nodes - 1].out[1];
    return 0;
}

const struct lt_metric lt_metric_accuracy = {LT__V1__METRIC__METRIC_ACCURACY, "accuracy",
                                             accuracy_label, accuracy_build};
