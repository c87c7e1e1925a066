/* autodiff.c - d loss / d parameter, as nodes
 *
 * Walks backwards from g->loss through each operator's gradient rule. Only nodes through which the
 * loss depends on a parameter are visited; where a value has several users their contributions are
 * summed, last user first, so that the text and the rounding are the same every time. What a rule
 * builds and nobody needs (the gradient of the first layer's input) is swept by the simplify pass
 * behind this one.
 */
#include "engine/graph/pass.h"

#include <stdio.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/edit.h"
#include "engine/graph/op.h"

struct walk {
    struct lt_graph *g;
    bool *needs;  /* value: a parameter, or computed from one */
    lt_id *grad;  /* value: the sum so far */
    int n_values; /* values of the forward part */
};

static void mark_needs(struct walk *w, int n_nodes)
{
    struct lt_graph *g = w->g;

    for (lt_id v = 0; v < w->n_values; v++)
        w->needs[v] = g->values[v].kind == LT_VALUE_PARAM;
    for (int i = 0; i < n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];
        bool any = false;

        if (n->dead || !n->op->grad)
            continue;
        for (int k = 0; k < n->n_in; k++)
            any |= w->needs[n->in[k]];
        for (int o = 0; any && o < n->n_out; o++)
            w->needs[n->out[o]] = lt_dtype_is_float(g->values[n->out[o]].type.dtype);
    }
}

static int contribute(struct walk *w, lt_id v, lt_id grad, const char *name, struct lt_error *err)
{
    const struct lt_op *add = lt_op_find("add");
    lt_id both[2] = {w->grad[v], grad};
    int node;

    if (w->grad[v] == LT_NONE) {
        w->grad[v] = grad;
        return 0;
    }
    node = lt_graph_add(w->g, add, name, both, 2, NULL, 0, err);
    if (node < 0)
        return node;
    w->grad[v] = w->g->nodes[node].out[0];
    return 0;
}

static int differentiate(struct walk *w, int i, struct lt_error *err)
{
    struct lt_node n = w->g->nodes[i]; /* adding nodes moves the array; lists stay in the arena */
    lt_id dout[LT_NODE_OUT_MAX], din[LT_NODE_IN_MAX];
    bool reached = false, wanted = false;
    char name[256];
    int rc;

    for (int o = 0; o < n.n_out; o++) {
        dout[o] = w->grad[n.out[o]];
        reached |= dout[o] != LT_NONE;
    }
    for (int k = 0; k < n.n_in; k++) {
        din[k] = LT_NONE;
        wanted |= w->needs[n.in[k]];
    }
    if (!reached || !wanted || !n.op->grad)
        return 0;
    rc = n.op->grad(w->g, i, dout, din, err);
    snprintf(name, sizeof name, "%s/sum", n.name);
    for (int k = 0; !rc && k < n.n_in; k++)
        if (din[k] != LT_NONE && w->needs[n.in[k]])
            rc = contribute(w, n.in[k], din[k], name, err);
    return rc;
}

static void gradients_collect(struct walk *w)
{
    struct lt_graph *g = w->g;

    lt_free(g->grads);
    g->grads = lt_calloc((size_t)w->n_values + 1, sizeof *g->grads);
    g->n_grads = 0;
    for (lt_id v = 0; v < w->n_values; v++)
        if (g->values[v].kind == LT_VALUE_PARAM && w->grad[v] != LT_NONE)
            g->grads[g->n_grads++] = (struct lt_gradient){v, w->grad[v]};
}

int lt_pass_autodiff(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    size_t n = (size_t)g->n_values + 1;
    struct walk w = {.g = g, .n_values = g->n_values};
    int n_nodes = g->n_nodes, rc = 0;

    (void)c;
    if (g->loss == LT_NONE)
        return 0;
    w.needs = lt_calloc(n, sizeof *w.needs);
    w.grad = lt_malloc(n * sizeof *w.grad);
    for (size_t v = 0; v < n; v++)
        w.grad[v] = LT_NONE;
    mark_needs(&w, n_nodes);
    w.grad[g->loss] = lt_graph_const(g, 1, g->values[g->loss].type.dtype);
    for (int i = n_nodes - 1; !rc && i >= 0; i--)
        if (!g->nodes[i].dead)
            rc = differentiate(&w, i, err);
    if (!rc)
        gradients_collect(&w);
    lt_free(w.needs);
    lt_free(w.grad);
    return rc;
}
