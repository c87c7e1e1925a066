/* softmax.c - exp(x) / Σ exp(x) along an axis, shifted by the greatest (F.softmax) */
#include <math.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int axis = lt_axis(n, lt_node_int(n, "axis"), in[0].ndim, err);

    return axis < 0 ? axis : lt_infer_same_float(g, n, in, out, err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    return lt_op_emit(g, &n, "dx", "softmax_grad", (lt_id[]){dout[0], n.out[0]}, 2, NULL, 0,
                      &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    struct lt_span s = lt_span_of(x, lt_axis(k->node, lt_node_int(k->node, "axis"), x->ndim, err));

    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t start = r / s.inner * s.len * s.inner + r % s.inner;
        double top = -INFINITY, sum = 0;

        for (int64_t i = 0; i < s.len; i++)
            top = fmax(top, lt_get(x, start + i * s.inner));
        for (int64_t i = 0; i < s.len; i++)
            sum += exp(lt_get(x, start + i * s.inner) - top);
        for (int64_t i = 0; i < s.len; i++) {
            double v = lt_get(x, start + i * s.inner) - top;

            lt_set(&k->out[0], start + i * s.inner, exp(v) / sum);
        }
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INT_DEF("axis", -1), LT_ATTR_END};

const struct lt_op lt_op_softmax = {
    .name = "softmax",
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .inplace = {1},
    .tol = 4e-6,
};
