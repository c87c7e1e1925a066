/* cross_entropy.c - F.cross_entropy, summed with sample weights */
#include <errno.h>
#include "engine/graph/build.h"

static int cross_entropy_build(struct lt_build *b, const Lt__V1__Loss *l, struct lt_sums *out)
{
    const Lt__V1__CrossEntropy *c = l->cross_entropy;
    lt_id in[4] = {lt_build_result(b, c->input), lt_build_target(b, c->target), LT_NONE, LT_NONE};
    struct lt_attr attrs[] = {lt_attr_int("ignore_index", c->ignore_index),
                              lt_attr_float("label_smoothing", c->label_smoothing)};
    int n = 3;

    if (in[0] == LT_NONE || in[1] == LT_NONE || !lt_build_classes(b, in[0], in[1], c->target))
        return -EINVAL;
    in[2] = lt_build_input(b, "weight");
    if (c->n_weight) {
        int64_t classes = lt_build_type(b, in[0])->dim[1].k;

        if ((int64_t)c->n_weight != classes) {
            lt_build_problem(b, "one weight per class", "%zu weights for %lld classes", c->n_weight,
                             (long long)classes);
            return -EINVAL;
        }
        in[n++] = lt_build_table(b, "class_weight", c->weight, classes);
    }
    out->sum = lt_build_node(b, "cross_entropy", in, n, attrs, 2);
    if (out->sum == LT_NONE)
        return -EINVAL;
    out->weight = b->g->nodes[b->g->n_nodes - 1].out[1];
    return 0;
}

const struct lt_loss lt_loss_cross_entropy = {LT__V1__LOSS__LOSS_CROSS_ENTROPY, "cross_entropy",
                                              cross_entropy_build};
