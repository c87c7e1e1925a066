/* lower_fuse.c - patterns of several nodes that one kernel computes
 *
 *   linear | conv2d, then relu                     → the layer with act = relu
 *   cross_entropy and its gradient, dloss constant → both in one pass over the logits
 *   relu_grad of max_pool2d_grad                   → one pass: the places that count are those
 * whose maximum is > 0 conv2d_dw and the bias gradient                → one primitive relu_grad and
 * the bias gradient                → one pass
 */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/mem.h"
#include "engine/cpu/lower.h"
#include "engine/graph/edit.h"

static const struct lt_attr_spec cross_entropy_attrs[] = {
    {.name = "ignore_index", .kind = LT_ATTR_INT, .def = -100},
    {.name = "label_smoothing", .kind = LT_ATTR_FLOAT},
    {0}};
static const struct lt_attr_spec conv_attrs[] = {
    {.name = "stride", .kind = LT_ATTR_INTS},   {.name = "padding", .kind = LT_ATTR_INTS},
    {.name = "dilation", .kind = LT_ATTR_INTS}, {.name = "groups", .kind = LT_ATTR_INT},
    {.name = "act", .kind = LT_ATTR_STR},       {0}};

/* A multiply-add for each element of dy and of a filter. */
static int64_t filter_flops(const struct lt_graph *g, lt_id dy, lt_id weight,
                            const struct lt_binding *b)
{
    const struct lt_type *w = &g->values[weight].type;
    int64_t filter = 1;

    for (int i = 1; i < w->ndim; i++)
        filter *= lt_dim_value(w->dim[i], b);
    return 2 * lt_type_count(&g->values[dy].type, b) * filter;
}

/* dy, x, like_w */
static int64_t conv_dw_flops(const struct lt_graph *g, const struct lt_node *n,
                             const struct lt_binding *b)
{
    return filter_flops(g, n->in[0], n->in[2], b);
}

/* dy, w */
static int64_t conv_dx_flops(const struct lt_graph *g, const struct lt_node *n,
                             const struct lt_binding *b)
{
    return filter_flops(g, n->in[0], n->in[1], b);
}

const struct lt_op lt_cpu_op_cross_entropy = {.name = "cpu_cross_entropy",
                                              .cls = LT_OP_OTHER,
                                              .min_in = 4,
                                              .max_in = 5,
                                              .n_out = 3,
                                              .attrs = cross_entropy_attrs,
                                              .infer = lt_cpu_infer_same};
const struct lt_op lt_cpu_op_max_pool_grad = {.name = "cpu_max_pool2d_grad",
                                              .cls = LT_OP_OTHER,
                                              .min_in = 3,
                                              .max_in = 3,
                                              .n_out = 1,
                                              .infer = lt_cpu_infer_same};
const struct lt_op lt_cpu_op_relu_bias = {.name = "cpu_relu_bias",
                                          .cls = LT_OP_REDUCTION,
                                          .min_in = 2,
                                          .max_in = 2,
                                          .n_out = 2,
                                          .inplace = {1},
                                          .infer = lt_cpu_infer_same};
const struct lt_op lt_cpu_op_conv2d_dw_bias = {.name = "cpu_conv2d_dw_bias",
                                               .cls = LT_OP_CONTRACTION,
                                               .min_in = 3,
                                               .max_in = 3,
                                               .n_out = 2,
                                               .attrs = conv_attrs,
                                               .infer = lt_cpu_infer_same,
                                               .flops = conv_dw_flops};

static bool is_op(const struct lt_node *n, const char *op)
{
    return !n->dead && !strcmp(n->op->name, op);
}

/* The live node that makes v, if it is that operator; -1. */
static int maker(const struct lt_graph *g, lt_id v, const char *op)
{
    int i = g->values[v].node;

    return i >= 0 && is_op(&g->nodes[i], op) ? i : -1;
}

static void fuse_relu(struct lt_graph *g, int node, const int *uses)
{
    lt_id x = g->nodes[node].in[0], y = g->nodes[node].out[0];
    int layer = maker(g, x, "linear");

    if (layer < 0)
        layer = maker(g, x, "conv2d");
    if (layer < 0 || uses[x] != 1 || strcmp(lt_node_str(&g->nodes[layer], "act"), "") != 0)
        return;
    for (int i = 0; i < g->nodes[layer].n_attrs; i++)
        if (!strcmp(g->nodes[layer].attrs[i].name, "act"))
            g->nodes[layer].attrs[i].s = "relu";
    g->nodes[layer].out[0] = y;
    g->values[x].node = -1;
    g->nodes[node].dead = true;
    g->values[y].node = layer;
    g->values[y].out = 0;
}

/* The node after `from` of that operator whose first inputs are in[0 … n); -1. */
static int find_node(const struct lt_graph *g, const char *op, const lt_id *in, int skip, int n,
                     int n_in)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *x = &g->nodes[i];

        if (is_op(x, op) && x->n_in == n_in && !memcmp(x->in + skip, in, (size_t)n * sizeof *in))
            return i;
    }
    return -1;
}

static bool same_attrs(const struct lt_node *a, const struct lt_node *b)
{
    return lt_node_int(a, "ignore_index") == lt_node_int(b, "ignore_index") &&
           lt_node_float(a, "label_smoothing") == lt_node_float(b, "label_smoothing");
}

