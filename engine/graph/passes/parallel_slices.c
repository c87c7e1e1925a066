/* parallel_slices.c - a rank that computes several slices of the batch computes each by itself
 *
 * The model's part of a program (forward, loss, metrics, backward, what is added to accumulators)
 * is there once for each slice, over a batch of the slice's size: the same kernels see the same
 * numbers whichever rank runs it. Inputs with a batch dimension are cut; parameters, constants and
 * scalars are shared; accumulators are a slice's own ("grad@1/NAME"). Collectives that are there
 * already (of batch norms) get a term from each slice, and what they give is the same for all.
 */
#include "engine/graph/passes/parallel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/graph_in.h"
#include "engine/graph/op.h"

enum part {
    MODEL,  /* once for each slice */
    COMMON, /* once, though slices read what it gives: collectives, buffers' updates */
    UPDATE  /* once, and everything behind it */
};

static enum part part_of(const struct lt_graph *g, const struct lt_node *n)
{
    if (!strcmp(n->op->name, "grad_scale") || !strcmp(n->op->name, "sum_squares"))
        return UPDATE;
    if (n->op->collective || n->op->part)
        return COMMON;
    if (n->op->cls == LT_OP_UPDATE && g->values[n->in[0]].kind == LT_VALUE_PARAM)
        return UPDATE;
    return n->op->cls == LT_OP_UPDATE && g->values[n->in[0]].kind == LT_VALUE_BUFFER ? COMMON
                                                                                       : MODEL;
}

static unsigned char *parts(const struct lt_graph *g)
{
    unsigned char *part = lt_calloc((size_t)g->n_nodes + 1, sizeof *part);

    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        part[i] = (unsigned char)(n->dead ? UPDATE : part_of(g, n));
        for (int k = 0; part[i] != UPDATE && k < n->n_in; k++)
            if (g->values[n->in[k]].node >= 0 && part[g->values[n->in[k]].node] == UPDATE)
                part[i] = UPDATE;
    }
    return part;
}

static bool is_batched(const struct lt_value *v)
{
    return v->kind == LT_VALUE_INPUT && v->type.ndim && v->type.dim[0].sym == 0;
}

/* "grad/1.weight" → "grad@2/1.weight", "window.loss" → "window.loss@2". */
static lt_id accumulator(struct lt_parallel *p, lt_id v, int s)
{
    struct lt_value old = p->g->values[v];
    const char *slash = strchr(old.name, '/');
    int head = slash ? (int)(slash - old.name) : (int)strlen(old.name);
    char name[400];
    lt_id own;

    snprintf(name, sizeof name, "%.*s@%d%s", head, old.name, s, slash ? slash : "");
    own = lt_graph_find(p->g, name);
    return own != LT_NONE ? own : lt_graph_value(p->g, LT_VALUE_ACCUM, name, &old.type);
}

static lt_id cut(struct lt_parallel *p, lt_id v, int s)
{
    struct lt_attr attrs[] = {{.name = "slices", .kind = LT_ATTR_INT, .i = p->target},
                              {.name = "index", .kind = LT_ATTR_INT, .i = s}};
    char name[200];

    snprintf(name, sizeof name, "%s/%d", p->g->values[v].name, s);
    return lt_parallel_apply(p, "batch_slice", name, &v, 1, attrs, 2);
}

static void outside(struct lt_parallel *p, lt_id v)
{
    struct lt_value val = p->g->values[v];

    for (int s = 0; s < p->target && p->rc == 0; s++) {
        if (is_batched(&val))
            p->copy[s][v] = cut(p, v, s);
        else if (val.kind == LT_VALUE_ACCUM && s)
            p->copy[s][v] = accumulator(p, v, s);
        else
            p->copy[s][v] = v;
    }
}

/* Node i for slice s; its name stays, which keys random numbers. */
static void node_copy(struct lt_parallel *p, int i, int s)
{
    struct lt_node n = p->g->nodes[i];
    lt_id in[LT_NODE_IN_MAX];
    int made;

    for (int k = 0; k < n.n_in; k++)
        in[k] = p->copy[s][n.in[k]];
    made = lt_graph_add(p->g, n.op, n.name, in, n.n_in, n.attrs, n.n_attrs, p->err);
    if (made < 0) {
        p->rc = made;
        return;
    }
    for (int o = 0; o < n.n_out; o++)
        p->copy[s][n.out[o]] = p->g->nodes[made].out[o];
}

