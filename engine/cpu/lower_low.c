/* lower_low.c - bfloat16 where this machine, or this back end, has none
 *
 * Emulated: every bfloat16 value becomes a float32 one that holds a number bfloat16 has, by a
 * rounding behind each node that could give another. What is computed is the same but for the order
 * of sums; memory and time are float32's. Native: nodes without a kernel over bfloat16 get float32
 * copies of their operands and their results are rounded.
 */
#include <string.h>
#include "base/arena.h"
#include "base/mem.h"
#include "engine/cpu/chain.h"
#include "engine/cpu/lower.h"
#include "engine/cpu/ops/conv.h"
#include "engine/graph/edit.h"

/* Of numbers that bfloat16 has they give such numbers, or whole other ones. */
static const char *const exact_ops[] = {"reshape", "transpose",     "max_pool2d",
                                        "expand",  "cpu_relu_bias", "cpu_reorder"};

static bool is_low(const struct lt_graph *g, lt_id v)
{
    return g->values[v].type.dtype == LT_BF16;
}

static bool is_exact(const struct lt_node *n)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(exact_ops); i++)
        if (!strcmp(n->op->name, exact_ops[i]))
            return true;
    return n->op == &lt_cpu_op_chain; /* it rounds for itself */
}

static lt_id value_like(struct lt_graph *g, lt_id v, enum lt_dtype t)
{
    LT_GROW(g->values, g->n_values, g->cap_values);
    g->values[g->n_values] = (struct lt_value){
        .kind = LT_VALUE_NODE, .type = g->values[v].type, .node = -1, .alias = LT_NONE};
    g->values[g->n_values].type.dtype = t;
    return g->n_values++;
}

/* A contraction over float32 gives float32 anyway. */
static void result_plain(struct lt_node *n)
{
    for (int a = 0; a < n->n_attrs; a++)
        if (!strcmp(n->attrs[a].name, "dtype"))
            n->attrs[a].s = "";
}

/* ---- emulated */

static void round_output(struct lt_graph *g, lt_id v)
{
    lt_id rounded = value_like(g, v, LT_F32);
    int before = g->n_nodes;

    lt_cpu_chain_add(g, LT_CHAIN_ROUND, v, rounded);
    lt_graph_replace(g, v, rounded, before);
}

/* A copy that only was of another type. */
static bool is_copy(const struct lt_graph *g, const struct lt_node *n)
{
    struct lt_chain c;

    if (n->op != &lt_cpu_op_chain || n->n_in != 1 || !is_low(g, n->in[0]) ||
        g->values[n->in[0]].kind != LT_VALUE_NODE ||
        !lt_shape_eq(&g->values[n->in[0]].type, &g->values[n->out[0]].type))
        return false;
    lt_chain_decode(n, &c);
    return c.n_code == 1 && c.code[0].code == LT_CHAIN_COPY;
}

static void emulate_node(struct lt_graph *g, int i)
{
    struct lt_node n = g->nodes[i];

    if (is_copy(g, &n)) {
        lt_graph_replace(g, n.out[0], n.in[0], -1);
        lt_graph_kill(g, i);
        return;
    }
    if (n.op->precision == LT_PRECISION_LOW || n.op == &lt_cpu_op_conv2d_dw_bias)
        result_plain(&g->nodes[i]);
    for (int o = 0; !is_exact(&n) && o < n.n_out; o++)
        if (is_low(g, n.out[o]))
            round_output(g, n.out[o]);
}

static void values_widen(struct lt_graph *g)
{
    for (lt_id v = 0; v < g->n_values; v++) {
        struct lt_value *x = &g->values[v];
        uint16_t low;

        if (!is_low(g, v) || (x->kind != LT_VALUE_NODE && x->kind != LT_VALUE_CONST))
            continue;
        lt_dtype_store(LT_BF16, &low, 0, x->constant);
        x->constant = lt_dtype_load(LT_BF16, &low, 0);
        x->type.dtype = LT_F32;
    }
}

/* What comes from outside as bfloat16 has a float32 copy inside. */
static void inputs_copy(struct lt_graph *g)
{
    int n_values = g->n_values;

    for (lt_id v = 0; v < n_values; v++) {
        bool outside = g->values[v].kind == LT_VALUE_INPUT || lt_value_persists(g->values[v].kind);
        int before = g->n_nodes;
        lt_id inside;

        if (!outside || !is_low(g, v))
            continue;
        inside = value_like(g, v, LT_F32);
        lt_cpu_chain_add(g, LT_CHAIN_COPY, v, inside);
        lt_graph_replace(g, v, inside, before);
    }
}

