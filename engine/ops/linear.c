/* linear.c - y = x wᵀ + b over the last dimension (F.linear): x [.., k], w [o, k], b [o]; act: an
 * activation behind it
 *
 * Gradients: dx = dy w, dw = dyᵀ x (rows joined), db = column sums of dy. With act = relu, dy first
 * passes relu_grad.
 */
#include <errno.h>
#include <string.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    static const char *const acts[] = {"", "relu", NULL};
    const struct lt_type *x = &in[0], *w = &in[1];
    char tx[LT_TYPE_TEXT], tw[LT_TYPE_TEXT];

    (void)g;
    lt_type_print(tx, sizeof tx, x);
    lt_type_print(tw, sizeof tw, w);
    if (lt_check_float(n, x, "the input", err))
        return -EINVAL;
    if (x->ndim < 1 || w->ndim != 2 || x->dtype != w->dtype ||
        !lt_dim_eq(x->dim[x->ndim - 1], w->dim[1]))
        return lt_refuse(n, err, "input %s does not fit weight %s", tx, tw);
    if (n->n_in == 3 &&
        (in[2].ndim != 1 || !lt_bias_fits(x->dtype, in[2].dtype) ||
         !lt_dim_eq(in[2].dim[0], w->dim[0])))
        return lt_refuse(n, err, "the bias does not fit weight %s", tw);
    out[0] = *x;
    out[0].dim[x->ndim - 1] = w->dim[0];
    if (lt_infer_result(n, x->dtype, &out[0], err) < 0)
        return -EINVAL;
    return lt_check_word(n, "act", acts, err);
}

/* [.., k] as [rows, k]. */
static int rows(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id v,
                lt_id *out, struct lt_error *err)
{
    const struct lt_type t = g->values[v].type;
    int64_t shape[] = {-1, t.dim[t.ndim - 1].k};
    struct lt_attr a = {.name = "shape", .kind = LT_ATTR_INTS, .i = 2, .ints = shape};

    *out = v;
    return t.ndim == 2 ? 0 : lt_op_emit(g, n, suffix, "reshape", &v, 1, &a, 1, out, err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id dy = dout[0], x2, dy2, dx2;
    struct lt_attr ta = {.name = "transpose_a", .kind = LT_ATTR_INT, .i = 1};
    int64_t zero = 0;
    struct lt_attr axes = {.name = "axes", .kind = LT_ATTR_INTS, .i = 1, .ints = &zero};
    int rc = 0;

    if (lt_node_str(&n, "act")[0])
        rc = lt_op_emit(g, &n, "dact", "relu_grad", (lt_id[]){dy, n.out[0]}, 2, NULL, 0, &dy, err);
    rc = rc ? rc : rows(g, &n, "x2", n.in[0], &x2, err);
    rc = rc ? rc : rows(g, &n, "dy2", dy, &dy2, err);
    if (!rc && g->values[n.in[0]].type.ndim > 1)
        rc = lt_op_emit(g, &n, "dx", "matmul", (lt_id[]){dy, n.in[1]}, 2, NULL, 0, &din[0], err);
    else if (!rc) {
        rc = lt_op_emit(g, &n, "dx2", "matmul", (lt_id[]){dy2, n.in[1]}, 2, NULL, 0, &dx2, err);
        rc = rc ? rc
                : lt_op_emit(g, &n, "dx", "reshape", (lt_id[]){dx2, n.in[0]}, 2, NULL, 0, &din[0],
                             err);
    }
    rc = rc ? rc : lt_op_emit(g, &n, "dw", "matmul", (lt_id[]){dy2, x2}, 2, &ta, 1, &din[1], err);
    if (!rc && n.n_in == 3)
        rc = lt_op_emit(g, &n, "db", "reduce_sum", &dy2, 1, &axes, 1, &din[2], err);
    return rc;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0], *w = &k->in[1], *y = &k->out[0];
    bool relu = !strcmp(lt_node_str(k->node, "act"), "relu");
    int64_t o = w->dim[0], kk = w->dim[1];

    (void)err;
    for (int64_t i = 0; i < y->count; i++) {
        double sum = k->n_in == 3 ? lt_get(&k->in[2], i % o) : 0;

        for (int64_t l = 0; l < kk; l++)
            sum += lt_get(x, i / o * kk + l) * lt_get(w, i % o * kk + l);
        lt_set(y, i, relu && sum < 0 ? 0 : sum);
    }
    return 0;
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    return 2 * lt_type_count(&g->values[n->out[0]].type, b) *
           lt_dim_value(g->values[n->in[1]].type.dim[1], b);
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_STR_DEF("act", ""), LT_ATTR_RESULT,
                                            LT_ATTR_END};

const struct lt_op lt_op_linear = {
    .name = "linear",
    .cls = LT_OP_CONTRACTION,
    .precision = LT_PRECISION_LOW,
    .min_in = 2,
    .max_in = 3,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .flops = flops,
    .tol = 2e-5,
};
