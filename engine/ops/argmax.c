/* argmax.c - index of the greatest element along an axis; the first among equals; NaN counts as
 * greatest (torch.argmax) */
#include <errno.h>
#include <math.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int axis = lt_axis(n, lt_node_int(n, "axis"), in[0].ndim, err);

    (void)g;
    if (axis >= 0 && lt_check_float(n, &in[0], "the input", err))
        return -EINVAL;
    if (axis < 0)
        return axis;
    out[0] = (struct lt_type){.dtype = LT_I64};
    for (int i = 0; i < in[0].ndim; i++) {
        if (i != axis)
            out[0].dim[out[0].ndim++] = in[0].dim[i];
        else if (lt_node_int(n, "keepdims"))
            out[0].dim[out[0].ndim++] = lt_dim_num(1);
    }
    return 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    struct lt_span s = lt_span_of(x, lt_axis(k->node, lt_node_int(k->node, "axis"), x->ndim, err));

    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++) {
            int64_t best = 0;

            for (int64_t a = 1; a < s.len; a++) {
                double top = lt_get(x, (o * s.len + best) * s.inner + i);
                double v = lt_get(x, (o * s.len + a) * s.inner + i);

                if (!isnan(top) && (v > top || isnan(v)))
                    best = a;
            }
            ((int64_t *)k->out[0].data)[o * s.inner + i] = best;
        }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INT_DEF("axis", -1),
                                            LT_ATTR_INT_DEF("keepdims", 0), LT_ATTR_END};

const struct lt_op lt_op_argmax = {
    .name = "argmax",
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
};
