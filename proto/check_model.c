/* check_model.c - the model as far as its shape on paper goes; shapes of tensors are level 2's */
#include "base/auto.h"
#include "base/buf.h"
#include "base/problem.h"
#include "proto/checks.h"
#include "proto/plan.h"
#include "proto/reflect.h"

/* Saturates above the limit, so that repeats of repeats can't wrap. */
static uint64_t count_layers(Lt__V1__Layer *const *layers, size_t n);

static uint64_t count_layer(const Lt__V1__Layer *l)
{
    uint64_t inner;

    switch (l->layer_case) {
    case LT__V1__LAYER__LAYER_SEQUENTIAL:
        return count_layers(l->sequential->layers, l->sequential->n_layers);
    case LT__V1__LAYER__LAYER_RESIDUAL:
        return 1 + count_layers(l->residual->layers, l->residual->n_layers);
    case LT__V1__LAYER__LAYER_REPEAT:
        inner = count_layers(l->repeat->layers, l->repeat->n_layers);
        return inner && l->repeat->times > LT_PLAN_LAYERS_MAX / inner ? LT_PLAN_LAYERS_MAX + 1
                                                                      : l->repeat->times * inner;
    default:
        return 1;
    }
}

static uint64_t count_layers(Lt__V1__Layer *const *layers, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n && sum <= LT_PLAN_LAYERS_MAX; i++)
        sum += count_layer(layers[i]);
    return LT_MIN(sum, (uint64_t)LT_PLAN_LAYERS_MAX + 1);
}

bool lt_model_is_too_deep(const Lt__V1__Model *m)
{
    return m && count_layers(m->layers, m->n_layers) > LT_PLAN_LAYERS_MAX;
}

static void check_form(const struct lt_check *c, const Lt__V1__Model *m)
{
    const int forms = (m->n_layers > 0) + (m->graph != NULL) + (m->onnx != NULL);

    if (forms == 0)
        lt_problem_add(c->problems, lt_check_path(c, "model.layers"), "write `layers: [ … ]`",
                       "the model has no layers and no graph");
    if (forms > 1)
        lt_problem_add(c->problems, lt_check_path(c, "model"), "keep one of layers, graph and onnx",
                       "is given in %d forms at once", forms);
    if (m->onnx)
        lt_problem_add(c->problems, lt_check_path(c, "model.onnx"),
                       "write the model as layers or graph",
                       "ONNX models aren't supported yet by this version");
}

static void check_file(const struct lt_check *c, const char *name, const char *file)
{
    if (!file)
        return;
    if (lt_file_place(file) == LT_FILE_BLOB && !lt_file_hash(file))
        lt_problem_add(c->problems, lt_check_path(c, "%s", name),
                       "write sha256: and the 64 lower-case hexadecimal digits that Blobs.Put gave; "
                       "a file of that name: ./sha256:…",
                       "`%.80s` isn't the address of a blob", file);
    if (lt_file_place(file) == LT_FILE_NODE && *lt_file_path(file) != '/')
        lt_problem_add(c->problems, lt_check_path(c, "%s", name),
                       "write the whole path on the node, node:/…; a file of that name: ./node:…",
                       "`%.80s`: what lies on a node has no folder to be relative to", file);
}

static void check_layer(const struct lt_check *c, const Lt__V1__Layer *l, struct lt_buf *path);

static void check_layers(const struct lt_check *c, Lt__V1__Layer *const *layers, size_t n,
                         const char *name, struct lt_buf *path)
{
    const size_t len = path->len;

    for (size_t i = 0; i < n; i++) {
        lt_buf_printf(path, "%s[%zu]", name, i);
        check_layer(c, layers[i], path);
        lt_path_pop(path, len);
    }
}

static void check_unflatten(const struct lt_check *c, const Lt__V1__Unflatten *u, const char *path)
{
    size_t free_sizes = 0;

    for (size_t i = 0; i < u->n_sizes; i++) {
        free_sizes += u->sizes[i] == -1;
        if (u->sizes[i] < -1 || u->sizes[i] == 0)
            lt_problem_add(c->problems, path, "write sizes from 1, or -1 for the rest",
                           "%lld is no size", (long long)u->sizes[i]);
    }
    if (free_sizes > 1)
        lt_problem_add(c->problems, path, "write -1 once", "-1 stands %zu times in sizes",
                       free_sizes);
}

/* Only layers whose own fields have to agree, and those that hold layers. */
static void check_layer(const struct lt_check *c, const Lt__V1__Layer *l, struct lt_buf *path)
{
    switch (l->layer_case) {
    case LT__V1__LAYER__LAYER_CONV2D:
        if (l->conv2d->groups && l->conv2d->out_channels % l->conv2d->groups)
            lt_problem_add(c->problems, path->data, "make out_channels a multiple of groups",
                           "out_channels %llu can't be split into %llu groups",
                           (unsigned long long)l->conv2d->out_channels,
                           (unsigned long long)l->conv2d->groups);
        return;
    case LT__V1__LAYER__LAYER_UNFLATTEN:
        check_unflatten(c, l->unflatten, path->data);
        return;
    case LT__V1__LAYER__LAYER_SEQUENTIAL:
        check_layers(c, l->sequential->layers, l->sequential->n_layers, ".sequential.layers", path);
        return;
    case LT__V1__LAYER__LAYER_RESIDUAL:
        check_layers(c, l->residual->layers, l->residual->n_layers, ".residual.layers", path);
        return;
    case LT__V1__LAYER__LAYER_REPEAT:
        check_layers(c, l->repeat->layers, l->repeat->n_layers, ".repeat.layers", path);
        return;
    default:
        return;
    }
}

void lt_check_model(const struct lt_check *c)
{
    const Lt__V1__Model *m = c->plan->model;
    LT_BUF_AUTO path = {0};

    if (!m) {
        lt_problem_add(c->problems, lt_check_path(c, "model"), "write `model: {layers: [ … ]}`",
                       "is missing");
        return;
    }
    check_form(c, m);
    check_file(c, "model.weights", m->weights);
    lt_buf_printf(&path, "%smodel", c->at);
    check_layers(c, m->layers, m->n_layers, ".layers", &path);
}
