/* import_node.c - a node of a model in its general form: operator, operands, attributes
 *
 * What differs between training and evaluation is put right here: batch_norm is written
 * (x, running_mean, running_var, [gamma, beta]) and gets the sample weights in training, the
 * running statistics elsewhere; dropout is written (x) and gets its random stream in training and
 * vanishes elsewhere. Operators that update otherwise belong to optimisers.
 */
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/names.h"
#include "engine/graph/op.h"

#define OPS_MAX 512
#define ATTRS_MAX 32

static const struct lt_op *op_of(struct lt_build *b, const Lt__V1__GraphNode *n)
{
    const char *names[OPS_MAX], *near;
    const struct lt_op *op = n->op ? lt_op_find(n->op) : NULL;
    size_t count = 0;

    if (op && op->cls != LT_OP_UPDATE && !op->internal)
        return op;
    if (op) {
        lt_build_problem(b, NULL, "op: %s belongs to the trainer and can't be in a model",
                         op->name);
        return NULL;
    }
    for (int i = 0; count < OPS_MAX && lt_ops[i]; i++)
        if (lt_ops[i]->cls != LT_OP_UPDATE && !lt_ops[i]->internal)
            names[count++] = lt_ops[i]->name;
    near = n->op ? lt_suggest(n->op, names, count) : NULL;
    lt_build_problem(b, near ? near : "docs/operators.md lists them", "op: unknown operator `%s`",
                     n->op ? n->op : "");
    return NULL;
}

/* Shape rules multiply what they are given. */
static bool attr_sane(struct lt_build *b, const char *name, const struct lt_attr *a)
{
    bool ok = a->kind != LT_ATTR_INTS || a->i <= LT_DIMS_MAX;

    for (int64_t i = 0; ok && a->kind == LT_ATTR_INTS && i < a->i; i++)
        ok = a->ints[i] >= -1 && a->ints[i] <= INT32_MAX;
    if (!ok)
        lt_build_problem(b, NULL, "attributes.%s: at most %d numbers from -1 to 2147483647", name,
                         LT_DIMS_MAX);
    return ok;
}

static bool attr_of(struct lt_build *b, const struct lt_op *op, const char *name,
                    const Lt__V1__Attribute *a, struct lt_attr *out)
{
    const char *names[ATTRS_MAX], *near;
    size_t count = 0;

    while (op->attrs && count < ATTRS_MAX && op->attrs[count].name) {
        names[count] = op->attrs[count].name;
        count++;
    }
    *out = (struct lt_attr){.name = name};
    switch (a ? a->value_case : LT__V1__ATTRIBUTE__VALUE__NOT_SET) {
    case LT__V1__ATTRIBUTE__VALUE_I:
        *out = lt_attr_int(name, a->i);
        break;
    case LT__V1__ATTRIBUTE__VALUE_F:
        *out = lt_attr_float(name, a->f);
        break;
    case LT__V1__ATTRIBUTE__VALUE_S:
        *out = lt_attr_str(name, a->s);
        break;
    case LT__V1__ATTRIBUTE__VALUE_INTS:
        *out = lt_attr_ints(name, a->ints->values, (int)LT_MIN(a->ints->n_values, (size_t)64));
        break;
    default:
        lt_build_problem(b, NULL, "attributes.%s has no value", name);
        return false;
    }
    if (!attr_sane(b, name, out))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    near = lt_suggest(name, names, count);
    lt_build_problem(b, near, "attributes.%s: %s has no such attribute", name, op->name);
    return false;
}

struct node_parts {
    lt_id in[LT_NODE_IN_MAX];
    struct lt_attr attrs[ATTRS_MAX];
    int n_in, n_attrs;
    bool ok;
};

