/* import.c - from plan to forward graph: the model, then loss and metrics
 *
 * The first problem doesn't end the search: a layer whose input is unknown still has its own
 * settings checked, and loss and metrics their names.
 */
#include "engine/graph/import.h"

#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/import_in.h"
#include "engine/graph/layers_list.h"
#include "engine/graph/losses_list.h"
#include "engine/graph/metrics_list.h"

#define X(name) extern const struct lt_layer lt_layer_##name;
LT_LAYERS
#undef X
#define X(name) &lt_layer_##name,
const struct lt_layer *const lt_layers[] = {LT_LAYERS NULL};
#undef X

#define X(name) extern const struct lt_loss lt_loss_##name;
LT_LOSSES
#undef X
#define X(name) &lt_loss_##name,
const struct lt_loss *const lt_losses[] = {LT_LOSSES NULL};
#undef X

#define X(name) extern const struct lt_metric lt_metric_##name;
LT_METRICS
#undef X
#define X(name) &lt_metric_##name,
const struct lt_metric *const lt_metrics[] = {LT_METRICS NULL};
#undef X

const char *const lt_program_names[LT_PROGRAM_N] = {"micro", "step", "eval", "predict"};

static bool trains(const struct lt_import *im)
{
    return im->kind == LT_PROGRAM_MICRO || im->kind == LT_PROGRAM_STEP;
}

static struct lt_build build_at(struct lt_import *im, const char *path, const char *name)
{
    return (struct lt_build){.import = im,
                             .g = im->g,
                             .plan = im->plan,
                             .training = trains(im),
                             .path = path,
                             .name = name};
}

/* ---- shared with build.c and import_graph.c ---- */

void lt_import_result(struct lt_import *im, const char *name, lt_id v)
{
    LT_GROW(im->results, im->n_results, im->cap_results);
    im->results[im->n_results++] = (struct lt_result){name, v};
}

void lt_import_row(struct lt_import *im, const char *name, const char *kind, const char *path,
                   lt_id out, int64_t parameters)
{
    struct lt_layer_rows *r = im->rows;

    if (!r)
        return;
    LT_GROW(r->items, r->len, r->cap);
    r->items[r->len++] = (struct lt_layer_row){.name = lt_arena_strdup(im->g->arena, name),
                                               .kind = kind,
                                               .path = lt_arena_strdup(im->g->arena, path),
                                               .out = im->g->values[out].type,
                                               .parameters = parameters};
}

void lt_layer_rows_done(struct lt_layer_rows *r)
{
    lt_free(r->items);
    *r = (struct lt_layer_rows){0};
}

bool lt_import_trained(const struct lt_import *im, const char *param)
{
    const Lt__V1__Model *m = im->plan->model;

    for (size_t i = 0; i < m->n_freeze; i++)
        if (lt_glob(m->freeze[i], param))
            return false;
    return true;
}

/* The field of model input i: model.inputs says, or its own name, or the source's first field. */
static const struct lt_field *input_field(struct lt_build *b, size_t i, const char *name)
{
    const Lt__V1__Model *m = b->plan->model;

    if (i < m->n_inputs)
        return lt_build_field(b, m->inputs[i]);
    if (name && lt_build_field(b, name))
        return lt_build_field(b, name);
    return i == 0 && b->import->n_fields ? &b->import->fields[0] : NULL;
}

lt_id lt_import_model_input(struct lt_import *im, size_t i, const char *name)
{
    struct lt_build b = build_at(im, "model.inputs", "input");
    const struct lt_field *f = input_field(&b, i, name);
    struct lt_attr attr = lt_attr_str("dtype", "float32");
    lt_id v;

    if (!f) {
        const char *wanted = i < im->plan->model->n_inputs ? im->plan->model->inputs[i] : name;

        return lt_build_problem(&b, im->n_fields ? im->fields[0].name : NULL,
                                "the data have no field `%s`", wanted ? wanted : "");
    }
    v = lt_build_input(&b, f->name);
    if (v == LT_NONE)
        return lt_build_problem(&b, NULL, "field `%s` has too many dimensions", f->name);
    if (!lt_import_fits(&b, &im->g->values[v].type))
        return LT_NONE;
    return lt_dtype_is_float(f->dtype) ? v : lt_build_node(&b, "cast", &v, 1, &attr, 1);
}

