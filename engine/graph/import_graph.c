/* import_graph.c - the general form of a model: named inputs, parameters, and nodes of operators
 *
 * A parameter that a node updates (running statistics) is a buffer, not trained. Nodes are in
 * import_node.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/names.h"

#define NAMES_MAX 512

/* ---- names ---- */

void lt_names_set(struct lt_names *s, const char *name, lt_id v)
{
    lt_map_set(s->values, name, (void *)(intptr_t)(v + 2));
}

lt_id lt_names_get(const struct lt_names *s, const char *name, bool *known)
{
    intptr_t v = (intptr_t)lt_map_get(s->values, name);

    *known = v != 0;
    return v ? (lt_id)(v - 2) : LT_NONE;
}

const char *lt_names_near(const struct lt_names *s, const char *name)
{
    const char *names[NAMES_MAX], *key;
    void *value;
    size_t n = 0;

    for (size_t i = 0; n < NAMES_MAX && lt_map_next(s->values, &i, &key, &value);)
        names[n++] = key;
    return lt_suggest(name, names, n);
}

struct lt_build lt_names_build(struct lt_names *s, const char *path, const char *name)
{
    enum lt_program_kind k = s->im->kind;

    return (struct lt_build){.import = s->im,
                             .g = s->im->g,
                             .plan = s->im->plan,
                             .training = k == LT_PROGRAM_MICRO || k == LT_PROGRAM_STEP,
                             .path = path,
                             .name = name};
}

bool lt_names_free(struct lt_names *s, struct lt_build *b, const char *name)
{
    bool known;

    if (!name || !*name) {
        lt_build_problem(b, NULL, "has no name");
        return false;
    }
    if (strlen(name) > LT_NAME_TEXT) {
        lt_build_problem(b, NULL, "a name of more than %d bytes", LT_NAME_TEXT);
        return false;
    }
    lt_names_get(s, name, &known);
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

static void input_import(struct lt_names *s, const Lt__V1__GraphInput *in, size_t i)
{
    char path[80] = "";
    struct lt_build b = lt_names_build(s, path, "");
    struct lt_type want = {.dtype = lt_dtype_find(in->dtype), .ndim = (int)in->n_shape};
    lt_id v;

    snprintf(path, sizeof path, "model.graph.inputs[%zu]", i);
    if (!lt_names_free(s, &b, in->name))
        return;
    v = lt_import_model_input(s->im, i, in->name);
    lt_names_set(s, in->name, v);
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
    default:
        return (struct lt_init){LT_INIT_CONSTANT, 0, 0, NULL};
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

static void parameter_import(struct lt_names *s, const Lt__V1__Graph *g,
                             const Lt__V1__GraphParameter *p, size_t i)
{
    char path[80] = "";
    struct lt_build b = lt_names_build(s, path, "");
    int64_t dim[LT_DIMS_MAX];
    struct lt_init init = init_of(p->init, p);
    lt_id v;

    snprintf(path, sizeof path, "model.graph.parameters[%zu]", i);
    if (!lt_names_free(s, &b, p->name))
        return;
    lt_names_set(s, p->name, LT_NONE);
    if (lt_import_name_taken(p->name)) {
        lt_build_problem(&b, "call it differently", "`%s` %s", p->name,
                         lt_import_name_taken(p->name));
        return;
    }
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
    lt_names_set(s, p->name, v);
}

/* ---- outputs, and what is left over ---- */

static void outputs_import(struct lt_names *s, const Lt__V1__Graph *g)
{
    char path[80] = "";
    struct lt_build b = lt_names_build(s, path, "");
    const char *key;
    void *value;

    snprintf(path, sizeof path, "model.graph.outputs");
    if (!g->n_outputs)
        lt_build_problem(&b, "name the node that gives the result", "the graph has no outputs");
    for (size_t i = 0; i < g->n_outputs; i++) {
        bool known;
        lt_id v = lt_names_get(s, g->outputs[i], &known);

        snprintf(path, sizeof path, "model.graph.outputs[%zu]", i);
        lt_map_set(s->used, g->outputs[i], (void *)1);
        if (!known)
            lt_build_problem(&b, lt_names_near(s, g->outputs[i]), "nothing is called `%s`",
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

static void unused_report(struct lt_names *s, const Lt__V1__Graph *g)
{
    char path[80] = "";
    struct lt_build b = lt_names_build(s, path, "");

    for (size_t i = 0; i < g->n_parameters; i++) {
        snprintf(path, sizeof path, "model.graph.parameters[%zu]", i);
        if (g->parameters[i]->name && !lt_map_get(s->used, g->parameters[i]->name))
            lt_build_problem(&b, "take it out", "`%s` is used by no node", g->parameters[i]->name);
    }
}

void lt_import_graph(struct lt_import *im)
{
    const Lt__V1__Graph *g = im->plan->model->graph;
    struct lt_names s = {im, lt_map_new(NULL), lt_map_new(NULL)};

    if (g->n_nodes > LT_LAYERS_MAX) {
        lt_problem_add(im->problems, "model.graph.nodes", NULL, "more than %d nodes",
                       LT_LAYERS_MAX);
    } else {
        for (size_t i = 0; i < g->n_inputs; i++)
            input_import(&s, g->inputs[i], i);
        for (size_t i = 0; i < g->n_parameters; i++)
            parameter_import(&s, g, g->parameters[i], i);
        for (size_t i = 0; i < g->n_nodes; i++)
            lt_names_node(&s, g->nodes[i], i);
        outputs_import(&s, g);
        unused_report(&s, g);
    }
    lt_map_free(s.values);
    lt_map_free(s.used);
}
