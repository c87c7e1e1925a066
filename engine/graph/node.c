/* node.c - adding a node, and reading its attributes
 *
 * What a node may be is decided here, from the operator's table: arity, attributes and their
 * defaults, output types.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/graph_in.h"
#include "engine/graph/op.h"

#define ATTRS_MAX 24

static int spec_find(const struct lt_op *op, const char *name)
{
    for (int i = 0; op->attrs && op->attrs[i].name; i++)
        if (!strcmp(op->attrs[i].name, name))
            return i;
    return -1;
}

static struct lt_attr attr_default(struct lt_graph *g, const struct lt_attr_spec *s)
{
    struct lt_attr a = {.name = s->name, .kind = s->kind, .i = (int64_t)s->def, .f = s->def};

    if (s->kind == LT_ATTR_STR)
        a.s = s->def_str ? s->def_str : "";
    if (s->kind == LT_ATTR_INTS) {
        int64_t *ints = lt_graph_alloc(g, LT_DIMS_MAX * sizeof *ints);
        const char *p = s->def_str;

        for (a.i = 0; p && *p && a.i < LT_DIMS_MAX; a.i++) {
            char *end;

            ints[a.i] = strtoll(p, &end, 10);
            p = *end == ',' ? end + 1 : end;
        }
        a.ints = ints;
    }
    return a;
}

/* Of the given attribute under the operator's rule for it: integers are fine where a float is
 * wanted. */
static int attr_take(struct lt_graph *g, const struct lt_op *op, const struct lt_attr *given,
                     struct lt_attr *out, struct lt_error *err)
{
    static const char *const kinds[] = {"an integer", "a number", "a string", "a list of integers"};
    int i = spec_find(op, given->name);

    if (i < 0)
        return lt_error_set(err, -EINVAL, "no attribute `%s`", given->name);
    if (op->attrs[i].kind == LT_ATTR_FLOAT && given->kind == LT_ATTR_INT) {
        *out = (struct lt_attr){op->attrs[i].name, LT_ATTR_FLOAT, .f = (double)given->i};
        return 0;
    }
    if (op->attrs[i].kind != given->kind)
        return lt_error_set(err, -EINVAL, "attribute `%s` is %s, not %s", given->name,
                            kinds[op->attrs[i].kind], kinds[given->kind]);
    *out = lt_graph_attr_copy(g, given);
    out->name = op->attrs[i].name;
    return 0;
}

/* All attributes of the operator, in its table's order. */
static int attrs_fill(struct lt_graph *g, const struct lt_op *op, const struct lt_attr *attrs,
                      int n_attrs, struct lt_node *n, struct lt_error *err)
{
    bool given[ATTRS_MAX] = {false};
    int count = 0, rc;

    while (op->attrs && op->attrs[count].name)
        count++;
    assert(count <= ATTRS_MAX);
    n->n_attrs = count;
    n->attrs = lt_graph_alloc(g, (size_t)(count + 1) * sizeof *n->attrs);
    for (int i = 0; i < n_attrs; i++) {
        int at = spec_find(op, attrs[i].name);
        struct lt_attr a;

        rc = attr_take(g, op, &attrs[i], &a, err);
        if (rc < 0)
            return rc;
        if (given[at])
            return lt_error_set(err, -EINVAL, "attribute `%s` is given twice", attrs[i].name);
        given[at] = true;
        n->attrs[at] = a;
    }
    for (int i = 0; i < count; i++) {
        if (given[i])
            continue;
        if (op->attrs[i].required)
            return lt_error_set(err, -EINVAL, "attribute `%s` is missing", op->attrs[i].name);
        n->attrs[i] = attr_default(g, &op->attrs[i]);
    }
    return 0;
}

static int inputs_fill(struct lt_graph *g, const struct lt_op *op, const lt_id *in, int n_in,
                       struct lt_node *n, struct lt_error *err)
{
    if (n_in < op->min_in || n_in > LT_MIN(op->max_in, LT_NODE_IN_MAX)) {
        if (op->min_in == op->max_in)
            return lt_error_set(err, -EINVAL, "takes %d inputs, got %d", op->min_in, n_in);
        return lt_error_set(err, -EINVAL, "takes %d to %d inputs, got %d", op->min_in,
                            LT_MIN(op->max_in, LT_NODE_IN_MAX), n_in);
    }
    for (int i = 0; i < n_in; i++)
        if (in[i] < 0 || in[i] >= g->n_values)
            return lt_error_set(err, -EINVAL, "input %d is no value", i);
    n->n_in = n_in;
    n->in = lt_graph_alloc(g, (size_t)(n_in + 1) * sizeof *n->in);
    if (n_in)
        memcpy(n->in, in, (size_t)n_in * sizeof *n->in);
    return 0;
}

