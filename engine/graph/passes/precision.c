/* precision.c - casts, by each operator's row (run low / keep in float32 / follow the inputs)
 *
 * 64-true: every float32 value becomes float64; inputs, which come in float32, are cast, and what
 * the model gives outside is cast back.
 *
 * bf16-mixed, as torch.autocast: parameters, their gradients and all that updates them stay
 * float32. A contraction (LOW) takes its operands in bfloat16, sums in float32, and gives bfloat16,
 * or float32 where everybody who reads the result wants that: so weight gradients and the model's
 * output are never rounded. Losses, norms, softmaxes and reductions (KEEP) get float32. What is
 * left (FOLLOW) runs in bfloat16 unless one of its tensors is float32. Every value is cast once,
 * whoever asks: a weight once for the forward and the backward of a program.
 *
 * The pass runs behind autodiff and update, so gradients get the same rules as the forward.
 */
#include "engine/graph/pass.h"

#include <errno.h>
#include <stdio.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/edit.h"
#include "engine/graph/graph_in.h"
#include "engine/graph/op.h"
#include "proto/plan.h"

struct mixer {
    struct lt_graph *g;
    struct lt_error *err;
    bool *exact;             /* value: all who read it want float32 */
    lt_id *cast[LT_DTYPE_N]; /* value → itself in that type; only float32 and bfloat16 */
    int n_values;            /* before any cast was added */
};

static bool keeps(const struct lt_op *op)
{
    return op->precision == LT_PRECISION_KEEP || op->cls == LT_OP_UPDATE;
}

static bool is_cast(const struct lt_node *n)
{
    return n->op == lt_op_find("cast");
}

/* Types of a node's outputs from those of its inputs. */
static int retype(struct lt_graph *g, int node, struct lt_error *err)
{
    const struct lt_node *n = &g->nodes[node];
    struct lt_type in[LT_NODE_IN_MAX], out[LT_NODE_OUT_MAX] = {{0}};
    int rc;

    for (int k = 0; k < n->n_in; k++)
        in[k] = g->values[n->in[k]].type;
    rc = n->op->infer(g, n, in, out, err);
    if (rc < 0)
        return lt_error_prefix(err, "%s", n->name);
    for (int o = 0; o < n->n_out; o++)
        g->values[n->out[o]].type = out[o];
    return 0;
}

/* v in another type: a constant, or a node behind the others. */
static lt_id cast_add(struct lt_graph *g, lt_id v, enum lt_dtype to, struct lt_error *err)
{
    const struct lt_value *x = &g->values[v];
    struct lt_attr attr = {.name = "dtype", .kind = LT_ATTR_STR, .s = lt_dtype_names[to]};
    char name[400];
    int node;

    if (x->kind == LT_VALUE_CONST)
        return lt_graph_const(g, x->constant, to);
    snprintf(name, sizeof name, "%s/%s", x->name ? x->name : g->nodes[x->node].name,
             lt_dtype_names[to]);
    node = lt_graph_add(g, lt_op_find("cast"), name, &v, 1, &attr, 1, err);
    return node < 0 ? LT_NONE : g->nodes[node].out[0];
}

/* ---- 64-true */

static void widen_attr(struct lt_graph *g, struct lt_node *n)
{
    if (is_cast(n) && lt_dtype_find(lt_node_str(n, "dtype")) == LT_F32)
        n->attrs[0].s = lt_graph_strdup(g, lt_dtype_names[LT_F64]);
}

static int widen_input(struct lt_graph *g, lt_id v, struct lt_error *err)
{
    lt_id wide = cast_add(g, v, LT_F64, err);

    if (wide == LT_NONE)
        return -EINVAL;
    lt_graph_replace(g, v, wide, g->values[wide].node);
    return 0;
}

/* Predictions are float32, in whatever they were computed. */
static int narrow_output(struct lt_graph *g, struct lt_output *o, struct lt_error *err)
{
    if (g->values[o->value].type.dtype != LT_F64 || !g->values[o->value].type.ndim)
        return 0;
    o->value = cast_add(g, o->value, LT_F32, err);
    return o->value == LT_NONE ? -EINVAL : 0;
}

static int widen(struct lt_graph *g, struct lt_error *err)
{
    int n_values = g->n_values, rc = 0;

    for (int i = 0; i < g->n_nodes; i++)
        widen_attr(g, &g->nodes[i]);
    for (lt_id v = 0; !rc && v < n_values; v++) {
        if (g->values[v].type.dtype != LT_F32)
            continue;
        if (g->values[v].kind == LT_VALUE_INPUT)
            rc = widen_input(g, v, err);
        else
            g->values[v].type.dtype = LT_F64;
    }
    for (int i = 0; !rc && i < g->n_outputs; i++)
        rc = narrow_output(g, &g->outputs[i], err);
    lt_graph_sweep(g); /* casts of inputs that nobody reads */
    return rc ? rc : lt_graph_sort(g, err);
}

/* ---- bf16-mixed */

static bool node_exact(const struct mixer *m, const struct lt_node *n)
{
    if (keeps(n->op))
        return true;
    if (n->op->precision == LT_PRECISION_LOW)
        return false;
    for (int o = 0; o < n->n_out; o++)
        if (!m->exact[n->out[o]])
            return false;
    return true;
}

