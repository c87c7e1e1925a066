/* lower.c - from the generic graph to what this back end runs */
#include "engine/cpu/lower.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "engine/cpu/program.h"
#include "engine/graph/edit.h"

int lt_cpu_infer_same(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                      struct lt_type *out, struct lt_error *err)
{
    (void)in;
    (void)err;
    for (int o = 0; o < n->n_out; o++)
        out[o] = g->values[n->out[o]].type;
    return 0;
}

static void *graph_alloc(struct lt_graph *g, size_t bytes)
{
    void *p = lt_arena_alloc(g->arena, bytes ? bytes : 1);

    if (!p)
        abort(); /* a graph's arena has no cap */
    return p;
}

void lt_cpu_rewrite(struct lt_graph *g, int node, const struct lt_op *op, const lt_id *in, int n_in)
{
    struct lt_node *n = &g->nodes[node];
    struct lt_attr *attrs;
    int count = 0;

    while (op->attrs && op->attrs[count].name)
        count++;
    attrs = graph_alloc(g, (size_t)(count + 1) * sizeof *attrs);
    for (int i = 0; i < count; i++) {
        attrs[i] = (struct lt_attr){.name = op->attrs[i].name, .kind = op->attrs[i].kind, .s = ""};
        for (int k = 0; k < n->n_attrs; k++)
            if (!strcmp(n->attrs[k].name, attrs[i].name))
                attrs[i] = n->attrs[k];
    }
    n->op = op;
    n->attrs = attrs;
    n->n_attrs = count;
    n->in = memcpy(graph_alloc(g, (size_t)n_in * sizeof *in), in, (size_t)n_in * sizeof *in);
    n->n_in = n_in;
}

void lt_cpu_take_output(struct lt_graph *g, int node, lt_id v)
{
    struct lt_node *n = &g->nodes[node];
    lt_id *out = graph_alloc(g, (size_t)(n->n_out + 1) * sizeof *out);

    memcpy(out, n->out, (size_t)n->n_out * sizeof *out);
    out[n->n_out] = v;
    g->values[v].node = node;
    g->values[v].out = n->n_out++;
    n->out = out;
}

/* Every node must have a kernel, or be allowed to run the reference one. */
static int supported(const struct lt_device *d, const struct lt_graph *g, struct lt_error *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        if (n->dead || lt_builder_find(g, n) || (d->allow_reference && n->op->ref))
            continue;
        return lt_error_set(err, -ENOTSUP,
                            "%s: the cpu back end has no fast kernel for operator %s over these types "
                            "(trainer.allow_reference_kernels runs the slow one)",
                            n->name, n->op->name);
    }
    return 0;
}

static void remember(struct lt_device *d, const struct lt_graph *g)
{
    for (lt_id v = 0; v < g->n_values; v++)
        if (lt_value_persists(g->values[v].kind) && !lt_map_get(d->persistent, g->values[v].name))
            lt_map_set(d->persistent, g->values[v].name,
                       (void *)(intptr_t)(g->values[v].layout + 1));
}

int lt_cpu_lower(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b,
                 struct lt_error *err)
{
    int rc;

    lt_cpu_fuse(g, b);
    lt_cpu_chains(g, b);
    lt_cpu_low(d, g, b);
    lt_cpu_chains_in_place(g);
    rc = lt_graph_sort(g, err);
    if (!rc)
        rc = supported(d, g, err);
    if (!rc)
        rc = lt_cpu_layouts(d, g, b, err);
    if (!rc && d->low == LT_LOW_NATIVE)
        lt_graph_sweep(g); /* weights whose rounded copy a reorder makes */
    if (!rc)
        rc = lt_graph_sort(g, err);
    if (!rc)
        remember(d, g);
    return rc;
}
