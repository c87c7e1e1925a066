/* session.c - a plan's model on a device
 *
 * Memory is two regions: the persistent tensors, and one arena that every program uses in turn
 * (only one runs at a time). Layouts of persistent tensors are settled by the programs of a full
 * batch, before any address is given out.
 */
#include "engine/session/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/session/session_in.h"

/* Training first: its kernels choose how parameters lie. */
static const enum lt_program_kind compile_order[] = {LT_PROGRAM_STEP, LT_PROGRAM_MICRO,
                                                     LT_PROGRAM_EVAL, LT_PROGRAM_PREDICT};

static uint32_t programs_wanted(const struct lt_session *s)
{
    if (s->c.programs)
        return s->c.programs;
    return (s->accumulate ? 1u << LT_PROGRAM_MICRO : 0) | 1u << LT_PROGRAM_STEP |
           1u << LT_PROGRAM_EVAL;
}

static void kind_add(struct lt_session *s, enum lt_program_kind kind, struct lt_sized *z)
{
    struct lt_kind *k = &s->kinds[kind];

    LT_GROW(k->sizes, k->n_sizes, k->cap_sizes);
    k->sizes[k->n_sizes++] = z;
}

static int each_bind(struct lt_session *s, struct lt_error *err)
{
    int rc = 0;

    for (int kind = 0; kind < LT_PROGRAM_N; kind++)
        for (int i = 0; !rc && i < s->kinds[kind].n_sizes; i++) {
            struct lt_sized *z = s->kinds[kind].sizes[i];

            rc = s->c.backend->bind(z->program, z->plan, s->persistent, s->arena, err);
        }
    return rc;
}

/* An arena of the planned size; what was there is gone (nothing lives in it between runs). */
static int arena_grow(struct lt_session *s, struct lt_error *err)
{
    if (s->arena && s->arena_mapped >= s->arena_bytes)
        return 0;
    if (s->arena)
        s->c.backend->release(s->device, s->arena, s->arena_mapped);
    s->last = NULL;
    s->arena_mapped = 0;
    s->arena = s->c.backend->alloc(s->device, LT_MAX(s->arena_bytes, (size_t)LT_ALIGN), err);
    if (!s->arena)
        return lt_error_prefix(err, "arena");
    s->arena_mapped = LT_MAX(s->arena_bytes, (size_t)LT_ALIGN);
    return each_bind(s, err);
}

static int regions_alloc(struct lt_session *s, struct lt_error *err)
{
    size_t bytes = LT_MAX(s->persistent_bytes, (size_t)LT_ALIGN);
    int rc;

    s->persistent = s->c.backend->alloc(s->device, bytes, err);
    if (!s->persistent)
        return lt_error_prefix(err, "persistent tensors");
    rc = arena_grow(s, err);
    for (int i = s->n_shown; !rc && i < s->n_tensors; i++)
        rc = lt_tensor_init(s, &s->tensors[i], err);
    return rc;
}

static int open_programs(struct lt_session *s, struct lt_error *err)
{
    uint32_t wanted = programs_wanted(s);
    int rc = 0;

    for (size_t i = 0; !rc && i < LT_ARRAY_LEN(compile_order); i++)
        if (wanted >> compile_order[i] & 1)
            rc = lt_session_import(s, compile_order[i], NULL, err);
    if (rc < 0)
        return rc;
    lt_tensors_collect(s);
    for (size_t i = 0; !rc && i < LT_ARRAY_LEN(compile_order); i++) {
        struct lt_sized *z;

        if (!(wanted >> compile_order[i] & 1))
            continue;
        rc = lt_session_compile(s, compile_order[i], s->batch, NULL, &z, err);
        if (!rc)
            kind_add(s, compile_order[i], z);
    }
    lt_tensors_lay_out(s);
    for (int kind = 0; !rc && kind < LT_PROGRAM_N; kind++)
        if (s->kinds[kind].n_sizes)
            rc = lt_session_place(s, s->kinds[kind].sizes[0], err);
    return rc;
}