static void parts_read(struct lt_names *s, struct lt_build *b, const struct lt_op *op,
                       const Lt__V1__GraphNode *n, struct node_parts *p)
{
    *p = (struct node_parts){.ok = op != NULL};
    if (n->n_inputs > LT_NODE_IN_MAX - 2 || n->n_attributes > ATTRS_MAX - 2) {
        lt_build_problem(b, NULL, "has too many inputs or attributes");
        p->ok = false;
        return;
    }
    for (size_t i = 0; i < n->n_inputs; i++) {
        bool known;
        lt_id v = lt_names_get(s, n->inputs[i], &known);

        lt_map_set(s->used, n->inputs[i], (void *)1);
        if (!known)
            lt_build_problem(b, lt_names_near(s, n->inputs[i]),
                             "inputs: nothing before it is called `%s`", n->inputs[i]);
        p->ok &= v != LT_NONE;
        p->in[p->n_in++] = v;
    }
    for (size_t i = 0; op && i < n->n_attributes; i++) {
        const Lt__V1__GraphNode__AttributesEntry *e = n->attributes[i];

        p->ok &= attr_of(b, op, e->key ? e->key : "", e->value, &p->attrs[p->n_attrs]);
        p->n_attrs++;
    }
}

static void attr_drop(struct node_parts *p, const char *name)
{
    for (int i = 0; i < p->n_attrs; i++)
        if (!strcmp(p->attrs[i].name, name)) {
            p->attrs[i] = p->attrs[--p->n_attrs];
            return;
        }
}

/* Batch norm and dropout, by program. The operator to use; NULL: the node is its first input. */
static const struct lt_op *by_program(struct lt_build *b, const struct lt_op *op,
                                      struct node_parts *p)
{
    if (!strcmp(op->name, "batch_norm") && (p->n_in == 3 || p->n_in == 5)) {
        if (!b->training) {
            attr_drop(p, "momentum");
            return lt_op_find("batch_norm_eval");
        }
        memmove(&p->in[4], &p->in[3], 2 * sizeof p->in[0]);
        p->in[3] = lt_build_input(b, "weight");
        p->n_in++;
    }
    if (!strcmp(op->name, "dropout") && p->n_in == 1) {
        if (!b->training)
            return NULL;
        p->in[p->n_in++] = lt_build_input(b, "rng_step");
        p->in[p->n_in++] = lt_build_input(b, "sample_index");
        attr_drop(p, "seed");
        p->attrs[p->n_attrs++] = lt_attr_int("seed", (int64_t)b->plan->seed);
    }
    return op;
}

static void node_outputs(struct lt_names *s, struct lt_build *b, const Lt__V1__GraphNode *n,
                         const lt_id *out, int n_out)
{
    if (!n->n_outputs) {
        if (lt_names_free(s, b, n->name))
            lt_names_set(s, n->name, n_out ? out[0] : LT_NONE);
        return;
    }
    for (size_t i = 0; i < n->n_outputs; i++) {
        if (lt_names_free(s, b, n->outputs[i]))
            lt_names_set(s, n->outputs[i], (int)i < n_out ? out[i] : LT_NONE);
    }
}

void lt_names_node(struct lt_names *s, const Lt__V1__GraphNode *n, size_t i)
{
    char path[80] = "";
    struct lt_build b = lt_names_build(s, path,
                                       n->name && *n->name ? n->name
                                       : n->op             ? n->op
                                                           : "node");
    struct lt_error err = {0};
    struct node_parts p;
    const struct lt_op *op;
    int node;

    snprintf(path, sizeof path, "model.graph.nodes[%zu]", i);
    op = op_of(&b, n);
    parts_read(s, &b, op, n, &p);
    if (!p.ok) {
        node_outputs(s, &b, n, NULL, 0);
        return;
    }
    op = by_program(&b, op, &p);
    if (!op) {
        node_outputs(s, &b, n, p.in, 1);
        return;
    }
    node = lt_graph_add(s->im->g, op, b.name, p.in, p.n_in, p.attrs, p.n_attrs, &err);
    if (node < 0)
        lt_build_problem(&b, NULL, "%s", err.text);
    else if ((int)n->n_outputs > s->im->g->nodes[node].n_out)
        lt_build_problem(&b, NULL, "outputs: it has only %d", s->im->g->nodes[node].n_out);
    if (node < 0 || !lt_import_fits(&b, &s->im->g->values[s->im->g->nodes[node].out[0]].type)) {
        node_outputs(s, &b, n, NULL, 0);
        return;
    }
    node_outputs(s, &b, n, s->im->g->nodes[node].out, s->im->g->nodes[node].n_out);
    lt_import_row(s->im, b.name, op->name, path, s->im->g->nodes[node].out[0], 0);
}
