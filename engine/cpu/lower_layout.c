/* lower_layout.c - where every value lies
 *
 * One walk in order: each node says in which layout it wants its inputs and gives its outputs
 * theirs; where a value lies otherwise, a reorder is put between (shared by all that want the
 * same). Images are channels-last, the weights of linear layers turned, those of convolutions
 * blocked as the forward implementation likes them. What belongs to a parameter (moments,
 * gradients) lies as it does. Persistent values keep what the first program on this device gave
 * them.
 */
#include "engine/cpu/lower_layout.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/cpu/chain.h"
#include "engine/graph/edit.h"

const struct lt_op lt_cpu_op_reorder = {.name = "cpu_reorder",
                                        .cls = LT_OP_VIEW,
                                        .min_in = 1,
                                        .max_in = 1,
                                        .n_out = 1,
                                        .infer = lt_cpu_infer_same};

struct lt_node *lt_walk_node(const struct lt_walk *w)
{
    return &w->g->nodes[w->node];
}

int lt_walk_layout(const struct lt_walk *w, lt_id v)
{
    return w->g->values[v].layout;
}

const struct lt_layout *lt_walk_shape(const struct lt_walk *w, lt_id v)
{
    return &w->d->layouts[lt_walk_layout(w, v)];
}

static lt_id value_like(struct lt_graph *g, lt_id v, int node, int to, enum lt_dtype type)
{
    LT_GROW(g->values, g->n_values, g->cap_values);
    g->values[g->n_values] = (struct lt_value){.kind = LT_VALUE_NODE,
                                               .type = g->values[v].type,
                                               .node = node,
                                               .alias = LT_NONE,
                                               .layout = to};
    g->values[g->n_values].type.dtype = type;
    return g->n_values++;
}

lt_id lt_walk_moved(struct lt_walk *w, lt_id v, int to)
{
    return lt_walk_moved_as(w, v, to, w->g->values[v].type.dtype);
}

lt_id lt_walk_moved_as(struct lt_walk *w, lt_id v, int to, enum lt_dtype type)
{
    struct lt_graph *g = w->g;
    struct lt_node n = {.op = &lt_cpu_op_reorder, .n_in = 1, .n_out = 1};
    char key[48];
    void *known;
    lt_id out;

    snprintf(key, sizeof key, "%d/%d/%d", v, to, (int)type);
    known = lt_map_get(w->moved, key);
    if (known)
        return (lt_id)((intptr_t)known - 1);
    n.name = lt_arena_format(g->arena, "%s/reorder%d", lt_walk_node(w)->name,
                             (int)lt_map_count(w->moved));
    n.in = lt_arena_alloc(g->arena, sizeof *n.in);
    n.out = lt_arena_alloc(g->arena, sizeof *n.out);
    n.attrs = lt_arena_alloc(g->arena, sizeof *n.attrs);
    if (!n.name || !n.in || !n.out || !n.attrs)
        abort(); /* a graph's arena has no cap */
    out = value_like(g, v, g->n_nodes, to, type);
    n.in[0] = v;
    n.out[0] = out;
    LT_GROW(g->nodes, g->n_nodes, g->cap_nodes);
    g->nodes[g->n_nodes++] = n;
    lt_map_set(w->moved, key, (void *)(intptr_t)(out + 1));
    return out;
}

lt_id lt_walk_rounded(const struct lt_walk *w, lt_id v)
{
    const struct lt_graph *g = w->g;
    int node = g->values[v].node;
    struct lt_chain c;
    lt_id p;

    if (node < 0 || strcmp(g->nodes[node].op->name, "cpu_chain") != 0 || g->nodes[node].n_in != 1)
        return LT_NONE;
    lt_chain_decode(&g->nodes[node], &c);
    p = g->nodes[node].in[0];
    if (g->values[p].node >= 0 && g->nodes[g->values[p].node].op == &lt_cpu_op_reorder)
        p = g->nodes[g->values[p].node].in[0];
    return c.n_code == 1 && c.code[0].code == LT_CHAIN_ROUND &&
                   lt_value_persists(g->values[p].kind) &&
                   lt_shape_eq(&g->values[p].type, &g->values[v].type)
               ? p
               : LT_NONE;
}

void lt_walk_place_weight(struct lt_walk *w, lt_id v, int to)
{
    lt_id p = lt_walk_rounded(w, v);

    lt_walk_place(w, p == LT_NONE ? v : p, to);
    if (p != LT_NONE && w->g->nodes[w->g->values[v].node].in[0] == p)
        w->g->values[v].layout = w->g->values[p].layout;
}

/* One channel, or one place per channel: plain and channels-last are the same bytes. */
bool lt_walk_same_bytes(const struct lt_walk *w, lt_id v, int to)
{
    int64_t d[LT_DIMS_MAX], s = 1;
    int n = lt_value_dims(w->g, w->b, v, d);

    if (lt_walk_layout(w, v) > LAST || to > LAST || n < 3)
        return false;
    for (int i = 2; i < n; i++)
        s *= d[i];
    return d[1] == 1 || s == 1;
}