static struct lt_session *session_new(const struct lt_session_config *c)
{
    struct lt_session *s = lt_calloc(1, sizeof *s);

    s->c = *c;
    s->accumulate = lt_plan_accumulates(c->plan);
    s->by_name = lt_map_new(NULL);
    return s;
}

int lt_session_open(const struct lt_session_config *c, struct lt_session **out,
                    struct lt_error *err)
{
    LT_AUTO(lt_session_close) struct lt_session *s = session_new(c);
    int rc;

    rc = lt_shares_of(c->plan, c->world, &s->shares, err);
    if (rc < 0)
        return rc;
    s->batch = s->shares.batch / s->shares.local;
    rc = c->backend->open(&c->device, &s->device, err);
    if (!rc)
        rc = open_programs(s, err);
    if (!rc && !c->plan_only)
        rc = regions_alloc(s, err);
    if (rc < 0)
        return rc;
    *out = LT_TAKE(s);
    return 0;
}

void lt_session_close(struct lt_session *s)
{
    if (!s)
        return;
    for (int kind = 0; kind < LT_PROGRAM_N; kind++) {
        for (int i = 0; i < s->kinds[kind].n_sizes; i++)
            lt_sized_free(s, s->kinds[kind].sizes[i]);
        lt_free(s->kinds[kind].sizes);
        lt_graph_free(s->kinds[kind].g);
    }
    if (s->arena)
        s->c.backend->release(s->device, s->arena, s->arena_mapped);
    if (s->persistent)
        s->c.backend->release(s->device, s->persistent,
                              LT_MAX(s->persistent_bytes, (size_t)LT_ALIGN));
    if (s->device)
        s->c.backend->close(s->device);
    lt_layer_rows_done(&s->rows);
    lt_free(s->tensors);
    lt_map_free(s->by_name);
    lt_free(s);
}

/* ---- programs ---- */

static int prepare_new(struct lt_session *s, enum lt_program_kind kind, int64_t n,
                       struct lt_error *err)
{
    struct lt_sized *z;
    int rc = s->kinds[kind].g ? 0 : lt_session_import(s, kind, NULL, err);

    if (!rc)
        rc = lt_session_compile(s, kind, n, NULL, &z, err);
    if (rc < 0)
        return rc;
    rc = lt_session_place(s, z, err);
    if (rc < 0) {
        lt_sized_free(s, z);
        return rc;
    }
    kind_add(s, kind, z);
    if (s->c.plan_only)
        return 0;
    if (s->arena_mapped < s->arena_bytes)
        return arena_grow(s, err);
    return s->c.backend->bind(z->program, z->plan, s->persistent, s->arena, err);
}

int lt_session_prepare(struct lt_session *s, enum lt_program_kind kind, int64_t n,
                       struct lt_error *err)
{
    int64_t local = kind == LT_PROGRAM_PREDICT ? 1 : s->shares.local;

    if (n < 1 || n > s->shares.batch || n % local)
        return lt_error_set(err, -EINVAL, "a batch of %lld samples where the plan has %lld",
                            (long long)n, (long long)s->shares.batch);
    return lt_session_find(s, kind, n / local) ? 0 : prepare_new(s, kind, n / local, err);
}

/* The graph of a kind, imported on demand: index questions need no compiled program. */
static const struct lt_graph *kind_graph(struct lt_session *s, enum lt_program_kind kind)
{
    if (!s->kinds[kind].g && lt_session_import(s, kind, NULL, NULL) < 0)
        return NULL;
    return s->kinds[kind].g;
}

int lt_session_input(struct lt_session *s, enum lt_program_kind kind, const char *name)
{
    const struct lt_graph *g = kind_graph(s, kind);
    int at = 0;

    for (lt_id v = 0; g && v < g->n_values; v++) {
        if (g->values[v].kind != LT_VALUE_INPUT)
            continue;
        if (lt_str_eq(g->values[v].name, name))
            return at;
        at++;
    }
    return -1;
}

