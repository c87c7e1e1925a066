/* import_graph.c - the general form of a model: named inputs, parameters, and nodes of operators
 *
 * What differs between training and evaluation is put right here: batch_norm is written
 * (x, running_mean, running_var, [gamma, beta]) and gets the sample weights in training, the running statistics elsewhere;
 * dropout is written (x) and gets its random stream in training and vanishes elsewhere. A parameter that a node
 * updates (running statistics) is a buffer, not trained. Operators that update otherwise belong to optimisers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/import_in.h"
#include "engine/graph/op.h"

#define OPS_MAX 512
#define ATTRS_MAX 32

struct names {
    struct lt_import *im;
    struct lt_map *values; /* name → 2 + value; LT_NONE: of a broken node */
    struct lt_map *used;
};

static void name_set(struct names *s, const char *name, lt_id v)
{
    lt_map_set(s->values, name, (void *)(intptr_t)(v + 2));
}

/* LT_NONE when unknown, with *known telling whether the name was ever given. */
static lt_id name_get(const struct names *s, const char *name, bool *known)
{
    intptr_t v = (intptr_t)lt_map_get(s->values, name);

    *known = v != 0;
    return v ? (lt_id)(v - 2) : LT_NONE;
}

static const char *name_near(const struct names *s, const char *name)
{
    const char *names[OPS_MAX], *key;
    void *value;
    size_t n = 0;

    for (size_t i = 0; n < OPS_MAX && lt_map_next(s->values, &i, &key, &value);)
        names[n++] = key;
    return lt_suggest(name, names, n);
}

static struct lt_build at(struct names *s, const char *path, const char *name)
{
    enum lt_program_kind k = s->im->kind;

    return (struct lt_build){.import = s->im, .g = s->im->g, .plan = s->im->plan,
                             .training = k == LT_PROGRAM_MICRO || k == LT_PROGRAM_STEP,
                             .path = path, .name = name};
}

static bool name_free(struct names *s, struct lt_build *b, const char *name)
{
    bool known;

    if (!name || !*name) {
        lt_build_problem(b, NULL, "has no name");
        return false;
    }
    name_get(s, name, &known);
    if (known)
        lt_build_problem(b, "names are unique in a graph", "a second `%s`", name);
    return !known;
}

/* ---- inputs ---- */

static bool dim_parse(struct lt_import *im, const char *text, struct lt_dim *d)
{
    char sym[64];
    const char *le = strstr(text, "<=");
    int64_t bound = im->batch;
    int s;

    if (!lt_parse_i64(text, &d->k)) {
        d->sym = LT_SYM_NONE;
        return d->k > 0;
    }
    snprintf(sym, sizeof sym, "%.*s", (int)(le ? le - text : (long)strlen(text)), text);
    if (le && (lt_parse_i64(le + 2, &bound) < 0 || bound < 1))
        return false;
    if (!le && strcmp(sym, "n") != 0)
        return false; /* only the batch's bound is known from elsewhere */
    s = lt_graph_sym(im->g, sym, bound);
    *d = (struct lt_dim){1, s};
    return s >= 0 && *sym;
}

static void input_import(struct names *s, const Lt__V1__GraphInput *in, size_t i)
{
    char path[80];
    struct lt_build b = at(s, path, "");
    struct lt_type want = {.dtype = lt_dtype_find(in->dtype), .ndim = (int)in->n_shape};
    lt_id v;

    snprintf(path, sizeof path, "model.graph.inputs[%zu]", i);
    if (!name_free(s, &b, in->name))
        return;
    v = lt_import_model_input(s->im, i, in->name);
    name_set(s, in->name, v);
    if (want.dtype == LT_DTYPE_N)
        lt_build_problem(&b, "float32", "dtype: unknown type `%s`", in->dtype);
    if (in->n_shape > LT_DIMS_MAX) {
        lt_build_problem(&b, NULL, "shape: more than %d dimensions", LT_DIMS_MAX);
        return;
    }
    for (size_t d = 0; d < in->n_shape; d++)
        if (!dim_parse(s->im, in->shape[d], &want.dim[d])) {
            lt_build_problem(&b, "a number, `n`, or a bounded symbol such as `t<=1024`",
                             "shape: `%s` is no dimension", in->shape[d]);
            return;
        }
    if (v == LT_NONE || !in->n_shape || lt_shape_eq(&want, lt_build_type(&b, v)))
        return;
    lt_build_problem(&b, "shape must be [n, …] as the data give it", "shape: the data give %s",
                     lt_build_text(&b, v));
}

