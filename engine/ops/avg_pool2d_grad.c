/* avg_pool2d_grad.c - dx of avg_pool2d: (dy, like x) */
#include "base/mem.h"
#include "engine/ops/avg_pool.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_window w;
    struct lt_type y;
    int rc = lt_window_pool(n, &in[1], &w, &y, err);

    (void)g;
    out[0] = in[1]; /* which only lends its shape */
    out[0].dtype = y.dtype = in[0].dtype;
    return rc ? rc : lt_check_same(n, &y, &in[0], "dy", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *dx = &k->out[0];
    int64_t h = dx->dim[2], w = dx->dim[3], oh = dy->dim[2], ow = dy->dim[3];
    bool pad = lt_node_int(k->node, "count_include_pad");
    double *sums = lt_calloc((size_t)dx->count + 1, sizeof *sums);
    struct lt_window win;

    (void)err;
    lt_window_of(k->node, NULL, &win, NULL);
    for (int64_t f = 0; f < dy->count; f++) {
        struct lt_avg_window a = lt_avg_window_at(&win, pad, h, w, f / ow % oh, f % ow);

        for (int64_t iy = a.y0; iy < a.y1; iy++)
            for (int64_t ix = a.x0; ix < a.x1; ix++)
                sums[(f / (oh * ow) * h + iy) * w + ix] += lt_get(dy, f) / a.divisor;
    }
    for (int64_t i = 0; i < dx->count; i++)
        lt_set(dx, i, sums[i]);
    lt_free(sums);
    return 0;
}

const struct lt_op lt_op_avg_pool2d_grad = {
    .name = "avg_pool2d_grad",
    .internal = true,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = lt_avg_pool_attrs,
    .shape_only = 2,
    .infer = infer,
    .ref = ref,
    .tol = 2e-6,
};
