/* batch_norm.c - nn.BatchNorm1d and 2d over dimension 1
 *
 * In training the batch's statistics (samples of weight 0 left out) normalise and move the running
 * ones; elsewhere the running ones normalise. num_batches_tracked counts, as torch's does. Without
 * track_running_stats there are none: the batch's own normalise everywhere.
 */
#include "engine/graph/build.h"

static lt_id training(struct lt_build *b, const Lt__V1__BatchNorm *p, const lt_id *in)
{
    struct lt_attr attrs[] = {lt_attr_float("eps", p->eps), lt_attr_float("momentum", p->momentum)};
    lt_id all[6] = {in[0], in[1], in[2], lt_build_input(b, "weight"), in[3], in[4]};
    lt_id count[2] = {in[5], lt_graph_const(b->g, 1, LT_I64)};
    lt_id y = lt_build_node(b, "batch_norm", all, p->affine ? 6 : 4, attrs, 2);

    if (y != LT_NONE)
        lt_build_node(b, "accumulate", count, 2, NULL, 0);
    return y;
}

static lt_id evaluation(struct lt_build *b, const Lt__V1__BatchNorm *p, const lt_id *in)
{
    struct lt_attr attr = lt_attr_float("eps", p->eps);

    return lt_build_node(b, "batch_norm_eval", in, p->affine ? 5 : 3, &attr, 1);
}

static lt_id untracked(struct lt_build *b, const Lt__V1__BatchNorm *p, const lt_id *in)
{
    struct lt_attr attr = lt_attr_float("eps", p->eps);
    lt_id all[4] = {in[0], lt_build_input(b, "weight"), in[3], in[4]};

    return lt_build_node(b, "batch_norm_batch", all, p->affine ? 4 : 2, &attr, 1);
}

static lt_id batch_norm_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    const Lt__V1__BatchNorm *p = l->batch_norm;
    const struct lt_init one = {LT_INIT_CONSTANT, 1, 0, NULL},
                         zero = {LT_INIT_CONSTANT, 0, 0, NULL};
    lt_id in[6] = {x, LT_NONE, LT_NONE, LT_NONE, LT_NONE, LT_NONE};
    const struct lt_type *t;
    int64_t c;

    if (x == LT_NONE)
        return LT_NONE;
    t = lt_build_type(b, x);
    if (t->ndim != 2 && t->ndim != 4)
        return lt_build_problem(b, "it normalises dimension 1 of [n, c] or [n, c, h, w]",
                                "expected 2-d or 4-d input, got %s", lt_build_text(b, x));
    c = t->dim[1].k;
    if (p->affine) {
        in[3] = lt_build_param(b, "weight", &c, 1, one);
        in[4] = lt_build_param(b, "bias", &c, 1, zero);
    }
    if (!p->track_running_stats)
        return untracked(b, p, in);
    in[1] = lt_build_buffer(b, "running_mean", LT_F32, &c, 1, 0);
    in[2] = lt_build_buffer(b, "running_var", LT_F32, &c, 1, 1);
    in[5] = lt_build_buffer(b, "num_batches_tracked", LT_I64, NULL, 0, 0);
    return b->training ? training(b, p, in) : evaluation(b, p, in);
}

const struct lt_layer lt_layer_batch_norm = {LT__V1__LAYER__LAYER_BATCH_NORM, "batch_norm",
                                             batch_norm_build};