/* ---- layers ---- */

static const struct lt_layer *layer_find(Lt__V1__Layer__LayerCase kind)
{
    for (int i = 0; lt_layers[i]; i++)
        if (lt_layers[i]->kind == kind)
            return lt_layers[i];
    return NULL;
}

static bool is_container(Lt__V1__Layer__LayerCase kind)
{
    return kind == LT__V1__LAYER__LAYER_SEQUENTIAL || kind == LT__V1__LAYER__LAYER_RESIDUAL ||
           kind == LT__V1__LAYER__LAYER_REPEAT;
}

static lt_id layer_build(struct lt_build *outer, const Lt__V1__Layer *l, size_t i, lt_id x)
{
    const struct lt_layer *layer = layer_find(l->layer_case);
    char path[1200], name[560];
    struct lt_build b = *outer;
    lt_id y;

    snprintf(path, sizeof path, "%s.layers[%zu]%s%s", outer->path, i, layer ? "." : "",
             layer ? layer->name : "");
    snprintf(name, sizeof name, "%s%s%zu", outer->name, *outer->name ? "." : "", i);
    b.path = path;
    b.name = name;
    b.parameters = 0;
    if (!layer)
        return lt_build_problem(&b, "name a kind of layer, such as `relu`", "no such layer");
    if (++b.import->n_layers > LT_LAYERS_MAX) {
        if (b.import->n_layers == LT_LAYERS_MAX + 1)
            lt_build_problem(&b, NULL, "more than %d layers", LT_LAYERS_MAX);
        return LT_NONE;
    }
    y = layer->build(&b, l, x);
    if (y != LT_NONE && !is_container(l->layer_case))
        lt_import_row(b.import, name, layer->name, path, y, b.parameters);
    outer->parameters += b.parameters;
    return y;
}

lt_id lt_build_layers(struct lt_build *b, Lt__V1__Layer *const *layers, size_t n, lt_id x)
{
    if (!n)
        return lt_build_problem(b, "layers: [linear: {out_features: 10}]", "has no layers");
    for (size_t i = 0; i < n && b->import->n_layers <= LT_LAYERS_MAX; i++)
        x = layer_build(b, layers[i], i, x);
    return x;
}

void lt_import_layers(struct lt_import *im)
{
    const Lt__V1__Model *m = im->plan->model;
    struct lt_build b = build_at(im, "model", "");
    lt_id x = lt_import_model_input(im, 0, NULL);

    if (m->n_inputs > 1)
        lt_build_problem(&b, "use the graph form for models of several inputs",
                         "inputs: %zu fields, but layers take one", m->n_inputs);
    x = lt_build_layers(&b, m->layers, m->n_layers, x);
    if (x != LT_NONE)
        lt_import_result(im, "output", x);
}

static void import_model(struct lt_import *im)
{
    const Lt__V1__Model *m = im->plan->model;
    struct lt_build b = build_at(im, "model", "");

    if (m->onnx)
        lt_build_problem(&b, "use layers or graph",
                         "onnx: models in ONNX aren't read by this release");
    else if (m->graph && m->n_layers)
        lt_build_problem(&b, "give one of them", "has both layers and graph");
    else if (m->graph)
        lt_import_graph(im);
    else
        lt_import_layers(im);
}

/* ---- loss and metrics ---- */

static void sums_out(struct lt_import *im, const char *name, const struct lt_sums *s)
{
    char text[300];

    snprintf(text, sizeof text, "%s.sum", name);
    lt_graph_output(im->g, text, s->sum);
    snprintf(text, sizeof text, "%s.weight", name);
    lt_graph_output(im->g, text, s->weight);
}

static void import_loss(struct lt_import *im)
{
    const Lt__V1__Loss *l = im->plan->step ? im->plan->step->loss : NULL;
    struct lt_build b = build_at(im, "step.loss", "loss");
    struct lt_sums sums;
    char path[200];

    for (int i = 0; l && lt_losses[i]; i++) {
        if (lt_losses[i]->kind != l->loss_case)
            continue;
        snprintf(path, sizeof path, "step.loss.%s", lt_losses[i]->name);
        b.path = path;
        if (lt_losses[i]->build(&b, l, &sums) < 0)
            return;
        sums_out(im, "loss", &sums);
        im->g->loss = trains(im) ? sums.sum : LT_NONE;
        return;
    }
    lt_build_problem(&b, "loss: cross_entropy", "the plan has no loss");
}

