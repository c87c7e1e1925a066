/* edit.c - redirecting, killing and reordering
 *
 * lt_graph_sort() visits nodes in the order they have and puts before each what it waits for: a
 * node that a pass added at the end thus comes directly before its first user, and a graph that is
 * in order stays as it is.
 */
#include "engine/graph/edit.h"

#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/op.h"

void lt_graph_replace(struct lt_graph *g, lt_id old, lt_id with, int but)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; i != but && k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == old)
                g->nodes[i].in[k] = with;
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].value == old)
            g->outputs[i].value = with;
    for (int i = 0; i < g->n_grads; i++)
        if (g->grads[i].grad == old)
            g->grads[i].grad = with;
    if (g->loss == old)
        g->loss = with;
}

void lt_graph_kill(struct lt_graph *g, int node)
{
    struct lt_node *n = &g->nodes[node];

    n->dead = true;
    for (int o = 0; o < n->n_out; o++)
        if (g->values[n->out[o]].node == node)
            g->values[n->out[o]].node = -1;
}

int *lt_graph_uses(const struct lt_graph *g)
{
    int *uses = lt_calloc((size_t)g->n_values + 1, sizeof *uses);

    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; !g->nodes[i].dead && k < g->nodes[i].n_in; k++)
            uses[g->nodes[i].in[k]]++;
    for (int i = 0; i < g->n_outputs; i++)
        uses[g->outputs[i].value]++;
    for (int i = 0; i < g->n_grads; i++)
        uses[g->grads[i].grad]++;
    if (g->loss != LT_NONE)
        uses[g->loss]++;
    return uses;
}

static bool node_wanted(const struct lt_graph *g, const struct lt_node *n, const int *uses)
{
    for (int o = 0; o < n->n_out; o++)
        if (uses[n->out[o]] || g->values[n->out[o]].alias != LT_NONE)
            return true;
    return false;
}

int lt_graph_sweep(struct lt_graph *g)
{
    int *uses = lt_graph_uses(g);
    int killed = 0;

    for (int i = g->n_nodes - 1; i >= 0; i--) {
        struct lt_node *n = &g->nodes[i];

        if (n->dead || node_wanted(g, n, uses))
            continue;
        for (int k = 0; k < n->n_in; k++)
            uses[n->in[k]]--;
        lt_graph_kill(g, i);
        killed++;
    }
    lt_free(uses);
    return killed;
}

/* ---- dependencies ---- */

/* Which node replaces each value's content; -1: none. */
static int *updaters(const struct lt_graph *g)
{
    int *by = lt_malloc(((size_t)g->n_values + 1) * sizeof *by);

    for (int v = 0; v < g->n_values; v++)
        by[v] = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        for (int o = 0; !n->dead && o < n->n_out; o++)
            if (n->op->updates[o])
                by[n->in[n->op->updates[o] - 1]] = i;
    }
    return by;
}

/* Calls for every (node, waits for): counting first, filling then. */
static void deps_each(struct lt_deps *d, const struct lt_graph *g, const int *by, int *count)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        for (int k = 0; !n->dead && k < n->n_in; k++) {
            int producer = g->values[n->in[k]].node;
            int updater = by[n->in[k]];

            if (producer >= 0) {
                if (d->node)
                    d->node[d->first[i] + count[i]] = producer;
                count[i]++;
            }
            if (updater >= 0 && updater != i) {
                if (d->node)
                    d->node[d->first[updater] + count[updater]] = i;
                count[updater]++;
            }
        }
    }
}

void lt_deps_init(struct lt_deps *d, const struct lt_graph *g)
{
    size_t n = (size_t)g->n_nodes;
    int *by = updaters(g), *count = lt_calloc(n + 1, sizeof *count);

    *d = (struct lt_deps){.first = lt_calloc(n + 1, sizeof *d->first)};
    deps_each(d, g, by, count);
    for (size_t i = 0; i < n; i++)
        d->first[i + 1] = d->first[i] + count[i];
    d->node = lt_calloc((size_t)d->first[n] + 1, sizeof *d->node);
    memset(count, 0, n * sizeof *count);
    deps_each(d, g, by, count);
    lt_free(by);
    lt_free(count);
}

void lt_deps_done(struct lt_deps *d)
{
    lt_free(d->first);
    lt_free(d->node);
    *d = (struct lt_deps){0};
}

/* ---- order ---- */

void lt_graph_permute(struct lt_graph *g, const int *order, int n)
{
    struct lt_node *nodes = lt_calloc((size_t)n + 1, sizeof *nodes);

    for (int i = 0; i < n; i++) {
        nodes[i] = g->nodes[order[i]];
        for (int o = 0; o < nodes[i].n_out; o++)
            g->values[nodes[i].out[o]].node = i;
    }
    lt_free(g->nodes);
    g->nodes = nodes;
    g->n_nodes = n;
    g->cap_nodes = n + 1;
}

enum mark { UNSEEN, OPEN, DONE };

struct sorter {
    struct lt_deps deps;
    unsigned char *mark;
    int *stack, *next; /* the path down, and which dependency of each comes next */
    int *order, n;
};

/* Depth first, without recursion: graphs are deep. */
static int visit(struct sorter *s, int start)
{
    int depth = 0;

    s->stack[0] = start;
    s->next[0] = s->deps.first[start];
    s->mark[start] = OPEN;
    while (depth >= 0) {
        int i = s->stack[depth];

        if (s->next[depth] == s->deps.first[i + 1]) {
            s->mark[i] = DONE;
            s->order[s->n++] = i;
            depth--;
            continue;
        }
        int dep = s->deps.node[s->next[depth]++];

        if (s->mark[dep] == OPEN)
            return -EINVAL;
        if (s->mark[dep] == DONE)
            continue;
        s->mark[dep] = OPEN;
        s->stack[++depth] = dep;
        s->next[depth] = s->deps.first[dep];
    }
    return 0;
}

int lt_graph_sort(struct lt_graph *g, struct lt_error *err)
{
    size_t n = (size_t)g->n_nodes + 1;
    struct sorter s = {.mark = lt_calloc(n, 1),
                       .stack = lt_calloc(n, sizeof *s.stack),
                       .next = lt_calloc(n, sizeof *s.next),
                       .order = lt_calloc(n, sizeof *s.order)};
    int rc = 0;

    lt_deps_init(&s.deps, g);
    for (int i = 0; !rc && i < g->n_nodes; i++)
        if (!g->nodes[i].dead && s.mark[i] == UNSEEN)
            rc = visit(&s, i);
    if (rc < 0)
        lt_error_set(err, rc, "graph %s: nodes wait for each other", g->name);
    else
        lt_graph_permute(g, s.order, s.n);
    lt_deps_done(&s.deps);
    lt_free(s.mark);
    lt_free(s.stack);
    lt_free(s.next);
    lt_free(s.order);
    return rc;
}
