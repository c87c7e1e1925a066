/* build.c - the helpers that layers, losses and metrics build with */
#include "engine/graph/build.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/import_in.h"
#include "engine/graph/op.h"

#define NAMES_MAX 256

/* Weight and bias of one layer can be too large in the same words. */
static bool said_before(const struct lt_build *b, const char *text)
{
    const struct lt_problems *p = b->import->problems;
    const struct lt_problem *last = p->len ? &p->items[p->len - 1] : NULL;

    return last && lt_str_eq(last->path, b->path) && lt_str_eq(last->reason, text);
}

lt_id lt_build_problem(struct lt_build *b, const char *remedy, const char *format, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (said_before(b, text))
        return LT_NONE;
    lt_problem_add(b->import->problems, b->path, remedy, "%s", text);
    return LT_NONE;
}

const struct lt_type *lt_build_type(const struct lt_build *b, lt_id v)
{
    return &b->g->values[v].type;
}

const char *lt_build_text(struct lt_build *b, lt_id v)
{
    char *text = b->import->text[b->import->next_text++ % LT_TEXTS];

    lt_type_print(text, LT_TYPE_TEXT, lt_build_type(b, v));
    return text;
}

/* ---- values ---- */

bool lt_import_fits(struct lt_build *b, const struct lt_type *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->ndim; i++) {
        struct lt_dim d = t->dim[i];
        int64_t most = d.sym == LT_SYM_NONE ? 1 : b->g->syms[d.sym].bound;

        if (d.k < 0 || __builtin_mul_overflow(count, d.k, &count) ||
            __builtin_mul_overflow(count, most, &count) || count > LT_ELEMENTS_MAX) {
            lt_build_problem(b, NULL, "a tensor of it would have more than 2^40 elements");
            return false;
        }
    }
    return true;
}

const char *lt_import_name_taken(const char *name)
{
    static const char *const taken[] = {"weight",   "sample_index", "rng_step",     "lr",
                                        "opt_step", "window.loss",  "window.weight"};

    if (strlen(name) > LT_NAME_TEXT)
        return "is too long";
    if (strchr(name, '/'))
        return "has a `/`";
    for (size_t i = 0; i < LT_ARRAY_LEN(taken); i++)
        if (!strcmp(taken[i], name))
            return "is what the trainer calls a value of its own";
    return NULL;
}

static lt_id persistent(struct lt_build *b, enum lt_value_kind kind, const char *what,
                        const struct lt_type *t, struct lt_init init)
{
    char name[600];
    lt_id v;

    if (!lt_import_fits(b, t))
        return LT_NONE;
    snprintf(name, sizeof name, "%s%s%s", b->name, *b->name ? "." : "", what);
    if (lt_graph_find(b->g, name) != LT_NONE)
        return lt_build_problem(b, "give the field or parameter another name",
                                "something else is called `%s`, too", name);
    if (kind == LT_VALUE_PARAM && !lt_import_trained(b->import, name))
        kind = LT_VALUE_BUFFER;
    v = lt_graph_value(b->g, kind, name, t);
    lt_graph_init(b->g, v, init);
    return v;
}

static struct lt_type type_of(enum lt_dtype dtype, const int64_t *dim, int ndim)
{
    struct lt_type t = {.dtype = dtype, .ndim = ndim};

    for (int i = 0; i < ndim; i++)
        t.dim[i] = lt_dim_num(dim[i]);
    return t;
}

lt_id lt_build_param(struct lt_build *b, const char *what, const int64_t *dim, int ndim,
                     struct lt_init init)
{
    struct lt_type t = type_of(LT_F32, dim, ndim);
    lt_id v = persistent(b, LT_VALUE_PARAM, what, &t, init);
    int64_t count = 1;

    for (int i = 0; v != LT_NONE && i < ndim; i++)
        count *= dim[i];
    b->parameters += v != LT_NONE ? count : 0;
    return v;
}

lt_id lt_build_buffer(struct lt_build *b, const char *what, enum lt_dtype dtype, const int64_t *dim,
                      int ndim, double start)
{
    struct lt_type t = type_of(dtype, dim, ndim);

    return persistent(b, LT_VALUE_BUFFER, what, &t,
                      (struct lt_init){LT_INIT_CONSTANT, start, 0, NULL});
}

lt_id lt_build_table(struct lt_build *b, const char *what, const double *values, int64_t n)
{
    struct lt_type t = type_of(LT_F32, &n, 1);

    return persistent(b, LT_VALUE_TABLE, what, &t, (struct lt_init){LT_INIT_LIST, 0, 0, values});
}

const struct lt_field *lt_build_field(const struct lt_build *b, const char *name)
{
    for (int i = 0; i < b->import->n_fields; i++)
        if (lt_str_eq(b->import->fields[i].name, name))
            return &b->import->fields[i];
    return NULL;
}

/* What every program can be given beside the data's fields. */
static const struct {
    const char *name;
    enum lt_dtype dtype;
    bool per_sample;
} run_inputs[] = {
    {"weight", LT_F32, true}, {"sample_index", LT_I64, true}, {"rng_step", LT_I64, false}};