int lt_session_n_inputs(struct lt_session *s, enum lt_program_kind kind)
{
    const struct lt_graph *g = kind_graph(s, kind);
    int n = 0;

    for (lt_id v = 0; g && v < g->n_values; v++)
        n += g->values[v].kind == LT_VALUE_INPUT;
    return n;
}

int lt_session_output(struct lt_session *s, enum lt_program_kind kind, const char *name)
{
    const struct lt_graph *g = kind_graph(s, kind);

    for (int i = 0; g && i < g->n_outputs; i++)
        if (lt_str_eq(g->outputs[i].name, name))
            return i;
    return -1;
}

int lt_session_run(struct lt_session *s, enum lt_program_kind kind, int64_t n,
                   const void *const *inputs, struct lt_error *err)
{
    int64_t local = kind == LT_PROGRAM_PREDICT ? 1 : s->shares.local;
    struct lt_sized *z = n % local ? NULL : lt_session_find(s, kind, n / local);
    int rc;

    assert(!s->c.plan_only);
    if (!z) {
        rc = lt_session_prepare(s, kind, n, err);
        if (rc < 0)
            return rc;
        z = lt_session_find(s, kind, n / local);
    }
    s->last = z;
    return s->c.backend->run(z->program, inputs, err);
}

const void *lt_session_value(const struct lt_session *s, int output, size_t *bytes)
{
    lt_id v;

    assert(s->last && output >= 0 && output < s->last->g->n_outputs);
    v = s->last->g->outputs[output].value;
    if (bytes)
        *bytes = lt_type_bytes(&s->last->g->values[v].type, &s->last->binding);
    return s->c.backend->value(s->last->program, v);
}

double lt_session_scalar(const struct lt_session *s, int output)
{
    const struct lt_value *v;
    const void *p = lt_session_value(s, output, NULL);

    v = &s->last->g->values[s->last->g->outputs[output].value];
    assert(v->type.ndim == 0);
    if (v->kind == LT_VALUE_CONST)
        return v->constant;
    if (!p)
        return 0;
    return v->type.dtype == LT_F64 ? *(const double *)p : (double)*(const float *)p;
}

/* ---- cost, profile ---- */

void lt_session_cost(const struct lt_session *s, struct lt_session_cost *out)
{
    const struct lt_binding none = {{0}};
    const struct lt_kind *k = &s->kinds[LT_PROGRAM_STEP];

    for (size_t i = 0; !k->n_sizes && i < LT_ARRAY_LEN(compile_order); i++)
        k = &s->kinds[compile_order[i]]; /* nothing is trained */
    *out = (struct lt_session_cost){.persistent_bytes = s->persistent_bytes,
                                    .arena_bytes = s->arena_bytes};
    if (s->c.backend->overhead_bytes)
        out->overhead_bytes = s->c.backend->overhead_bytes(s->device);
    for (int i = 0; i < s->n_shown; i++) {
        const struct lt_stored *t = &s->tensors[i];

        if (t->info.kind == LT_VALUE_PARAM)
            out->parameters += (uint64_t)lt_type_count(&t->type, &none);
        if (t->info.kind != LT_VALUE_ACCUM)
            out->checkpoint_bytes += t->info.bytes;
    }
    if (k->n_sizes)
        out->flops_per_step = (uint64_t)lt_graph_flops(k->sizes[0]->g, &k->sizes[0]->binding);
}

void lt_session_profile(struct lt_session *s, struct lt_buf *json)
{
    if (s->c.backend->profile)
        s->c.backend->profile(s->device, json);
    else
        lt_buf_str(json, "{}");
}

const char *lt_session_slower(const struct lt_session *s)
{
    return s->c.backend->slower ? s->c.backend->slower(s->device) : NULL;
}
