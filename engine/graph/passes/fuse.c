/* fuse.c - joins what every back end runs faster as one
 *
 * An activation goes into the linear or conv2d before it, as its `act`, when nobody else needs what
 * came before the activation (a relu's gradient is a function of its *result*, so the backward
 * doesn't). The results are the same bits. Devices fuse further for themselves in `lower`.
 */
#include "engine/graph/pass.h"

#include <string.h>
#include "base/mem.h"
#include "engine/graph/edit.h"
#include "engine/graph/op.h"

/* A row: the activation, and the operator that can take it. */
static const struct {
    const char *act, *into;
} rules[] = {{"relu", "linear"}, {"relu", "conv2d"}};

static bool matches(const struct lt_graph *g, const struct lt_node *act, const int *uses)
{
    int producer = g->values[act->in[0]].node;
    const struct lt_node *into = producer < 0 ? NULL : &g->nodes[producer];

    if (!into || uses[act->in[0]] != 1)
        return false;
    for (size_t r = 0; r < LT_ARRAY_LEN(rules); r++)
        if (!strcmp(act->op->name, rules[r].act) && !strcmp(into->op->name, rules[r].into))
            return !*lt_node_str(into, "act");
    return false;
}

static void fuse(struct lt_graph *g, int act, int into)
{
    struct lt_node *n = &g->nodes[into];

    for (int i = 0; i < n->n_attrs; i++)
        if (!strcmp(n->attrs[i].name, "act"))
            n->attrs[i].s = g->nodes[act].op->name;
    lt_graph_replace(g, g->nodes[act].out[0], n->out[0], -1);
    lt_graph_kill(g, act);
}

int lt_pass_fuse(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    int *uses = lt_graph_uses(g);

    (void)c;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        if (n->dead || n->n_in != 1 || n->n_out != 1 || !matches(g, n, uses))
            continue;
        lt_id before = n->in[0];

        uses[before] = uses[n->out[0]];
        fuse(g, i, g->values[before].node);
    }
    lt_free(uses);
    return lt_graph_sort(g, err);
}
