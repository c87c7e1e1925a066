/* batch_norm_running.c - running statistics from totals of batch_norm_sum, as batch_norm has them
 *
 * In: running_mean, running_var [c], totals (Σ x; Σ (x - mean)²). Both are updated in place.
 */
#include "engine/ops/norm.h"

#include <math.h>

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = out[1] = in[0];
    for (int i = 2; i < 4; i++)
        if (in[i].dtype != LT_F64 || in[i].ndim != 1 || in[0].ndim != 1 ||
            in[i].dim[0].k != in[0].dim[0].k + 1)
            return lt_refuse(n, err, "takes [c], [c] and two totals of [c + 1]");
    return lt_check_same(n, &in[0], &in[1], "running_var", err);
}

/* What isn't finite moves nothing, as in batch_norm. */
static double moved(double running, double batch, double momentum)
{
    return isfinite(batch) ? (1 - momentum) * running + momentum * batch : running;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    int64_t channels = k->in[0].count;
    double momentum = lt_node_float(k->node, "momentum"), n = lt_get(&k->in[2], channels);

    (void)err;
    for (int64_t c = 0; c < channels; c++) {
        double mean = lt_norm_mean(k->in[0].dtype, &k->in[2], c);

        if (n > 0)
            lt_set(&k->out[0], c, moved(lt_get(&k->in[0], c), mean, momentum));
        if (n > 1)
            lt_set(&k->out[1], c,
                   moved(lt_get(&k->in[1], c), lt_get(&k->in[3], c) / (n - 1), momentum));
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("momentum", 0.1), LT_ATTR_END};

const struct lt_op lt_op_batch_norm_running = {
    .name = "batch_norm_running",
    .internal = true,
    .cls = LT_OP_UPDATE,
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 4,
    .n_out = 2,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .updates = {1, 2},
    .tol = 1e-6,
};
