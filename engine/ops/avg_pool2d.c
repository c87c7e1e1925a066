/* avg_pool2d.c - mean of each window (F.avg_pool2d) */
#include "engine/ops/avg_pool.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_window w;

    (void)g;
    return lt_window_pool(n, &in[0], &w, &out[0], err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    return lt_op_emit(g, &n, "dx", "avg_pool2d_grad", (lt_id[]){dout[0], n.in[0]}, 2, NULL, 0,
                      &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0], *y = &k->out[0];
    int64_t h = x->dim[2], w = x->dim[3], oh = y->dim[2], ow = y->dim[3];
    bool pad = lt_node_int(k->node, "count_include_pad");
    struct lt_window win;

    (void)err;
    lt_window_of(k->node, NULL, &win, NULL);
    for (int64_t f = 0; f < y->count; f++) {
        struct lt_avg_window a = lt_avg_window_at(&win, pad, h, w, f / ow % oh, f % ow);
        double sum = 0;

        for (int64_t iy = a.y0; iy < a.y1; iy++)
            for (int64_t ix = a.x0; ix < a.x1; ix++)
                sum += lt_get(x, (f / (oh * ow) * h + iy) * w + ix);
        lt_set(y, f, sum / a.divisor);
    }
    return 0;
}

const struct lt_op lt_op_avg_pool2d = {
    .name = "avg_pool2d",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = lt_avg_pool_attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .tol = 2e-6,
};