/* A collective's terms: members of slice 0, then of slice 1, … */
static void widen_start(struct lt_parallel *p, struct lt_node *n)
{
    struct lt_unit *u = &p->g->units[lt_node_int(n, "unit")];
    lt_id flat = n->out[0];
    lt_id *in = lt_graph_alloc(p->g, (size_t)(n->n_in * p->target) * sizeof *in);

    if (n->n_in * p->target > LT_NODE_IN_MAX) {
        p->rc = lt_error_set(p->err, -ENOTSUP, "%s: too many slices", n->name);
        return;
    }
    for (int s = 0; s < p->target; s++)
        for (int k = 0; k < n->n_in; k++)
            in[s * n->n_in + k] = p->copy[s][n->in[k]];
    n->in = in;
    n->n_in *= p->target;
    u->slices = p->target;
    for (int k = 0; k < n->n_attrs; k++)
        if (!strcmp(n->attrs[k].name, "slices"))
            n->attrs[k].i = p->target;
    p->g->values[flat].type.dim[0].k *= p->target;
    for (int i = 0; i < p->g->n_nodes; i++)
        if (p->g->nodes[i].op->collective == LT_OP_COMM_WAIT && p->g->nodes[i].in[0] == flat)
            p->g->values[p->g->nodes[i].out[0]].type = p->g->values[flat].type;
}

/* Slice 0 keeps its nodes; they read its part of the inputs. */
static void first_slice(struct lt_parallel *p, int n_nodes, const unsigned char *part)
{
    for (int i = 0; i < n_nodes; i++)
        for (int k = 0; part[i] == MODEL && k < p->g->nodes[i].n_in; k++)
            if (is_batched(&p->g->values[p->g->nodes[i].in[k]]))
                p->g->nodes[i].in[k] = p->copy[0][p->g->nodes[i].in[k]];
}

/* Micro-batches' sums of the other slices are given out by name; what the model computes isn't. */
static void outputs(struct lt_parallel *p)
{
    struct lt_graph *g = p->g;
    int n = g->n_outputs;

    for (int o = 0; o < n; o++) {
        if (lt_str_eq(g->outputs[o].name, "output")) {
            memmove(&g->outputs[o], &g->outputs[o + 1],
                    (size_t)(g->n_outputs - o - 1) * sizeof *g->outputs);
            g->n_outputs--;
            n--;
            o--;
            continue;
        }
        for (int s = 1; s < p->target && !p->c->reduce_sums; s++) {
            char name[300];

            snprintf(name, sizeof name, "%s@%d", g->outputs[o].name, s);
            lt_graph_output(g, name, p->copy[s][g->outputs[o].value]);
        }
    }
}

static void widen_inputs(struct lt_parallel *p, int n_values)
{
    for (lt_id v = 0; v < n_values; v++)
        if (is_batched(&p->g->values[v]))
            p->g->values[v].type.dim[0].k *= p->target;
}

/* Which value stands for which, to begin with: itself. */
static void copies_new(struct lt_parallel *p, int n_values)
{
    p->n_copied = n_values;
    p->copy = lt_calloc((size_t)p->target, sizeof *p->copy);
    for (int s = 0; s < p->target; s++) {
        p->copy[s] = lt_calloc((size_t)n_values + 1, sizeof *p->copy[s]);
        for (lt_id v = 0; v < n_values; v++)
            p->copy[s][v] = v;
    }
}

void lt_parallel_unroll(struct lt_parallel *p)
{
    struct lt_graph *g = p->g;
    int n_nodes = g->n_nodes, n_values = g->n_values;
    unsigned char *part = parts(g);

    if (p->target > LT_NODE_IN_MAX)
        p->rc = lt_error_set(p->err, -ENOTSUP, "%d slices on one rank, at most %d", p->target,
                             LT_NODE_IN_MAX);
    copies_new(p, n_values);
    widen_inputs(p, n_values);
    for (lt_id v = 0; v < n_values && p->rc == 0; v++)
        if (g->values[v].kind != LT_VALUE_NODE)
            outside(p, v);
    for (int s = 1; s < p->target; s++)
        for (int i = 0; i < n_nodes && p->rc == 0; i++)
            if (part[i] == MODEL)
                node_copy(p, i, s);
    for (int i = 0; i < n_nodes && p->rc == 0; i++)
        if (part[i] == COMMON && g->nodes[i].op->collective == LT_OP_COMM_START)
            widen_start(p, &g->nodes[i]);
    first_slice(p, n_nodes, part);
    p->local = p->target;
    if (p->rc == 0)
        outputs(p);
    lt_free(part);
}