void lt_walk_want(struct lt_walk *w, int i, int to)
{
    lt_id v = lt_walk_node(w)->in[i];

    if (lt_walk_layout(w, v) != to && !lt_walk_same_bytes(w, v, to))
        v = lt_walk_moved(w, v, to); /* moves g->nodes */
    lt_walk_node(w)->in[i] = v;
}

void lt_walk_give(struct lt_walk *w, int o, int to)
{
    if (o < lt_walk_node(w)->n_out)
        w->g->values[lt_walk_node(w)->out[o]].layout = to;
}

/* The value as it lies; what doesn't persist or has a layout already keeps it. */
void lt_walk_place(struct lt_walk *w, lt_id v, int to)
{
    struct lt_value *x = &w->g->values[v];

    if (lt_value_persists(x->kind) && !x->layout && !lt_map_get(w->d->persistent, x->name))
        x->layout = to;
}

lt_id lt_walk_root(const struct lt_walk *w, lt_id v)
{
    return w->g->values[v].alias != LT_NONE ? w->g->values[v].alias : v;
}

/* ---- before and after the walk */

/* What earlier programs gave persistent values. */
static void recall(struct lt_walk *w)
{
    for (lt_id v = 0; v < w->g->n_values; v++) {
        struct lt_value *x = &w->g->values[v];
        void *known = lt_value_persists(x->kind) ? lt_map_get(w->d->persistent, x->name) : NULL;

        x->layout = known ? (int)((intptr_t)known - 1) : PLAIN;
    }
}

/* "grad/1.weight", "exp_avg/1.weight" lie as "1.weight". */
static void follow_parameters(struct lt_walk *w)
{
    for (lt_id v = 0; v < w->g->n_values; v++) {
        struct lt_value *x = &w->g->values[v];
        const char *slash = x->name && x->kind > LT_VALUE_BUFFER ? strchr(x->name, '/') : NULL;
        lt_id p = slash ? lt_graph_find(w->g, slash + 1) : LT_NONE;

        if (p != LT_NONE && lt_value_persists(w->g->values[p].kind) &&
            lt_shape_eq(&x->type, &w->g->values[p].type))
            lt_walk_place(w, v, lt_walk_layout(w, p));
    }
}

/* (p or acc, g, …) → p' … */
static bool is_update(const struct lt_node *n)
{
    return !n->dead && n->n_in > 1 && n->op->cls == LT_OP_UPDATE && n->op->updates[0] == 1;
}

/* Gradients that travel lie as their parameters do. */
static void hint_members(struct lt_walk *w, const struct lt_node *n)
{
    const struct lt_unit *u = &w->g->units[lt_node_int(n, "unit")];

    for (int k = 0; k < n->n_in; k++)
        if (lt_value_persists(w->g->values[u->members[k % u->n_members]].kind))
            w->hint[n->in[k]] = u->members[k % u->n_members];
}

static void hints(struct lt_walk *w)
{
    for (lt_id v = 0; v < w->g->n_values; v++)
        w->hint[v] = LT_NONE;
    for (int i = 0; i < w->g->n_nodes; i++) {
        const struct lt_node *n = &w->g->nodes[i];

        if (is_update(n))
            w->hint[n->in[1]] = lt_walk_root(w, n->in[0]);
        if (!n->dead && n->op->collective == LT_OP_COMM_START)
            hint_members(w, n);
    }
}

/* Parameters get their layouts in the forward pass, long before the first state or gradient asks
 * for them. */
static bool wants_states(const struct lt_node *n)
{
    return n->op->cls == LT_OP_UPDATE || n->op->collective || !strcmp(n->op->name, "conv2d_dw") ||
           !strcmp(n->op->name, "cpu_conv2d_dw_bias") || !strcmp(n->op->name, "matmul");
}

int lt_cpu_layouts(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b,
                   struct lt_error *err)
{
    struct lt_walk w = {.d = d, .g = g, .b = b, .err = err};
    int n_nodes = g->n_nodes, rc = 0;

    w.hint = lt_malloc(((size_t)g->n_values + 1) * sizeof *w.hint);
    w.moved = lt_map_new(NULL);
    recall(&w);
    hints(&w);
    for (w.node = 0; !rc && w.node < n_nodes; w.node++) {
        if (lt_walk_node(&w)->dead)
            continue;
        if (wants_states(lt_walk_node(&w)))
            follow_parameters(&w);
        rc = lt_walk_rule(&w);
        if (rc < 0)
            lt_error_prefix(err, "%s (%s)", lt_walk_node(&w)->name, lt_walk_node(&w)->op->name);
    }
    w.node = n_nodes - 1;
    for (int i = 0; !rc && i < g->n_outputs; i++)
        if (lt_walk_layout(&w, g->outputs[i].value) != PLAIN &&
            !lt_walk_same_bytes(&w, g->outputs[i].value, PLAIN))
            g->outputs[i].value = lt_walk_moved(&w, g->outputs[i].value, PLAIN);
    lt_free(w.hint);
    lt_map_free(w.moved);
    return rc;
}