/* Trailing outputs that update an input which isn't there don't exist. */
static int outputs_count(const struct lt_op *op, int n_in)
{
    int n = op->n_out;

    while (n > 0 && op->updates[n - 1] > n_in)
        n--;
    return n;
}

static lt_id root_of(const struct lt_graph *g, lt_id v)
{
    return g->values[v].alias != LT_NONE ? g->values[v].alias : v;
}

static int outputs_add(struct lt_graph *g, struct lt_node *n, int node, const struct lt_type *types,
                       struct lt_error *err)
{
    for (int o = 0; o < n->n_out; o++) {
        int updated = n->op->updates[o] - 1;
        lt_id root = updated < 0 ? LT_NONE : root_of(g, n->in[updated]);

        if (root != LT_NONE && !lt_value_persists(g->values[root].kind))
            return lt_error_set(err, -EINVAL, "input %d is updated but doesn't persist", updated);
        if (root != LT_NONE && !lt_type_eq(&types[o], &g->values[root].type))
            return lt_error_set(err, -EINVAL, "input %d is updated with another type", updated);
        n->out[o] = lt_graph_value_add(g, LT_VALUE_NODE, &types[o]);
        g->values[n->out[o]].node = node;
        g->values[n->out[o]].out = o;
        g->values[n->out[o]].alias = root;
    }
    return 0;
}

/* Behind an operator's refusal that names no shapes itself. */
static void types_append(struct lt_error *err, const struct lt_type *types, int n)
{
    if (!err || strchr(err->text, '['))
        return;
    for (int i = 0; i < n && i < 8; i++) {
        char text[LT_TYPE_TEXT];
        size_t len = strlen(err->text);

        lt_type_print(text, sizeof text, &types[i]);
        snprintf(err->text + len, sizeof err->text - len, "%s%s", i ? ", " : "; inputs: ", text);
    }
}

static int node_make(struct lt_graph *g, struct lt_node *n, const lt_id *in, int n_in,
                     const struct lt_attr *attrs, int n_attrs, struct lt_error *err)
{
    struct lt_type in_types[LT_NODE_IN_MAX], out_types[LT_NODE_OUT_MAX] = {{0}};
    int rc = inputs_fill(g, n->op, in, n_in, n, err);

    if (!rc)
        rc = attrs_fill(g, n->op, attrs, n_attrs, n, err);
    if (rc < 0)
        return rc;
    n->n_out = outputs_count(n->op, n_in);
    n->out = lt_graph_alloc(g, (size_t)(n->n_out + 1) * sizeof *n->out);
    for (int i = 0; i < n_in; i++)
        in_types[i] = g->values[in[i]].type;
    rc = n->op->infer(g, n, in_types, out_types, err);
    if (rc < 0)
        types_append(err, in_types, n_in);
    return rc < 0 ? rc : outputs_add(g, n, g->n_nodes, out_types, err);
}

int lt_graph_add(struct lt_graph *g, const struct lt_op *op, const char *name, const lt_id *in,
                 int n_in, const struct lt_attr *attrs, int n_attrs, struct lt_error *err)
{
    struct lt_node n = {.op = op, .name = lt_graph_strdup(g, name ? name : op->name)};
    int values = g->n_values;
    int rc = node_make(g, &n, in, n_in, attrs, n_attrs, err);

    if (rc < 0) {
        g->n_values = values; /* a node that failed leaves nothing behind */
        if (err && lt_str_starts(err->text, op->name)) /* the operator named itself */
            return lt_error_prefix(err, "%s", n.name);
        lt_error_prefix(err, "%s (%s)", n.name, op->name);
        return rc;
    }
    LT_GROW(g->nodes, g->n_nodes, g->cap_nodes);
    g->nodes[g->n_nodes] = n;
    return g->n_nodes++;
}

/* ---- attributes ---- */

static const struct lt_attr *attr_get(const struct lt_node *n, const char *name,
                                      enum lt_attr_kind kind)
{
    for (int i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].name == name || !strcmp(n->attrs[i].name, name)) {
            assert(n->attrs[i].kind == kind);
            return &n->attrs[i];
        }
    assert(!"an attribute that the operator's table doesn't have");
    abort();
}

int64_t lt_node_int(const struct lt_node *n, const char *attr)
{
    return attr_get(n, attr, LT_ATTR_INT)->i;
}

double lt_node_float(const struct lt_node *n, const char *attr)
{
    return attr_get(n, attr, LT_ATTR_FLOAT)->f;
}

const char *lt_node_str(const struct lt_node *n, const char *attr)
{
    return attr_get(n, attr, LT_ATTR_STR)->s;
}

const int64_t *lt_node_ints(const struct lt_node *n, const char *attr, int *count)
{
    const struct lt_attr *a = attr_get(n, attr, LT_ATTR_INTS);

    if (count)
        *count = (int)a->i;
    return a->ints;
}