/* From the last reader back to the first. */
static void exact_find(struct mixer *m)
{
    for (lt_id v = 0; v < m->n_values; v++)
        m->exact[v] = true;
    for (int i = m->g->n_nodes - 1; i >= 0; i--) {
        const struct lt_node *n = &m->g->nodes[i];

        if (n->dead || node_exact(m, n))
            continue;
        for (int k = 0; k < n->n_in; k++)
            if (!lt_op_shape_only(n->op, k))
                m->exact[n->in[k]] = false;
    }
}

static int input_cast(struct mixer *m, int node, int k, enum lt_dtype to)
{
    lt_id v = m->g->nodes[node].in[k];
    enum lt_dtype is = m->g->values[v].type.dtype;

    if (is == to || (is != LT_F32 && is != LT_BF16))
        return 0;
    if (m->cast[to][v] == LT_NONE)
        m->cast[to][v] = cast_add(m->g, v, to, m->err);
    if (m->cast[to][v] == LT_NONE)
        return -EINVAL;
    m->g->nodes[node].in[k] = m->cast[to][v];
    return 0;
}

/* Numbers beside tensors don't decide: they follow. */
static enum lt_dtype followed(const struct lt_graph *g, const struct lt_node *n)
{
    enum lt_dtype to = LT_DTYPE_N, scalar = LT_DTYPE_N;

    for (int k = 0; k < n->n_in; k++) {
        const struct lt_type *t = &g->values[n->in[k]].type;
        enum lt_dtype *vote = t->ndim ? &to : &scalar;

        if (lt_op_shape_only(n->op, k) || (t->dtype != LT_F32 && t->dtype != LT_BF16))
            continue;
        if (t->dtype == LT_F32 || *vote == LT_DTYPE_N)
            *vote = t->dtype;
    }
    return to != LT_DTYPE_N ? to : scalar;
}

/* A contraction's two operands; a bias is added to the float32 sum as it is. */
static bool lowers(const struct lt_node *n, int k)
{
    return n->op->precision != LT_PRECISION_LOW || k < 2;
}

static void result_set(const struct mixer *m, struct lt_node *n)
{
    for (int a = 0; a < n->n_attrs; a++)
        if (lt_str_eq(n->attrs[a].name, "dtype") && m->exact[n->out[0]])
            n->attrs[a].s = lt_dtype_names[LT_F32];
}

static int node_mix(struct mixer *m, int i)
{
    struct lt_node *n = &m->g->nodes[i];
    bool low = n->op->precision == LT_PRECISION_LOW;
    enum lt_dtype to = keeps(n->op) ? LT_F32 : low ? LT_BF16 : followed(m->g, n);
    int n_in = n->n_in, rc = 0;

    if (low && m->g->values[n->in[0]].type.dtype == LT_F64)
        return 0; /* a model's own float64 */
    for (int k = 0; !rc && to != LT_DTYPE_N && !is_cast(n) && k < n_in; k++, n = &m->g->nodes[i])
        if (!lt_op_shape_only(n->op, k) && lowers(n, k))
            rc = input_cast(m, i, k, to);
    if (low)
        result_set(m, n);
    return rc ? rc : retype(m->g, i, m->err);
}

static int output_keep(struct mixer *m, struct lt_output *o)
{
    if (m->g->values[o->value].type.dtype != LT_BF16)
        return 0;
    if (m->cast[LT_F32][o->value] == LT_NONE)
        m->cast[LT_F32][o->value] = cast_add(m->g, o->value, LT_F32, m->err);
    if (m->cast[LT_F32][o->value] == LT_NONE)
        return -EINVAL;
    o->value = m->cast[LT_F32][o->value];
    return 0;
}

static int mix(struct lt_graph *g, struct lt_error *err)
{
    size_t n = (size_t)g->n_values + 1;
    struct mixer m = {.g = g, .err = err, .n_values = g->n_values};
    int n_nodes = g->n_nodes, rc = 0;

    m.exact = lt_calloc(n, sizeof *m.exact);
    m.cast[LT_F32] = lt_malloc(n * sizeof(lt_id));
    m.cast[LT_BF16] = lt_malloc(n * sizeof(lt_id));
    for (size_t v = 0; v < n; v++)
        m.cast[LT_F32][v] = m.cast[LT_BF16][v] = LT_NONE;
    exact_find(&m);
    for (int i = 0; !rc && i < n_nodes; i++)
        if (!g->nodes[i].dead)
            rc = node_mix(&m, i);
    for (int i = 0; !rc && i < g->n_outputs; i++)
        rc = output_keep(&m, &g->outputs[i]);
    lt_free(m.exact);
    lt_free(m.cast[LT_F32]);
    lt_free(m.cast[LT_BF16]);
    return rc ? rc : lt_graph_sort(g, err);
}

int lt_pass_precision(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    switch (lt_plan_precision(c->plan)) {
    case LT_PLAN_F64:
        return widen(g, err);
    case LT_PLAN_BF16_MIXED:
        return mix(g, err);
    default:
        return 0;
    }
}
