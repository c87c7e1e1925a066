/* softmax_grad.c - dx of softmax from dy and its output: y * (dy - Σ dy y) */
#include <math.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int axis = lt_axis(n, lt_node_int(n, "axis"), in[0].ndim, err);

    return axis < 0 ? axis : lt_infer_pair(g, n, in, out, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *y = &k->in[1];
    struct lt_span s = lt_span_of(y, lt_axis(k->node, lt_node_int(k->node, "axis"), y->ndim, err));

    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t start = r / s.inner * s.len * s.inner + r % s.inner;
        double sum = 0;

        for (int64_t i = 0; i < s.len; i++)
            sum += lt_get(dy, start + i * s.inner) * lt_get(y, start + i * s.inner);
        for (int64_t i = 0; i < s.len; i++) {
            double g = lt_get(dy, start + i * s.inner), v = lt_get(y, start + i * s.inner);

            lt_set(&k->out[0], start + i * s.inner, v * (g - sum));
        }
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INT_DEF("axis", -1), LT_ATTR_END};

const struct lt_op lt_op_softmax_grad = {
    .name = "softmax_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .inplace = {3},
    .tol = 4e-6,
};