/* cross_entropy(x, …), cross_entropy_grad(dloss, x, …) */
static void fuse_cross_entropy(struct lt_graph *g, int node)
{
    const struct lt_node *n = &g->nodes[node];
    int other = find_node(g, "cross_entropy_grad", n->in, 1, n->n_in, n->n_in + 1);
    lt_id in[8], dx;

    if (other < 0 || g->values[g->nodes[other].in[0]].kind != LT_VALUE_CONST ||
        !same_attrs(n, &g->nodes[other]))
        return;
    memcpy(in, n->in, (size_t)n->n_in * sizeof *in);
    in[n->n_in] = g->nodes[other].in[0];
    dx = g->nodes[other].out[0];
    lt_cpu_rewrite(g, node, &lt_cpu_op_cross_entropy, in, n->n_in + 1);
    lt_cpu_take_output(g, node, dx);
    g->nodes[other].dead = true;
}

/* relu_grad(max_pool2d_grad(dp, index, like), y), where y went into the pooling that made index. */
static void fuse_pool_relu(struct lt_graph *g, int node, const int *uses)
{
    lt_id dx = g->nodes[node].in[0], y = g->nodes[node].in[1], out = g->nodes[node].out[0], in[3];
    int pool_grad = maker(g, dx, "max_pool2d_grad"), pool;

    if (pool_grad < 0 || uses[dx] != 1)
        return;
    pool = maker(g, g->nodes[pool_grad].in[1], "max_pool2d");
    if (pool < 0 || g->nodes[pool].in[0] != y)
        return;
    memcpy(in, g->nodes[pool_grad].in, 2 * sizeof *in);
    in[2] = g->nodes[pool].out[0];
    lt_cpu_rewrite(g, pool_grad, &lt_cpu_op_max_pool_grad, in, 3);
    g->values[dx].node = -1;
    g->nodes[pool_grad].out[0] = out;
    g->nodes[node].dead = true;
    g->values[out].node = pool_grad;
    g->values[out].out = 0;
}

/* Does this reduce_sum leave exactly the channels (dimension 1 of 4, the last of fewer)? */
static bool sums_to_channels(const struct lt_graph *g, const struct lt_node *n)
{
    int ndim = g->values[n->in[0]].type.ndim, count, keep = ndim == 4 ? 1 : ndim - 1;
    const int64_t *axes = lt_node_ints(n, "axes", &count);
    unsigned seen = 0;

    if (lt_node_int(n, "keepdims") || count != ndim - 1 || ndim < 2)
        return false;
    for (int i = 0; i < count; i++)
        seen |= 1u << (axes[i] < 0 ? axes[i] + ndim : axes[i]);
    return seen == ((1u << ndim) - 1 - (1u << keep));
}

/* The bfloat16 value of which v is the float32 copy; or v. */
static lt_id before_cast(const struct lt_graph *g, lt_id v)
{
    int i = maker(g, v, "cast");

    if (i < 0 || g->values[v].type.dtype != LT_F32 ||
        g->values[g->nodes[i].in[0]].type.dtype != LT_BF16)
        return v;
    return g->nodes[i].in[0];
}

static void fuse_bias_grad(struct lt_graph *g, int node)
{
    lt_id dy = before_cast(g, g->nodes[node].in[0]), db = g->nodes[node].out[0];
    int ndim = g->values[dy].type.ndim, other = find_node(g, "conv2d_dw", &dy, 0, 1, 3);

    if (!sums_to_channels(g, &g->nodes[node]))
        return;
    if (ndim == 4 && other >= 0) {
        if (g->values[dy].type.dtype == LT_F64)
            return;
        lt_cpu_rewrite(g, other, &lt_cpu_op_conv2d_dw_bias, g->nodes[other].in, 3);
    } else {
        other = maker(g, dy, "relu_grad");
        if (ndim > 2 || other < 0)
            return;
        lt_cpu_rewrite(g, other, &lt_cpu_op_relu_bias, g->nodes[other].in, 2);
    }
    lt_cpu_take_output(g, other, db);
    g->nodes[node].dead = true;
}

/* An input that only lends its shape would keep its memory until here. The output's type is known
 * by now. */
static void drop_like(struct lt_graph *g, int node)
{
    static const struct {
        const char *op;
        int like; /* the last input */
    } table[] = {{"conv2d_dx", 2},
                 {"max_pool2d_grad", 2},
                 {"avg_pool2d_grad", 1},
                 {"sum_to", 1},
                 {"reshape", 1}};
    struct lt_node *n = &g->nodes[node];

    for (size_t i = 0; i < LT_ARRAY_LEN(table); i++) {
        struct lt_op *op;

        if (n->dead || strcmp(table[i].op, n->op->name) != 0 || n->n_in != table[i].like + 1)
            continue;
        op = lt_arena_alloc(g->arena, sizeof *op);
        if (!op)
            abort(); /* a graph's arena has no cap */
        *op = *n->op;
        op->min_in = op->max_in = --n->n_in;
        op->infer = lt_cpu_infer_same;
        if (!strcmp(op->name, "conv2d_dx"))
            op->flops = conv_dx_flops;
        n->op = op;
        return;
    }
}

void lt_cpu_fuse(struct lt_graph *g, const struct lt_binding *b)
{
    int *uses = lt_graph_uses(g);

    (void)b;
    for (int i = 0; i < g->n_nodes; i++) {
        if (is_op(&g->nodes[i], "relu"))
            fuse_relu(g, i, uses);
        else if (is_op(&g->nodes[i], "cross_entropy"))
            fuse_cross_entropy(g, i);
        else if (is_op(&g->nodes[i], "relu_grad"))
            fuse_pool_relu(g, i, uses);
    }
    for (int i = 0; i < g->n_nodes; i++)
        if (is_op(&g->nodes[i], "reduce_sum"))
            fuse_bias_grad(g, i);
    for (int i = 0; i < g->n_nodes; i++)
        drop_like(g, i);
    lt_free(uses);
}
