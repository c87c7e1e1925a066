/* bed.c - see bed.h */
#include "bed.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/philox.h"
#include "engine/graph/edit.h"
#include "engine/graph/plan.h"

#define GUARD LT_ALIGN
#define GUARD_BYTE 0xa5

void bed_open(struct bed *t)
{
    *t = (struct bed){.g = lt_graph_new("test")};
}

void bed_close(struct bed *t)
{
    lt_graph_free(t->g);
}

static struct lt_type type_of(enum lt_dtype dtype, int ndim, const int64_t *dims)
{
    struct lt_type t = {.dtype = dtype, .ndim = ndim};

    for (int i = 0; i < ndim; i++)
        t.dim[i] = lt_dim_num(dims[i]);
    return t;
}

lt_id bed_input(struct bed *t, const char *name, enum lt_dtype dtype, int ndim, const int64_t *dims)
{
    struct lt_type type = type_of(dtype, ndim, dims);

    return lt_graph_value(t->g, LT_VALUE_INPUT, name, &type);
}

lt_id bed_param(struct bed *t, const char *name, enum lt_dtype dtype, int ndim, const int64_t *dims)
{
    struct lt_type type = type_of(dtype, ndim, dims);

    return lt_graph_value(t->g, LT_VALUE_PARAM, name, &type);
}

int bed_node(struct bed *t, const char *op, const char *name, const lt_id *in, int n_in,
             const struct lt_attr *attrs, int n_attrs)
{
    struct lt_error err = {0};
    int node = lt_graph_add(t->g, lt_op_find(op), name, in, n_in, attrs, n_attrs, &err);

    if (node < 0)
        fail_msg("%s", err.text);
    return node;
}

void bed_outputs(struct bed *t, int node)
{
    for (int o = 0; o < t->g->nodes[node].n_out; o++) {
        char name[16];

        if (t->g->values[t->g->nodes[node].out[o]].alias != LT_NONE)
            continue;
        snprintf(name, sizeof name, "out%d", t->g->n_outputs);
        lt_graph_output(t->g, name, t->g->nodes[node].out[o]);
    }
}

static void *filled(const struct lt_type *type, const struct lt_binding *b, struct lt_rng *rng,
                    uint64_t stream, int64_t ints)
{
    int64_t n = lt_type_count(type, b);
    char *p = lt_calloc((size_t)n + 1, lt_dtype_sizes[type->dtype]);

    for (int64_t i = 0; i < n; i++) {
        float u = lt_rng_uniform(rng, stream, 0, (uint32_t)i);

        lt_dtype_store(type->dtype, p, i, lt_dtype_is_float(type->dtype) ? (double)(u * 2 - 1) : floor((double)u * (double)ints));
    }
    return p;
}

void bed_fill(const struct bed *t, struct bed_values *v, uint64_t seed, int64_t ints)
{
    struct lt_rng rng = lt_rng_make(seed, LT_RNG_INIT, 0);

    *v = (struct bed_values){0};
    for (lt_id i = 0; i < t->g->n_values; i++) {
        const struct lt_value *x = &t->g->values[i];

        if (x->kind == LT_VALUE_INPUT)
            v->in[v->n_in++] = filled(&x->type, &t->b, &rng, (uint64_t)i, ints);
        else if (lt_value_persists(x->kind))
            v->persistent[v->n_persistent++] = filled(&x->type, &t->b, &rng, (uint64_t)i, ints);
    }
}

static void *copied(const struct lt_type *type, const struct lt_binding *b, const void *from)
{
    size_t n = lt_type_bytes(type, b);

    return memcpy(lt_malloc(n + 1), from, n);
}

void bed_copy(const struct bed *t, const struct bed_values *from, struct bed_values *to)
{
    *to = (struct bed_values){0};
    for (lt_id i = 0; i < t->g->n_values; i++) {
        const struct lt_value *x = &t->g->values[i];

        if (x->kind == LT_VALUE_INPUT) {
            to->in[to->n_in] = copied(&x->type, &t->b, from->in[to->n_in]);
            to->n_in++;
        } else if (lt_value_persists(x->kind)) {
            to->persistent[to->n_persistent] =
                copied(&x->type, &t->b, from->persistent[to->n_persistent]);
            to->n_persistent++;
        }
    }
}

void bed_free(struct bed_values *v)
{
    for (int i = 0; i < v->n_in; i++)
        lt_free(v->in[i]);
    for (int i = 0; i < v->n_persistent; i++)
        lt_free(v->persistent[i]);
    for (int i = 0; i < v->n_out; i++)
        lt_free(v->out[i]);
    *v = (struct bed_values){0};
}

