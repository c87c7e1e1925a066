/* mul.c - a * b with broadcasting; da = dy * b, db = dy * a */
#include "engine/ops/util.h"

static double value(double a, double b)
{
    return a * b;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id a[] = {dout[0], n.in[1]}, b[] = {dout[0], n.in[0]}, pa, pb;
    int rc = lt_op_emit(g, &n, "dy_b", "mul", a, 2, NULL, 0, &pa, err);

    rc = rc ? rc : lt_op_emit_sum_to(g, &n, "da", pa, n.in[0], &din[0], err);
    rc = rc ? rc : lt_op_emit(g, &n, "dy_a", "mul", b, 2, NULL, 0, &pb, err);
    return rc ? rc : lt_op_emit_sum_to(g, &n, "db", pb, n.in[1], &din[1], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_binary(k, value);
}

const struct lt_op lt_op_mul = {
    .name = "mul",
    .cls = LT_OP_POINTWISE,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = lt_infer_broadcast,
    .grad = grad,
    .ref = ref,
    .inplace = {3},
    .tol = 1e-6,
};
