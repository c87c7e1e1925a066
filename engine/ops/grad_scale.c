/* grad_scale.c - what the window's gradient sums are multiplied by in the update
 *
 * In: loss float64[] (sum over the window), window_weight float64[], optionally sum_squares
 * float64[] of the gradient sums. Out: scale, norm, skipped (float64). scale = coefficient /
 * window_weight, where coefficient = min(1, clip_norm / (norm + 1e-6))
 * (torch.nn.utils.clip_grad_norm_) and norm is that of the averaged gradient. When loss or norm
 * isn't finite: scale = NaN, skipped = 1, and updates leave everything as it was. A window of
 * weight 0 gives scale 0.
 */
#include <math.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    static const char *const names[] = {"loss", "window_weight", "sum_squares"};
    int rc = 0;

    (void)g;
    for (int i = 0; i < 3; i++)
        out[i] = lt_scalar_type(LT_F64);
    for (int i = 0; !rc && i < n->n_in; i++)
        rc = lt_check_same(n, &out[0], &in[i], names[i], err);
    return rc;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double loss = lt_get(&k->in[0], 0), weight = lt_get(&k->in[1], 0),
           clip = lt_node_float(k->node, "clip_norm");
    double norm = k->n_in > 2 && weight > 0 ? sqrt(lt_get(&k->in[2], 0)) / weight : 0;
    double scale = weight > 0 ? 1 / weight : 0;
    bool finite = isfinite(loss) && isfinite(norm);

    (void)err;
    if (clip > 0 && k->n_in > 2)
        scale *= fmin(1, clip / (norm + 1e-6));
    lt_set(&k->out[0], 0, finite ? scale : NAN);
    lt_set(&k->out[1], 0, norm);
    lt_set(&k->out[2], 0, !finite);
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("clip_norm", 0), LT_ATTR_END};

const struct lt_op lt_op_grad_scale = {
    .name = "grad_scale",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 2,
    .max_in = 3,
    .n_out = 3,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .tol = 1e-9,
};
