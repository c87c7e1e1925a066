/* conv2d.c - 2-d cross-correlation (F.conv2d): x [n, c, h, w], w [o, c / groups, kh, kw], b [o];
 * act: an activation behind it
 *
 * Gradients: conv2d_dx, conv2d_dw, and sums of dy over n, h, w for the bias.
 */
#include <string.h>

#include "engine/ops/conv.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_conv c;
    int rc = lt_conv_of(n, &in[0], &in[1], &c, err);

    (void)g;
    if (rc)
        return rc;
    if (n->n_in == 3 && (in[2].ndim != 1 || !lt_bias_fits(in[0].dtype, in[2].dtype) ||
                         !lt_dim_eq(in[2].dim[0], lt_dim_num(c.o))))
        return lt_refuse(n, err, "the bias must have %lld elements", (long long)c.o);
    out[0] = in[0];
    out[0].dim[1] = lt_dim_num(c.o);
    out[0].dim[2] = lt_dim_num(c.oh);
    out[0].dim[3] = lt_dim_num(c.ow);
    return lt_infer_result(n, in[0].dtype, &out[0], err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id x = n.in[0], w = n.in[1], dy = dout[0];
    int64_t nhw[] = {0, 2, 3};
    struct lt_attr axes = {.name = "axes", .kind = LT_ATTR_INTS, .i = 3, .ints = nhw};
    struct lt_attr no_act = {.name = "act", .kind = LT_ATTR_STR, .s = ""};
    int rc = 0;

    if (lt_node_str(&n, "act")[0])
        rc = lt_op_emit(g, &n, "dact", "relu_grad", (lt_id[]){dy, n.out[0]}, 2, NULL, 0, &dy, err);
    rc =
        rc ? rc
           : lt_op_emit(g, &n, "dx", "conv2d_dx", (lt_id[]){dy, w, x}, 3, &no_act, 1, &din[0], err);
    rc =
        rc ? rc
           : lt_op_emit(g, &n, "dw", "conv2d_dw", (lt_id[]){dy, x, w}, 3, &no_act, 1, &din[1], err);
    if (!rc && n.n_in == 3)
        rc = lt_op_emit(g, &n, "db", "reduce_sum", &dy, 1, &axes, 1, &din[2], err);
    return rc;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    struct lt_conv c;
    bool relu = !strcmp(lt_node_str(k->node, "act"), "relu");
    int64_t taps = 0, iy, ix;

    (void)err;
    lt_conv_of_operands(k, &k->in[0], &k->in[1], &c);
    taps = c.win.kernel[0] * c.win.kernel[1];
    for (int64_t f = 0; f < k->out[0].count; f++) {
        int64_t ox = f % c.ow, oy = f / c.ow % c.oh, o = f / (c.ow * c.oh) % c.o,
                s = f / (c.ow * c.oh * c.o);
        double sum = k->n_in == 3 ? lt_get(&k->in[2], o) : 0;

        for (int64_t ci = 0; ci < c.cg; ci++)
            for (int64_t t = 0; t < taps; t++) {
                int64_t i = t / c.win.kernel[1], j = t % c.win.kernel[1];

                if (lt_conv_at(&c, oy, ox, i, j, &iy, &ix))
                    sum += lt_get(&k->in[0],
                                  ((s * c.c + o / c.og * c.cg + ci) * c.h + iy) * c.w + ix) *
                           lt_get(&k->in[1], (o * c.cg + ci) * taps + t);
            }
        lt_set(&k->out[0], f, relu && sum < 0 ? 0 : sum);
    }
    return 0;
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    return lt_conv_flops(g, n, 0, 1, b);
}

const struct lt_op lt_op_conv2d = {
    .name = "conv2d",
    .cls = LT_OP_CONTRACTION,
    .precision = LT_PRECISION_LOW,
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .attrs = lt_conv_attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .flops = flops,
    .tol = 2e-5,
};
