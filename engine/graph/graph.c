/* graph.c - building a graph
 *
 * Arrays of values and nodes move as they grow; names, lists and attributes live in the graph's
 * arena and stay.
 */
#include "engine/graph/graph.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/graph_in.h"
#include "engine/graph/op.h"

void *lt_graph_alloc(struct lt_graph *g, size_t size)
{
    void *p = lt_arena_alloc(g->arena, size);

    if (!p)
        abort(); /* as base/mem.h: what grows with a plan is bounded by the importer */
    return p;
}

const char *lt_graph_strdup(struct lt_graph *g, const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(lt_graph_alloc(g, n), s, n);
}

struct lt_graph *lt_graph_new(const char *name)
{
    struct lt_graph *g = lt_calloc(1, sizeof *g);

    g->arena = lt_arena_new(0);
    g->name = lt_graph_strdup(g, name);
    g->loss = LT_NONE;
    g->names = lt_map_new(NULL);
    return g;
}

void lt_graph_free(struct lt_graph *g)
{
    if (!g)
        return;
    lt_free(g->values);
    lt_free(g->nodes);
    lt_free(g->outputs);
    lt_free(g->grads);
    lt_free(g->units);
    lt_map_free(g->names);
    lt_arena_free(g->arena);
    lt_free(g);
}

struct lt_attr lt_graph_attr_copy(struct lt_graph *g, const struct lt_attr *a)
{
    struct lt_attr c = *a;

    c.name = lt_graph_strdup(g, a->name);
    if (a->kind == LT_ATTR_STR)
        c.s = lt_graph_strdup(g, a->s);
    if (a->kind == LT_ATTR_INTS) {
        c.ints = lt_graph_alloc(g, (size_t)(a->i + 1) * sizeof *c.ints);
        if (a->i)
            memcpy((void *)c.ints, a->ints, (size_t)a->i * sizeof *c.ints);
    }
    return c;
}

static struct lt_node node_copy(struct lt_graph *g, const struct lt_node *n)
{
    struct lt_node c = *n;

    c.name = lt_graph_strdup(g, n->name);
    c.in = lt_graph_alloc(g, (size_t)(n->n_in + 1) * sizeof *c.in);
    if (n->n_in)
        memcpy(c.in, n->in, (size_t)n->n_in * sizeof *c.in);
    c.out = lt_graph_alloc(g, (size_t)(n->n_out + 1) * sizeof *c.out);
    if (n->n_out)
        memcpy(c.out, n->out, (size_t)n->n_out * sizeof *c.out);
    c.attrs = lt_graph_alloc(g, (size_t)(n->n_attrs + 1) * sizeof *c.attrs);
    for (int i = 0; i < n->n_attrs; i++)
        c.attrs[i] = lt_graph_attr_copy(g, &n->attrs[i]);
    return c;
}

struct lt_graph *lt_graph_clone(const struct lt_graph *g)
{
    struct lt_graph *c = lt_graph_new(g->name);

    c->cap_values = c->n_values = g->n_values;
    c->values = lt_calloc((size_t)g->n_values + 1, sizeof *c->values);
    for (int i = 0; i < g->n_values; i++) {
        c->values[i] = g->values[i];
        if (!g->values[i].name)
            continue;
        c->values[i].name = lt_graph_strdup(c, g->values[i].name);
        lt_map_set(c->names, c->values[i].name, (void *)(intptr_t)(i + 1));
    }
    c->cap_nodes = c->n_nodes = g->n_nodes;
    c->nodes = lt_calloc((size_t)g->n_nodes + 1, sizeof *c->nodes);
    for (int i = 0; i < g->n_nodes; i++)
        c->nodes[i] = node_copy(c, &g->nodes[i]);
    c->n_syms = g->n_syms;
    for (int i = 0; i < g->n_syms; i++) {
        c->syms[i] = g->syms[i];
        c->syms[i].name = lt_graph_strdup(c, g->syms[i].name);
    }
    for (int i = 0; i < g->n_outputs; i++)
        lt_graph_output(c, g->outputs[i].name, g->outputs[i].value);
    c->loss = g->loss;
    c->n_grads = g->n_grads;
    c->grads = lt_calloc((size_t)g->n_grads + 1, sizeof *c->grads);
    if (g->n_grads)
        memcpy(c->grads, g->grads, (size_t)g->n_grads * sizeof *c->grads);
    for (int i = 0; i < g->n_units; i++)
        lt_graph_unit(c, g->units[i].name, g->units[i].stage, g->units[i].slices,
                      g->units[i].members, g->units[i].n_members);
    return c;
}

int lt_graph_sym(struct lt_graph *g, const char *name, int64_t bound)
{
    for (int i = 0; i < g->n_syms; i++)
        if (lt_str_eq(g->syms[i].name, name))
            return i;
    if (g->n_syms == LT_SYMS_MAX)
        return -E2BIG;
    g->syms[g->n_syms] = (struct lt_sym){lt_graph_strdup(g, name), bound};
    return g->n_syms++;
}

lt_id lt_graph_value_add(struct lt_graph *g, enum lt_value_kind kind, const struct lt_type *type)
{
    LT_GROW(g->values, g->n_values, g->cap_values);
    g->values[g->n_values] =
        (struct lt_value){.kind = kind, .type = *type, .node = -1, .alias = LT_NONE};
    return g->n_values++;
}

lt_id lt_graph_value(struct lt_graph *g, enum lt_value_kind kind, const char *name,
                     const struct lt_type *type)
{
    lt_id v;

    assert(kind != LT_VALUE_NODE && kind != LT_VALUE_CONST);
    assert(name && lt_graph_find(g, name) == LT_NONE);
    v = lt_graph_value_add(g, kind, type);
    g->values[v].name = lt_graph_strdup(g, name);
    lt_map_set(g->names, name, (void *)(intptr_t)(v + 1));
    return v;
}

lt_id lt_graph_const(struct lt_graph *g, double c, enum lt_dtype dtype)
{
    struct lt_type t = {.dtype = dtype};
    lt_id v = lt_graph_value_add(g, LT_VALUE_CONST, &t);

    g->values[v].constant = c;
    return v;
}

void lt_graph_init(struct lt_graph *g, lt_id persistent, struct lt_init init)
{
    assert(lt_value_persists(g->values[persistent].kind));
    g->values[persistent].init = init;
}

lt_id lt_graph_find(const struct lt_graph *g, const char *name)
{
    return (lt_id)(intptr_t)lt_map_get(g->names, name) - 1; /* LT_NONE is -1 */
}

lt_id lt_graph_latest(const struct lt_graph *g, lt_id persistent)
{
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const struct lt_node *n = &g->nodes[i];

        for (int o = 0; !n->dead && o < n->n_out; o++)
            if (g->values[n->out[o]].alias == persistent)
                return n->out[o];
    }
    return persistent;
}

void lt_graph_output(struct lt_graph *g, const char *name, lt_id v)
{
    LT_GROW(g->outputs, g->n_outputs, g->cap_outputs);
    g->outputs[g->n_outputs++] = (struct lt_output){lt_graph_strdup(g, name), v};
}
