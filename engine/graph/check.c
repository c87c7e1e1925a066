/* check.c - the rules of the representation, run between passes
 *
 * 1. Values and nodes point at each other; every operand is defined before it is used.
 * 2. A node has its operator's arity and attributes; its outputs have the types that it infers.
 * 3. Inputs and persistent values have unique names; persistent ones have no symbolic dimension.
 * 4. A persistent value's content is updated along one chain, and everybody who reads the old
 *    content runs before the node that replaces it.
 */
#include "engine/graph/graph.h"

#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/graph/op.h"

static int value_check(const struct lt_graph *g, lt_id id, struct lt_error *err)
{
    const struct lt_value *v = &g->values[id];

    if (v->type.ndim < 0 || v->type.ndim > LT_DIMS_MAX || v->type.dtype >= LT_DTYPE_N)
        return lt_error_set(err, -EINVAL, "%%%d has no valid type", id);
    for (int i = 0; i < v->type.ndim; i++) {
        struct lt_dim d = v->type.dim[i];

        if (d.k < 0 || d.sym < LT_SYM_NONE || d.sym >= g->n_syms)
            return lt_error_set(err, -EINVAL, "%%%d: dimension %d isn't valid", id, i);
        if (lt_value_persists(v->kind) && d.sym != LT_SYM_NONE)
            return lt_error_set(err, -EINVAL, "%%%d persists but has a symbolic dimension", id);
    }
    if (v->kind == LT_VALUE_CONST && v->type.ndim)
        return lt_error_set(err, -EINVAL, "%%%d: a constant has no dimensions", id);
    if (v->kind != LT_VALUE_NODE && v->node != -1)
        return lt_error_set(err, -EINVAL, "%%%d isn't computed but has a producer", id);
    if (v->kind != LT_VALUE_NODE && v->kind != LT_VALUE_CONST && !v->name)
        return lt_error_set(err, -EINVAL, "%%%d has no name", id);
    if (v->alias != LT_NONE &&
        (v->alias < 0 || v->alias >= g->n_values || !lt_value_persists(g->values[v->alias].kind) ||
         !lt_type_eq(&v->type, &g->values[v->alias].type)))
        return lt_error_set(err, -EINVAL, "%%%d isn't new content of a persistent value", id);
    return 0;
}

static int names_check(const struct lt_graph *g, struct lt_error *err)
{
    LT_AUTO(lt_map_free) struct lt_map *seen = lt_map_new(NULL);

    for (lt_id v = 0; v < g->n_values; v++) {
        const char *name = g->values[v].name;

        if (!name || g->values[v].kind == LT_VALUE_NODE)
            continue;
        if (lt_map_get(seen, name))
            return lt_error_set(err, -EINVAL, "two values are called `%s`", name);
        lt_map_set(seen, name, (void *)name);
    }
    return 0;
}

static bool attrs_match(const struct lt_node *n)
{
    int count = 0;

    while (n->op->attrs && n->op->attrs[count].name)
        count++;
    if (n->n_attrs != count)
        return false;
    for (int i = 0; i < count; i++)
        if (strcmp(n->attrs[i].name, n->op->attrs[i].name) != 0 ||
            n->attrs[i].kind != n->op->attrs[i].kind)
            return false;
    return true;
}

/* The state of a walk over the nodes in order. */
struct walk {
    bool *ready;    /* the value can be read: it is defined and its content hasn't been replaced */
    bool *replaced; /* it could once, but its content is newer now */
};

static int inputs_check(const struct lt_graph *g, const struct lt_node *n, const struct walk *w,
                        struct lt_error *err)
{
    if (n->n_in < n->op->min_in || n->n_in > LT_MIN(n->op->max_in, LT_NODE_IN_MAX))
        return lt_error_set(err, -EINVAL, "%d inputs", n->n_in);
    for (int i = 0; i < n->n_in; i++) {
        lt_id v = n->in[i];

        if (v < 0 || v >= g->n_values)
            return lt_error_set(err, -EINVAL, "input %d is no value", i);
        if (w->replaced[v])
            return lt_error_set(err, -EINVAL, "reads %%%d after it was updated", v);
        if (!w->ready[v])
            return lt_error_set(err, -EINVAL, "reads %%%d before it is computed", v);
    }
    return 0;
}

