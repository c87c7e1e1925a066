/* conv2d_dx.c - gradient of conv2d by its input: (dy, w, like x) → dx */
#include "base/mem.h"
#include "engine/ops/conv.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_conv c;
    int rc = lt_conv_of(n, &in[2], &in[1], &c, err);

    (void)g;
    out[0] = in[2];
    return rc ? rc : lt_conv_check_dy(n, &in[2], &c, &in[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0];
    double *sums = lt_calloc((size_t)k->out[0].count + 1, sizeof *sums);
    struct lt_conv c;
    int64_t taps, iy, ix;

    (void)err;
    lt_conv_of_operands(k, &k->in[2], &k->in[1], &c);
    taps = c.win.kernel[0] * c.win.kernel[1];
    for (int64_t f = 0; f < dy->count; f++) {
        int64_t ox = f % c.ow, oy = f / c.ow % c.oh, o = f / (c.ow * c.oh) % c.o,
                s = f / (c.ow * c.oh * c.o);

        for (int64_t ci = 0; ci < c.cg; ci++)
            for (int64_t t = 0; t < taps; t++) {
                int64_t i = t / c.win.kernel[1], j = t % c.win.kernel[1];
                int64_t at_w = (o * c.cg + ci) * taps + t, at_x;

                if (!lt_conv_at(&c, oy, ox, i, j, &iy, &ix))
                    continue;
                at_x = ((s * c.c + o / c.og * c.cg + ci) * c.h + iy) * c.w + ix;
                sums[at_x] += lt_get(dy, f) * lt_get(&k->in[1], at_w);
            }
    }
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, sums[i]);
    lt_free(sums);
    return 0;
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    struct lt_conv c;

    lt_conv_of(n, &g->values[n->in[2]].type, &g->values[n->in[1]].type, &c, NULL);
    return lt_conv_flops(&c, lt_dim_value(g->values[n->in[0]].type.dim[0], b));
}

const struct lt_op lt_op_conv2d_dx = {
    .name = "conv2d_dx",
    .internal = true,
    .cls = LT_OP_CONTRACTION,
    .precision = LT_PRECISION_LOW,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .attrs = lt_conv_attrs,
    .shape_only = 4,
    .infer = infer,
    .ref = ref,
    .flops = flops,
    .tol = 2e-5,
};