/* ---- parameters ---- */

static struct lt_init init_of(const Lt__V1__Initializer *i, const Lt__V1__GraphParameter *p)
{
    double fan_in = 1, bound;

    for (size_t d = 1; d < p->n_shape; d++)
        fan_in *= (double)p->shape[d];
    switch (i ? i->init_case : LT__V1__INITIALIZER__INIT__NOT_SET) {
    case LT__V1__INITIALIZER__INIT_CONSTANT:
        return (struct lt_init){LT_INIT_CONSTANT, i->constant->value, 0, NULL};
    case LT__V1__INITIALIZER__INIT_UNIFORM:
        return (struct lt_init){LT_INIT_UNIFORM, i->uniform->low, i->uniform->high, NULL};
    case LT__V1__INITIALIZER__INIT_NORMAL:
        return (struct lt_init){LT_INIT_NORMAL, i->normal->mean, i->normal->std, NULL};
    case LT__V1__INITIALIZER__INIT_KAIMING_UNIFORM:
        bound = sqrt(6 / ((1 + i->kaiming_uniform->a * i->kaiming_uniform->a) * fan_in));
        return (struct lt_init){LT_INIT_UNIFORM, -bound, bound, NULL};
    default: return (struct lt_init){LT_INIT_CONSTANT, 0, 0, NULL};
    }
}

/* Is it updated by a node of the model? */
static bool is_running(const Lt__V1__Graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = 1; k < 3 && k < g->nodes[i]->n_inputs; k++)
            if (lt_str_eq(g->nodes[i]->op, "batch_norm") && lt_str_eq(g->nodes[i]->inputs[k], name))
                return true;
    return false;
}

static void parameter_import(struct names *s, const Lt__V1__Graph *g,
                             const Lt__V1__GraphParameter *p, size_t i)
{
    char path[80];
    struct lt_build b = at(s, path, "");
    int64_t dim[LT_DIMS_MAX];
    struct lt_init init = init_of(p->init, p);
    lt_id v;

    snprintf(path, sizeof path, "model.graph.parameters[%zu]", i);
    if (!name_free(s, &b, p->name))
        return;
    name_set(s, p->name, LT_NONE);
    if (p->n_shape > LT_DIMS_MAX) {
        lt_build_problem(&b, NULL, "shape: more than %d dimensions", LT_DIMS_MAX);
        return;
    }
    for (size_t d = 0; d < p->n_shape; d++) {
        dim[d] = (int64_t)p->shape[d];
        if (dim[d] < 1) {
            lt_build_problem(&b, NULL, "shape: dimension %zu is %llu", d,
                             (unsigned long long)p->shape[d]);
            return;
        }
    }
    if (lt_graph_find(s->im->g, p->name) != LT_NONE) {
        lt_build_problem(&b, "call it differently", "`%s` is the name of an input", p->name);
        return;
    }
    if (is_running(g, p->name)) {
        v = lt_build_buffer(&b, p->name, LT_F32, dim, (int)p->n_shape, 0);
        if (v != LT_NONE)
            lt_graph_init(s->im->g, v, init);
    } else {
        v = lt_build_param(&b, p->name, dim, (int)p->n_shape, init);
    }
    name_set(s, p->name, v);
}

/* ---- nodes ---- */

