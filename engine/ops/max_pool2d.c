/* max_pool2d.c - greatest of each window (F.max_pool2d with return_indices): y, and int32 index = h
 * * W + w in the input plane
 *
 * Among equals the first in row order; NaN wins. dx: dy goes to where the greatest was
 * (max_pool2d_grad).
 */
#include <math.h>

#include "engine/ops/window.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_window w;
    int rc = lt_window_pool(n, &in[0], &w, &out[0], err);

    (void)g;
    out[1] = out[0];
    out[1].dtype = LT_I32;
    return rc;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    return lt_op_emit(g, &n, "dx", "max_pool2d_grad", (lt_id[]){dout[0], n.out[1], n.in[0]}, 3,
                      NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0], *y = &k->out[0];
    int64_t h = x->dim[2], w = x->dim[3], oh = y->dim[2], ow = y->dim[3];
    struct lt_window win;

    (void)err;
    lt_window_of(k->node, NULL, &win, NULL);
    for (int64_t f = 0; f < y->count; f++) {
        int64_t plane = f / (oh * ow) * h * w, best = -1;
        double top = -INFINITY;

        for (int64_t i = 0; i < win.kernel[0]; i++)
            for (int64_t j = 0; j < win.kernel[1]; j++) {
                int64_t iy = f / ow % oh * win.stride[0] - win.padding[0] + i * win.dilation[0];
                int64_t ix = f % ow * win.stride[1] - win.padding[1] + j * win.dilation[1];
                double v;

                if (iy < 0 || iy >= h || ix < 0 || ix >= w)
                    continue;
                v = lt_get(x, plane + iy * w + ix);
                if (best < 0 || v > top || (isnan(v) && !isnan(top))) {
                    top = v;
                    best = iy * w + ix;
                }
            }
        lt_set(y, f, top);
        ((int32_t *)k->out[1].data)[f] = (int32_t)best;
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {
    LT_ATTR_INTS_REQ("kernel"),   LT_ATTR_INTS_OPT("stride"),      LT_ATTR_INTS_OPT("padding"),
    LT_ATTR_INTS_OPT("dilation"), LT_ATTR_INT_DEF("ceil_mode", 0), LT_ATTR_END,
};

const struct lt_op lt_op_max_pool2d = {
    .name = "max_pool2d",
    .min_in = 1,
    .max_in = 1,
    .n_out = 2,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
};