/* And what goes outside as bfloat16 becomes that at the end. */
static void outputs_copy(struct lt_graph *g, const bool *low)
{
    for (int i = 0; i < g->n_outputs; i++) {
        lt_id v = g->outputs[i].value, out;

        if (!low[i])
            continue;
        out = value_like(g, v, LT_BF16);
        lt_cpu_chain_add(g, LT_CHAIN_ROUND, v, out);
        g->outputs[i].value = out;
    }
}

static void emulate(struct lt_graph *g)
{
    bool *low = lt_calloc((size_t)g->n_outputs + 1, sizeof *low);
    int n_nodes;

    for (int i = 0; i < g->n_outputs; i++)
        low[i] = is_low(g, g->outputs[i].value);
    inputs_copy(g);
    n_nodes = g->n_nodes;
    for (int i = 0; i < n_nodes; i++)
        if (!g->nodes[i].dead)
            emulate_node(g, i);
    values_widen(g);
    outputs_copy(g, low);
    lt_free(low);
}
/* ---- native */

/* Which direction of a convolution a node is. */
static bool conv_kind(const struct lt_node *n, enum lt_conv_kind *kind)
{
    static const struct {
        const char *op;
        enum lt_conv_kind kind;
    } ops[] = {{"conv2d", LT_CONV_FORWARD},
               {"conv2d_dx", LT_CONV_DATA},
               {"conv2d_dw", LT_CONV_WEIGHTS},
               {"cpu_conv2d_dw_bias", LT_CONV_WEIGHTS}};

    for (size_t i = 0; i < LT_ARRAY_LEN(ops); i++)
        if (!strcmp(n->op->name, ops[i].op)) {
            *kind = ops[i].kind;
            return true;
        }
    return false;
}

/* oneDNN has no bfloat16 convolution for some shapes. */
static bool conv_works(struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                       const struct lt_node *n)
{
    LT_AUTO(lt_prim_free) struct lt_prim *p = NULL;
    struct lt_conv_shape s;
    enum lt_conv_kind kind;
    lt_id in0, in1, out;

    if (!conv_kind(n, &kind))
        return true;
    in0 = n->in[0];
    in1 = n->in[1];
    out = n->out[0];
    lt_conv_shape(d, g, b, n, kind == LT_CONV_FORWARD ? in0 : kind == LT_CONV_DATA ? out : in1,
                  kind == LT_CONV_WEIGHTS ? out : in1, kind == LT_CONV_FORWARD ? out : in0, &s);
    return lt_conv_is_empty(&s) ||
           lt_conv_prim(&s, kind, NULL, false, false, s.x[0], 1, &p, NULL) == 0;
}

static bool touches_low(const struct lt_graph *g, const struct lt_node *n)
{
    for (int i = 0; i < n->n_in + n->n_out; i++)
        if (is_low(g, i < n->n_in ? n->in[i] : n->out[i - n->n_in]))
            return true;
    return false;
}

/* The node over float32, between copies. */
static void widen(struct lt_graph *g, int i, lt_id *wide)
{
    for (int k = 0; k < g->nodes[i].n_in; k++) {
        lt_id v = g->nodes[i].in[k];

        if (!is_low(g, v))
            continue;
        if (wide[v] == LT_NONE) {
            wide[v] = value_like(g, v, LT_F32);
            lt_cpu_chain_add(g, LT_CHAIN_COPY, v, wide[v]);
        }
        g->nodes[i].in[k] = wide[v];
    }
    for (int o = 0; o < g->nodes[i].n_out; o++) {
        lt_id v = g->nodes[i].out[o], full;

        if (!is_low(g, v))
            continue;
        full = value_like(g, v, LT_F32);
        g->nodes[i].out[o] = full;
        g->values[full].node = i;
        g->values[full].out = o;
        lt_cpu_chain_add(g, LT_CHAIN_ROUND, full, v);
    }
    result_plain(&g->nodes[i]);
}

static void native(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b)
{
    int n_nodes = g->n_nodes, n_values = g->n_values;
    lt_id *wide = lt_malloc(((size_t)n_values + 1) * sizeof *wide);

    for (int v = 0; v < n_values; v++)
        wide[v] = LT_NONE;
    for (int i = 0; i < n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        if (n->dead || !touches_low(g, n) || n->op == &lt_cpu_op_chain ||
            (lt_builder_find(g, n) && conv_works(d, g, b, n)))
            continue;
        widen(g, i, wide);
    }
    lt_free(wide);
}

void lt_cpu_low(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b)
{
    bool any = false;

    for (lt_id v = 0; v < g->n_values; v++)
        any |= is_low(g, v);
    if (!any)
        return;
    lt_low_decide(d);
    lt_graph_sweep(g); /* casts that fused nodes did without */
    if (d->low == LT_LOW_EMULATED)
        emulate(g);
    else
        native(d, g, b);
    lt_cpu_chains(g, b); /* roundings into what is before and behind them */
}
