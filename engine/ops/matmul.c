/* matmul.c - c = op(a) op(b) over the last two dimensions; leading dimensions are equal, or b has
 * two only
 *
 * Gradients: da = dc bᵀ, db = aᵀ dc, transposed as the operands were; summed over the leading
 * dimensions where b has none.
 */
#include <errno.h>

#include "engine/ops/util.h"

struct mkn {
    struct lt_dim m, ka, kb, n;
};

static struct mkn sizes(const struct lt_node *n, const struct lt_type *a, const struct lt_type *b)
{
    bool ta = lt_node_int(n, "transpose_a"), tb = lt_node_int(n, "transpose_b");
    const struct lt_dim *da = &a->dim[a->ndim - 2], *db = &b->dim[b->ndim - 2];

    return (struct mkn){da[ta], da[!ta], db[tb], db[!tb]};
}

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    const struct lt_type *a = &in[0], *b = &in[1];
    bool bad =
        a->ndim < 2 || b->ndim < 2 || (b->ndim != 2 && b->ndim != a->ndim) || a->dtype != b->dtype;
    char ta[128], tb[128];
    struct mkn s;

    (void)g;
    if (lt_check_float(n, a, "the left operand", err))
        return -EINVAL;
    if (!bad) {
        s = sizes(n, a, b);
        bad = !lt_dim_eq(s.ka, s.kb);
        for (int i = 0; b->ndim > 2 && i < a->ndim - 2; i++)
            bad |= !lt_dim_eq(a->dim[i], b->dim[i]);
    }
    if (bad) {
        lt_type_print(ta, sizeof ta, a);
        lt_type_print(tb, sizeof tb, b);
        return lt_refuse(n, err, "%s and %s can't be multiplied", ta, tb);
    }
    out[0] = *a;
    out[0].dim[a->ndim - 2] = s.m;
    out[0].dim[a->ndim - 1] = s.n;
    return lt_infer_result(n, a->dtype, &out[0], err);
}

static int product(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id a,
                   lt_id b, bool ta, bool tb, lt_id *out, struct lt_error *err)
{
    lt_id in[] = {a, b};
    struct lt_attr attrs[] = {{.name = "transpose_a", .kind = LT_ATTR_INT, .i = ta},
                              {.name = "transpose_b", .kind = LT_ATTR_INT, .i = tb}};

    return lt_op_emit(g, n, suffix, "matmul", in, 2, attrs, 2, out, err);
}

/* Joins all dimensions but the last. */
static int flat(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id v,
                lt_id *out, struct lt_error *err)
{
    const struct lt_type t = g->values[v].type;
    int64_t shape[] = {-1, t.dim[t.ndim - 1].k};
    struct lt_attr a = {.name = "shape", .kind = LT_ATTR_INTS, .i = 2, .ints = shape};

    *out = v;
    if (t.ndim > 2 && t.dim[t.ndim - 1].sym != LT_SYM_NONE)
        return lt_refuse(n, err, "the gradient where a shared operand meets a symbolic dimension");
    return t.ndim == 2 ? 0 : lt_op_emit(g, n, suffix, "reshape", &v, 1, &a, 1, out, err);
}

/* Swaps the last two dimensions. */
static int swap(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id v,
                lt_id *out, struct lt_error *err)
{
    int nd = g->values[v].type.ndim;
    int64_t perm[LT_DIMS_MAX];
    struct lt_attr a = {.name = "perm", .kind = LT_ATTR_INTS, .i = nd, .ints = perm};

    for (int i = 0; i < nd; i++)
        perm[i] = i < nd - 2 ? i : 2 * nd - 3 - i;
    return lt_op_emit(g, n, suffix, "transpose", &v, 1, &a, 1, out, err);
}

/* b has two dimensions, a more: a's own transposition comes first, so that its rows can be joined.
 */
static int grad_shared(struct lt_graph *g, const struct lt_node *n, lt_id dy, lt_id *din,
                       struct lt_error *err)
{
    bool ta = lt_node_int(n, "transpose_a"), tb = lt_node_int(n, "transpose_b");
    lt_id a = n->in[0], b = n->in[1], a2, dy2;
    int rc = product(g, n, ta ? "dat" : "da", dy, b, false, !tb, &din[0], err);

    if (!rc && ta)
        rc = swap(g, n, "da", din[0], &din[0], err);
    if (!rc && ta)
        rc = swap(g, n, "at", a, &a, err);
    rc = rc ? rc : flat(g, n, "a2", a, &a2, err);
    rc = rc ? rc : flat(g, n, "dy2", dy, &dy2, err);
    if (rc)
        return rc;
    return tb ? product(g, n, "db", dy2, a2, true, false, &din[1], err)
              : product(g, n, "db", a2, dy2, true, false, &din[1], err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    bool ta = lt_node_int(&n, "transpose_a"), tb = lt_node_int(&n, "transpose_b");
    lt_id a = n.in[0], b = n.in[1], dy = dout[0];
    int rc;

    if (g->values[b].type.ndim == 2 && g->values[a].type.ndim > 2)
        return grad_shared(g, &n, dy, din, err);
    rc = ta ? product(g, &n, "da", b, dy, tb, true, &din[0], err)
            : product(g, &n, "da", dy, b, false, !tb, &din[0], err);
    if (rc)
        return rc;
    return tb ? product(g, &n, "db", dy, a, true, ta, &din[1], err)
              : product(g, &n, "db", a, dy, !ta, false, &din[1], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *a = &k->in[0], *b = &k->in[1], *c = &k->out[0];
    bool ta = lt_node_int(k->node, "transpose_a"), tb = lt_node_int(k->node, "transpose_b");
    int64_t m = c->dim[c->ndim - 2], n = c->dim[c->ndim - 1], kk = a->dim[a->ndim - (ta ? 2 : 1)];
    int64_t batches = m > 0 && n > 0 ? c->count / (m * n) : 0, b_step = b->ndim > 2 ? kk * n : 0;

    (void)err;
    for (int64_t s = 0; s < batches; s++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;

                for (int64_t l = 0; l < kk; l++)
                    sum += lt_get(a, s * m * kk + (ta ? l * m + i : i * kk + l)) *
                           lt_get(b, s * b_step + (tb ? j * kk + l : l * n + j));
                lt_set(c, (s * m + i) * n + j, sum);
            }
    return 0;
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    struct mkn s = sizes(n, &g->values[n->in[0]].type, &g->values[n->in[1]].type);

    return 2 * lt_type_count(&g->values[n->out[0]].type, b) * lt_dim_value(s.ka, b);
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INT_DEF("transpose_a", 0),
                                            LT_ATTR_INT_DEF("transpose_b", 0), LT_ATTR_RESULT,
                                            LT_ATTR_END};

const struct lt_op lt_op_matmul = {
    .name = "matmul",
    .cls = LT_OP_CONTRACTION,
    .precision = LT_PRECISION_LOW,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .flops = flops,
    .tol = 2e-5,
};