/* ---- one run */

struct rig {
    const struct lt_backend *be;
    const struct bed *t;
    struct lt_device *d;
    struct lt_graph *g;
    struct lt_program *p;
    struct lt_plan *plan;
    struct lt_map *offsets; /* name → offset + 1 */
    size_t persistent_bytes, arena_bytes;
    char *persistent, *arena;
    struct lt_error err;
};

static size_t device_bytes(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b)
{
    struct rig *r = ctx;
    const struct lt_value *x = &g->values[v];

    return (x->layout ? r->be->layout_bytes(r->d, x->layout, &x->type, b)
                      : lt_type_bytes(&x->type, b)) +
           GUARD;
}

static size_t persistent_at(void *ctx, const char *name)
{
    struct rig *r = ctx;

    return (size_t)(intptr_t)lt_map_get(r->offsets, name) - 1;
}

static void lay_out(struct rig *r, const struct bed *t, const struct lt_graph *g)
{
    for (lt_id i = 0; i < g->n_values; i++) {
        if (!lt_value_persists(g->values[i].kind))
            continue;
        lt_map_set(r->offsets, g->values[i].name, (void *)(r->persistent_bytes + 1));
        r->persistent_bytes += (device_bytes(r, g, i, &t->b) + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    }
}

static void move_persistent(struct rig *r, const struct bed *t, const struct lt_graph *g,
                            char *base, struct bed_values *v, int in)
{
    int at = 0;

    for (lt_id i = 0; i < t->g->n_values; i++) {
        const struct lt_value *x = &g->values[i];
        struct lt_error err = {0};
        int rc = 0;
        char *p;

        if (!lt_value_persists(x->kind))
            continue;
        p = base + persistent_at(r, x->name);
        if (x->layout)
            rc = in ? r->be->from_plain(r->d, x->layout, &x->type, v->persistent[at], p, &err)
                    : r->be->to_plain(r->d, x->layout, &x->type, p, v->persistent[at], &err);
        else
            memcpy(in ? p : v->persistent[at], in ? v->persistent[at] : p,
                   lt_type_bytes(&x->type, &t->b));
        if (rc < 0)
            fail_msg("%s: %s", x->name, err.text);
        at++;
    }
}

static int guards_check(const struct rig *r, const struct bed *t, const struct lt_graph *g,
                        const struct lt_plan *plan, const char *arena)
{
    for (lt_id id = 0; id < g->n_values; id++) {
        const struct lt_slot *s = &plan->slots[id];
        const char *end =
            arena + s->offset + device_bytes((void *)(uintptr_t)r, g, id, &t->b) - GUARD;

        for (int i = 0; s->region == LT_REGION_ARENA && i < GUARD; i++)
            if ((unsigned char)end[i] != GUARD_BYTE)
                return print_error("%s: value %d: byte %d behind its end was overwritten\n",
                                   r->be->name, id, i),
                       -EFAULT;
    }
    return 0;
}

/* Every value its own place: nothing is overwritten, views are copied, and guards stay as they were
 * filled. */
static void spread(struct rig *r, const struct bed *t, const struct lt_graph *g,
                   struct lt_plan *plan)
{
    size_t at = 0;

    for (lt_id v = 0; v < g->n_values; v++) {
        if (plan->slots[v].region != LT_REGION_ARENA)
            continue;
        plan->slots[v].offset = at;
        at += (device_bytes(r, g, v, &t->b) + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    }
    plan->arena_bytes = at;
}

static void kernels_list(const struct rig *r, const struct lt_graph *g, const struct lt_program *p,
                         char *out, size_t n)
{
    size_t at = 0;

    for (int i = 0; out && r->be->kernel_name && i < g->n_nodes && at < n; i++)
        if (!g->nodes[i].dead)
            at += (size_t)snprintf(out + at, n - at, "%s=%s\n", g->nodes[i].op->name,
                                   r->be->kernel_name(p, i));
}

static int rig_compile(struct rig *r, const struct lt_device_config *c)
{
    int rc = r->be->open(c, &r->d, &r->err);

    if (!rc && r->be->lower)
        rc = r->be->lower(r->d, r->g, &r->t->b, &r->err);
    if (!rc)
        rc = lt_graph_check(r->g, &r->err);
    return rc ? rc : r->be->prepare(r->d, r->g, &r->t->b, &r->p, &r->err);
}

static int rig_place(struct rig *r, int apart)
{
    struct lt_place_ask ask = {.ctx = r,
                               .bytes = device_bytes,
                               .persistent = persistent_at,
                               .scratch_bytes = r->be->scratch_bytes(r->p)};
    int rc;

    lay_out(r, r->t, r->g);
    rc = lt_plan_place(r->g, &r->t->b, &ask, &r->plan, &r->err);
    if (rc < 0)
        return rc;
    if (apart)
        spread(r, r->t, r->g, r->plan);
    r->arena_bytes = r->plan->arena_bytes + r->plan->scratch_bytes + LT_ALIGN;
    r->persistent = r->be->alloc(r->d, r->persistent_bytes + LT_ALIGN, &r->err);
    r->arena = r->be->alloc(r->d, r->arena_bytes, &r->err);
    memset(r->arena, GUARD_BYTE, r->arena_bytes);
    return r->be->bind(r->p, r->plan, r->persistent, r->arena, &r->err);
}

static void results_take(struct rig *r, struct bed_values *v)
{
    move_persistent(r, r->t, r->g, r->persistent, v, 0);
    for (int o = 0; o < r->g->n_outputs; o++) {
        lt_id id = r->g->outputs[o].value;
        size_t n = lt_type_bytes(&r->g->values[id].type, &r->t->b);

        lt_free(v->out[o]);
        v->out[o] = lt_malloc(n + 1);
        v->out_bytes[o] = n;
        memcpy(v->out[o], r->be->value(r->p, id), n);
    }
    v->n_out = r->g->n_outputs;
}

static void rig_close(struct rig *r)
{
    if (r->p)
        r->be->program_free(r->p);
    if (r->persistent)
        r->be->release(r->d, r->persistent, r->persistent_bytes + LT_ALIGN);
    if (r->arena)
        r->be->release(r->d, r->arena, r->arena_bytes);
    if (r->d)
        r->be->close(r->d);
    lt_plan_free(r->plan);
    lt_graph_free(r->g);
    lt_map_free(r->offsets);
}

int bed_run(const struct bed *t, const struct lt_backend *be, const struct lt_device_config *c,
            struct bed_values *v, int times, char *kernels, size_t n_kernels)
{
    struct rig r = {.be = be, .t = t, .g = lt_graph_clone(t->g), .offsets = lt_map_new(NULL)};
    int rc = rig_compile(&r, c);

    if (!rc)
        rc = rig_place(&r, v->spread);
    if (!rc)
        move_persistent(&r, t, r.g, r.persistent, v, 1);
    for (int i = 0; !rc && i < times; i++)
        rc = be->run(r.p, (const void *const *)v->in, &r.err);
    if (!rc && v->spread)
        rc = guards_check(&r, t, r.g, r.plan, r.arena);
    if (!rc)
        results_take(&r, v);
    if (!rc)
        kernels_list(&r, r.g, r.p, kernels, n_kernels);
    if (rc < 0)
        print_error("%s: %s\n", be->name, r.err.text);
    rig_close(&r);
    return rc;
}

/* ---- comparing */

static double distance(const struct lt_type *t, const struct lt_binding *b, const void *x,
                       const void *y)
{
    double worst = 0;

    for (int64_t i = 0; i < lt_type_count(t, b); i++) {
        double u = lt_dtype_load(t->dtype, x, i), w = lt_dtype_load(t->dtype, y, i);

        if ((isnan(u) && isnan(w)) || u == w)
            continue;
        if (!isfinite(u) || !isfinite(w))
            return INFINITY;
        worst = fmax(worst, fabs(u - w) / (1 + fabs(w)));
    }
    return worst;
}

double bed_distance(const struct bed *t, const struct bed_values *a, const struct bed_values *b)
{
    double worst = 0;
    int at = 0;

    for (int o = 0; o < t->g->n_outputs; o++)
        worst = fmax(worst, distance(&t->g->values[t->g->outputs[o].value].type, &t->b, a->out[o],
                                     b->out[o]));
    for (lt_id i = 0; i < t->g->n_values; i++)
        if (lt_value_persists(t->g->values[i].kind)) {
            worst = fmax(worst, distance(&t->g->values[i].type, &t->b, a->persistent[at],
                                         b->persistent[at]));
            at++;
        }
    return worst;
}

int bed_same_bits(const struct bed *t, const struct bed_values *a, const struct bed_values *b)
{
    int at = 0;

    for (int o = 0; o < t->g->n_outputs; o++)
        if (memcmp(a->out[o], b->out[o], a->out_bytes[o]) != 0)
            return 0;
    for (lt_id i = 0; i < t->g->n_values; i++)
        if (lt_value_persists(t->g->values[i].kind)) {
            if (memcmp(a->persistent[at], b->persistent[at],
                       lt_type_bytes(&t->g->values[i].type, &t->b)) != 0)
                return 0;
            at++;
        }
    return 1;
}
