/* batch_norm_params.c - this rank's dgamma, dbeta [c] of its own batch_norm_grad_sum [2 c]
 *
 * attribute dtype: of the parameters.
 */
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    enum lt_dtype dtype = lt_dtype_find(lt_node_str(n, "dtype"));

    (void)g;
    if (in[0].dtype != LT_F64 || in[0].ndim != 1 || in[0].dim[0].k % 2 || dtype == LT_DTYPE_N)
        return lt_refuse(n, err, "takes float64 [2 c]");
    out[0] = out[1] =
        (struct lt_type){.dtype = dtype, .ndim = 1, .dim = {lt_dim_num(in[0].dim[0].k / 2)}};
    return 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    int64_t c = k->out[0].count;

    (void)err;
    for (int64_t i = 0; i < c; i++) {
        lt_set(&k->out[0], i, lt_get(&k->in[0], c + i));
        lt_set(&k->out[1], i, lt_get(&k->in[0], i));
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_STR_DEF("dtype", "float32"), LT_ATTR_END};

const struct lt_op lt_op_batch_norm_params = {
    .name = "batch_norm_params",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 2,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .tol = 1e-6,
};
