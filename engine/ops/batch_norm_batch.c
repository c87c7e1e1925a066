/* batch_norm_batch.c - batch_norm without running statistics: the batch's own, in evaluation too
 *
 * In: x [n, c, …], weight [n] (sample weights), gamma [c], beta [c]. Out: y, mean [c], invstd [c]
 * (torch: track_running_stats=False).
 */
#include "engine/ops/norm.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_type channels = {.dtype = in[0].dtype, .ndim = 1};
    int rc = lt_norm_check_channels(n, &in[0], in, 2, n->n_in - 2, err);

    (void)g;
    rc = rc ? rc : lt_norm_check_weight(n, &in[0], &in[1], err);
    channels.dim[0] = in[0].dim[1];
    out[0] = in[0];
    out[1] = out[2] = channels;
    return rc;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    return lt_batch_norm_grad_emit(g, node, 1, dout, din, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    lt_batch_norm_ref(k, 1);
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("eps", 1e-5), LT_ATTR_END};

const struct lt_op lt_op_batch_norm_batch = {
    .name = "batch_norm_batch",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 2,
    .max_in = 4,
    .n_out = 3,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .tol = 1e-5,
};