/* Reported: outputs are found by name. */
static bool label_taken(struct lt_import *im, struct lt_build *b)
{
    char text[LT_NAME_TEXT + 8];
    bool taken =
        strlen(b->name) > LT_NAME_TEXT || !strcmp(b->name, "loss") || !strcmp(b->name, "window");

    snprintf(text, sizeof text, "%s.sum", b->name);
    for (int i = 0; !taken && i < im->g->n_outputs; i++)
        taken = lt_str_eq(im->g->outputs[i].name, text);
    if (taken)
        lt_build_problem(b, "name: another", "name: `%.40s` is too long or taken", b->name);
    return taken;
}

static void import_metric(struct lt_import *im, const Lt__V1__Metric *m, size_t at)
{
    char path[200];
    struct lt_build b = build_at(im, path, NULL);
    struct lt_sums sums;

    snprintf(path, sizeof path, "step.metrics[%zu]", at);
    for (int i = 0; lt_metrics[i]; i++) {
        if (lt_metrics[i]->kind != m->metric_case)
            continue;
        b.name = lt_metrics[i]->label(m);
        snprintf(path, sizeof path, "step.metrics[%zu].%s", at, lt_metrics[i]->name);
        if (label_taken(im, &b))
            return;
        if (lt_metrics[i]->build(&b, m, &sums) == 0)
            sums_out(im, b.name, &sums);
        return;
    }
    lt_build_problem(&b, "accuracy", "no such metric");
}

static void import_step(struct lt_import *im)
{
    const Lt__V1__Step *s = im->plan->step;

    import_loss(im);
    for (size_t i = 0; s && i < s->n_metrics; i++)
        import_metric(im, s->metrics[i], i);
}

/* ---- the whole ---- */

static void check_fields(struct lt_import *im)
{
    for (int i = 0; i < im->n_fields; i++)
        if (lt_import_name_taken(im->fields[i].name))
            lt_problem_add(im->problems, "data.fields", "give it another name with data.fields",
                           "field `%s` %s", im->fields[i].name,
                           lt_import_name_taken(im->fields[i].name));
}

static void check_freeze(struct lt_import *im)
{
    const Lt__V1__Model *m = im->plan->model;
    char path[80];

    for (size_t i = 0; i < m->n_freeze && im->n_results; i++) {
        bool any = false;

        for (lt_id v = 0; !any && v < im->g->n_values; v++)
            any = im->g->values[v].kind == LT_VALUE_BUFFER &&
                  lt_glob(m->freeze[i], im->g->values[v].name);
        snprintf(path, sizeof path, "model.freeze[%zu]", i);
        if (!any)
            lt_problem_add(im->problems, path, "patterns are of names such as 1.weight",
                           "`%s` matches no parameter", m->freeze[i]);
    }
}

struct lt_graph *lt_graph_import(const Lt__V1__TrainingPlan *plan, const struct lt_field *fields,
                                 int n_fields, enum lt_program_kind kind, int64_t batch,
                                 struct lt_problems *problems, struct lt_layer_rows *rows)
{
    struct lt_import im = {.plan = plan,
                           .fields = fields,
                           .n_fields = n_fields,
                           .kind = kind,
                           .batch = batch,
                           .problems = problems,
                           .rows = rows,
                           .g = lt_graph_new(lt_program_names[kind])};
    size_t before = problems->errors;

    im.sym_batch = lt_graph_sym(im.g, "n", batch);
    check_fields(&im);
    if (problems->errors > before) {
        /* names are looked up below */
    } else if (!plan->model) {
        lt_problem_add(problems, "model", "model: {layers: […]}", "the plan has no model");
    } else {
        import_model(&im);
        im.model_known = im.n_results > 0;
        if (kind != LT_PROGRAM_PREDICT)
            import_step(&im);
        if (im.n_results)
            lt_graph_output(im.g, "output", im.results[0].value);
        check_freeze(&im);
    }
    lt_free(im.results);
    if (problems->errors == before)
        return im.g;
    lt_graph_free(im.g);
    if (rows)
        rows->len = 0; /* its texts went with the graph */
    return NULL;
}