static int outputs_check(const struct lt_graph *g, int node, struct walk *w, struct lt_error *err)
{
    const struct lt_node *n = &g->nodes[node];

    if (n->n_out > n->op->n_out || n->n_out < 0)
        return lt_error_set(err, -EINVAL, "%d outputs", n->n_out);
    for (int o = 0; o < n->n_out; o++) {
        lt_id v = n->out[o];
        int updated = n->op->updates[o] - 1;

        if (v < 0 || v >= g->n_values || g->values[v].node != node || g->values[v].out != o ||
            g->values[v].kind != LT_VALUE_NODE)
            return lt_error_set(err, -EINVAL, "output %d isn't its own", o);
        if ((updated >= 0) != (g->values[v].alias != LT_NONE))
            return lt_error_set(err, -EINVAL, "output %d: alias and operator differ", o);
        w->ready[v] = true;
        if (updated < 0)
            continue;
        if (updated >= n->n_in)
            return lt_error_set(err, -EINVAL, "output %d updates an input that isn't there", o);
        if (g->values[v].alias != n->in[updated] &&
            g->values[v].alias != g->values[n->in[updated]].alias)
            return lt_error_set(err, -EINVAL, "output %d updates another value", o);
        w->replaced[n->in[updated]] = true;
    }
    return 0;
}

static int types_check(const struct lt_graph *g, const struct lt_node *n, struct lt_error *err)
{
    struct lt_type in[LT_NODE_IN_MAX], out[LT_NODE_OUT_MAX] = {{0}};
    char want[LT_TYPE_TEXT], have[LT_TYPE_TEXT];
    int rc;

    if (!attrs_match(n))
        return lt_error_set(err, -EINVAL, "attributes aren't the operator's");
    for (int i = 0; i < n->n_in; i++)
        in[i] = g->values[n->in[i]].type;
    rc = n->op->infer(g, n, in, out, err);
    if (rc < 0)
        return rc;
    for (int o = 0; o < n->n_out; o++) {
        if (lt_type_eq(&out[o], &g->values[n->out[o]].type))
            continue;
        lt_type_print(want, sizeof want, &out[o]);
        lt_type_print(have, sizeof have, &g->values[n->out[o]].type);
        return lt_error_set(err, -EINVAL, "output %d is %s where the operator gives %s", o, have,
                            want);
    }
    return 0;
}

static int nodes_check(const struct lt_graph *g, struct walk *w, struct lt_error *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];
        int rc;

        if (n->dead)
            continue;
        if (!n->op || !n->name)
            return lt_error_set(err, -EINVAL, "node %d has no operator or no name", i);
        rc = inputs_check(g, n, w, err);
        if (!rc)
            rc = outputs_check(g, i, w, err);
        if (!rc)
            rc = types_check(g, n, err);
        if (rc < 0) {
            lt_error_prefix(err, "node %d, %s (%s)", i, n->name, n->op->name);
            return rc;
        }
    }
    return 0;
}

static int uses_check(const struct lt_graph *g, const struct walk *w, struct lt_error *err)
{
    for (int i = 0; i < g->n_outputs; i++) {
        lt_id v = g->outputs[i].value;

        if (v < 0 || v >= g->n_values || !w->ready[v])
            return lt_error_set(err, -EINVAL, "output %s is never computed", g->outputs[i].name);
        if (w->replaced[v])
            return lt_error_set(err, -EINVAL, "output %s is overwritten by an update",
                                g->outputs[i].name);
    }
    for (int i = 0; i < g->n_grads; i++)
        if (!w->ready[g->grads[i].grad] || g->values[g->grads[i].param].kind != LT_VALUE_PARAM)
            return lt_error_set(err, -EINVAL, "gradient %d is never computed", i);
    if (g->loss != LT_NONE && !w->ready[g->loss])
        return lt_error_set(err, -EINVAL, "the loss is never computed");
    return 0;
}

int lt_graph_check(const struct lt_graph *g, struct lt_error *err)
{
    struct walk w = {lt_calloc((size_t)g->n_values + 1, sizeof(bool)),
                     lt_calloc((size_t)g->n_values + 1, sizeof(bool))};
    int rc = names_check(g, err);

    for (lt_id v = 0; !rc && v < g->n_values; v++) {
        rc = value_check(g, v, err);
        w.ready[v] = g->values[v].kind != LT_VALUE_NODE;
    }
    if (!rc)
        rc = nodes_check(g, &w, err);
    if (!rc)
        rc = uses_check(g, &w, err);
    lt_free(w.ready);
    lt_free(w.replaced);
    if (rc < 0)
        lt_error_prefix(err, "graph %s", g->name);
    return rc;
}