static const struct lt_op *op_of(struct lt_build *b, const Lt__V1__GraphNode *n)
{
    const char *names[OPS_MAX], *near;
    const struct lt_op *op = n->op ? lt_op_find(n->op) : NULL;
    size_t count = 0;

    if (op && op->cls != LT_OP_UPDATE && strcmp(op->name, "reorder") != 0)
        return op;
    if (op) {
        lt_build_problem(b, NULL, "op: %s belongs to the trainer and can't be in a model", op->name);
        return NULL;
    }
    while (count < OPS_MAX && lt_ops[count]) {
        names[count] = lt_ops[count]->name;
        count++;
    }
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
    case LT__V1__ATTRIBUTE__VALUE_I: *out = lt_attr_int(name, a->i); break;
    case LT__V1__ATTRIBUTE__VALUE_F: *out = lt_attr_float(name, a->f); break;
    case LT__V1__ATTRIBUTE__VALUE_S: *out = lt_attr_str(name, a->s); break;
    case LT__V1__ATTRIBUTE__VALUE_INTS:
        *out = lt_attr_ints(name, a->ints->values, (int)LT_MIN(a->ints->n_values, (size_t)64));
        break;
    default: lt_build_problem(b, NULL, "attributes.%s has no value", name); return false;
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

static void parts_read(struct names *s, struct lt_build *b, const struct lt_op *op,
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
        lt_id v = name_get(s, n->inputs[i], &known);

        lt_map_set(s->used, n->inputs[i], (void *)1);
        if (!known)
            lt_build_problem(b, name_near(s, n->inputs[i]),
                             "inputs: nothing before it is called `%s`", n->inputs[i]);
        p->ok &= v != LT_NONE;
        p->in[p->n_in++] = v;
    }
    for (size_t i = 0; op && i < n->n_attributes; i++) {
        const Lt__V1__GraphNode__AttributesEntry *e = n->attributes[i];

        p->ok &= attr_of(b, op, e->key, e->value, &p->attrs[p->n_attrs]);
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

static void node_outputs(struct names *s, struct lt_build *b, const Lt__V1__GraphNode *n,
                         const lt_id *out, int n_out)
{
    if (!n->n_outputs) {
        if (name_free(s, b, n->name))
            name_set(s, n->name, n_out ? out[0] : LT_NONE);
        return;
    }
    for (size_t i = 0; i < n->n_outputs; i++) {
        if (name_free(s, b, n->outputs[i]))
            name_set(s, n->outputs[i], (int)i < n_out ? out[i] : LT_NONE);
    }
}

static void node_import(struct names *s, const Lt__V1__GraphNode *n, size_t i)
{
    char path[80];
    struct lt_build b = at(s, path, n->name && *n->name ? n->name : n->op ? n->op : "node");
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

/* ---- outputs, and what is left over ---- */

static void outputs_import(struct names *s, const Lt__V1__Graph *g)
{
    char path[80];
    struct lt_build b = at(s, path, "");
    const char *key;
    void *value;

    snprintf(path, sizeof path, "model.graph.outputs");
    if (!g->n_outputs)
        lt_build_problem(&b, "name the node that gives the result", "the graph has no outputs");
    for (size_t i = 0; i < g->n_outputs; i++) {
        bool known;
        lt_id v = name_get(s, g->outputs[i], &known);

        snprintf(path, sizeof path, "model.graph.outputs[%zu]", i);
        lt_map_set(s->used, g->outputs[i], (void *)1);
        if (!known)
            lt_build_problem(&b, name_near(s, g->outputs[i]), "nothing is called `%s`",
                             g->outputs[i]);
        if (v != LT_NONE)
            lt_import_result(s->im, g->outputs[i], v);
    }
    if (!s->im->n_results)
        return;
    for (size_t i = 0; lt_map_next(s->values, &i, &key, &value);)
        if ((intptr_t)value > 1)
            lt_import_result(s->im, key, (lt_id)((intptr_t)value - 2));
}

static void unused_report(struct names *s, const Lt__V1__Graph *g)
{
    char path[80];
    struct lt_build b = at(s, path, "");

    for (size_t i = 0; i < g->n_parameters; i++) {
        snprintf(path, sizeof path, "model.graph.parameters[%zu]", i);
        if (g->parameters[i]->name && !lt_map_get(s->used, g->parameters[i]->name))
            lt_build_problem(&b, "take it out", "`%s` is used by no node", g->parameters[i]->name);
    }
}

void lt_import_graph(struct lt_import *im)
{
    const Lt__V1__Graph *g = im->plan->model->graph;
    struct names s = {im, lt_map_new(NULL), lt_map_new(NULL)};

    if (g->n_nodes > LT_LAYERS_MAX) {
        lt_problem_add(im->problems, "model.graph.nodes", NULL, "more than %d nodes", LT_LAYERS_MAX);
    } else {
        for (size_t i = 0; i < g->n_inputs; i++)
            input_import(&s, g->inputs[i], i);
        for (size_t i = 0; i < g->n_parameters; i++)
            parameter_import(&s, g, g->parameters[i], i);
        for (size_t i = 0; i < g->n_nodes; i++)
            node_import(&s, g->nodes[i], i);
        outputs_import(&s, g);
        unused_report(&s, g);
    }
    lt_map_free(s.values);
    lt_map_free(s.used);
}
