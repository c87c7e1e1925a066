/* mse.c - F.mse_loss: per sample the mean over its features, summed with sample weights */
#include <errno.h>
#include "engine/graph/build.h"

static int mse_build(struct lt_build *b, const Lt__V1__Loss *l, struct lt_sums *out)
{
    lt_id in[3] = {lt_build_result(b, l->mse->input), lt_build_target(b, l->mse->target), LT_NONE};

    if (in[0] == LT_NONE || in[1] == LT_NONE)
        return -EINVAL;
    if (!lt_type_eq(lt_build_type(b, in[0]), lt_build_type(b, in[1]))) {
        lt_build_problem(b, "both must have one shape and type", "the model gives %s, `%s` is %s",
                         lt_build_text(b, in[0]), l->mse->target, lt_build_text(b, in[1]));
        return -EINVAL;
    }
    in[2] = lt_build_input(b, "weight");
    out->sum = lt_build_node(b, "mse", in, 3, NULL, 0);
    if (out->sum == LT_NONE)
        return -EINVAL;
    out->weight = b->g->nodes[b->g->n_nodes - 1].out[1];
    return 0;
}

const struct lt_loss lt_loss_mse = {LT__V1__LOSS__LOSS_MSE, "mse", mse_build};