static bool input_type(const struct lt_build *b, const char *name, struct lt_type *t)
{
    const struct lt_field *f = lt_build_field(b, name);
    struct lt_dim n = {1, b->import->sym_batch};

    for (size_t i = 0; i < LT_ARRAY_LEN(run_inputs); i++)
        if (!strcmp(run_inputs[i].name, name)) {
            *t = (struct lt_type){.dtype = run_inputs[i].dtype, .ndim = run_inputs[i].per_sample};
            t->dim[0] = n;
            return true;
        }
    if (!f || f->ndim + 1 > LT_DIMS_MAX)
        return false;
    *t = (struct lt_type){.dtype = f->dtype, .ndim = f->ndim + 1};
    t->dim[0] = n;
    for (int i = 0; i < f->ndim; i++)
        t->dim[i + 1] = lt_dim_num(f->dim[i]);
    return true;
}

lt_id lt_build_input(struct lt_build *b, const char *name)
{
    struct lt_type t;
    lt_id v = lt_graph_find(b->g, name);

    if (v != LT_NONE && b->g->values[v].kind == LT_VALUE_INPUT)
        return v;
    if (v != LT_NONE)
        return lt_build_problem(b, "give the field another name",
                                "a parameter is called `%s` like a field of the data", name);
    return input_type(b, name, &t) ? lt_graph_value(b->g, LT_VALUE_INPUT, name, &t) : LT_NONE;
}

/* ---- what losses and metrics are about ---- */

lt_id lt_build_result(struct lt_build *b, const char *name)
{
    const struct lt_import *im = b->import;
    const char *names[NAMES_MAX];
    const char *near;
    int n = LT_MIN(im->n_results, NAMES_MAX);

    if (!im->n_results)
        return LT_NONE; /* reported with the model */
    if (!name)
        return im->results[0].value;
    for (int i = 0; i < im->n_results; i++)
        if (lt_str_eq(im->results[i].name, name))
            return im->results[i].value;
    if (!im->model_known)
        return LT_NONE;
    for (int i = 0; i < n; i++)
        names[i] = im->results[i].name;
    near = lt_suggest(name, names, (size_t)n);
    lt_build_problem(b, near ? near : "leave `input` out for the model's output",
                     "input: the model computes no `%s`", name);
    return LT_NONE;
}

lt_id lt_build_target(struct lt_build *b, const char *name)
{
    const char *names[NAMES_MAX];
    const char *near;
    int n = LT_MIN(b->import->n_fields, NAMES_MAX);

    if (lt_build_field(b, name))
        return lt_build_input(b, name);
    for (int i = 0; i < n; i++)
        names[i] = b->import->fields[i].name;
    near = lt_suggest(name, names, (size_t)n);
    near = near || !n ? near : names[n - 1];
    lt_build_problem(b, near, "target: the data have no field `%s`", name);
    return LT_NONE;
}

bool lt_build_classes(struct lt_build *b, lt_id logits, lt_id target, const char *target_name)
{
    const struct lt_type *x = lt_build_type(b, logits), *t = lt_build_type(b, target);
    const struct lt_field *f = lt_build_field(b, target_name);

    if (x->ndim != 2) {
        lt_build_problem(b, "end the model with `flatten` and `linear`",
                         "expected [n, classes], but the model gives %s", lt_build_text(b, logits));
        return false;
    }
    if (t->ndim != 1 || lt_dtype_is_float(t->dtype)) {
        lt_build_problem(b, "the target is one class number per sample", "`%s` is %s", target_name,
                         lt_build_text(b, target));
        return false;
    }
    if (f && f->classes > x->dim[1].k) {
        lt_build_problem(b, "the last layer needs an output per class",
                         "`%s` has classes 0 … %lld, but the model gives %s", target_name,
                         (long long)f->classes - 1, lt_build_text(b, logits));
        return false;
    }
    return true;
}

/* ---- nodes ---- */

lt_id lt_build_node(struct lt_build *b, const char *op, const lt_id *in, int n_in,
                    const struct lt_attr *attrs, int n_attrs)
{
    const struct lt_op *o = lt_op_find(op);
    struct lt_error err = {0};
    char name[600];
    int node;

    for (int i = 0; i < n_in; i++)
        if (in[i] == LT_NONE)
            return LT_NONE;
    if (!o)
        return lt_build_problem(b, NULL, "operator %s isn't in this build", op);
    snprintf(name, sizeof name, "%s%s%s", b->name, *b->name ? "." : "", op);
    node = lt_graph_add(b->g, o, name, in, n_in, attrs, n_attrs, &err);
    if (node < 0)
        return lt_build_problem(b, NULL, "%s", err.text);
    for (int i = 0; i < b->g->nodes[node].n_out; i++)
        if (!lt_import_fits(b, &b->g->values[b->g->nodes[node].out[i]].type))
            return LT_NONE;
    return b->g->nodes[node].out[0];
}

bool lt_build_pair(struct lt_build *b, const char *field, const uint64_t *v, size_t n,
                   int64_t least, int64_t def_h, int64_t def_w, int64_t out[2])
{
    out[0] = def_h;
    out[1] = def_w;
    if (n > 2) {
        lt_build_problem(b, "one value, or [height, width]", "%s has %zu values", field, n);
        return false;
    }
    for (size_t i = 0; i < 2 && n; i++) {
        uint64_t value = v[n == 2 ? i : 0];

        if (value < (uint64_t)least || value > 1u << 20) {
            lt_build_problem(b, "whole numbers up to 1048576", "%s is %llu", field,
                             (unsigned long long)value);
            return false;
        }
        out[i] = (int64_t)value;
    }
    return true;
}
