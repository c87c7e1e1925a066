/* tensors.c - the persistent tensors: one table for all programs, one region, one order
 *
 * The order is the model's (parameters and buffers as they come), then optimiser states, then
 * accumulators; constant tables stand behind them and are in no list. Offsets follow the table.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/philox.h"
#include "base/str.h"
#include "engine/session/session_in.h"

/* ---- the table ---- */

static int rank_of(enum lt_value_kind k)
{
    return k == LT_VALUE_PARAM || k == LT_VALUE_BUFFER ? 0 : (int)k;
}

static void tensor_add(struct lt_session *s, const struct lt_value *v)
{
    const struct lt_binding none = {{0}};
    struct lt_stored t = {.type = v->type, .init = v->init};

    t.info = (struct lt_tensor_info){.name = v->name,
                                     .kind = v->kind,
                                     .dtype = v->type.dtype,
                                     .ndim = v->type.ndim,
                                     .bytes = lt_type_bytes(&v->type, &none)};
    for (int i = 0; i < v->type.ndim; i++)
        t.info.dim[i] = v->type.dim[i].k;
    LT_GROW(s->tensors, s->n_tensors, s->cap_tensors);
    s->tensors[s->n_tensors++] = t;
    lt_map_set(s->by_name, v->name, (void *)(intptr_t)s->n_tensors);
}

void lt_tensors_collect(struct lt_session *s)
{
    static const enum lt_program_kind order[] = {LT_PROGRAM_STEP, LT_PROGRAM_MICRO, LT_PROGRAM_EVAL,
                                                 LT_PROGRAM_PREDICT};

    for (int rank = 0; rank < LT_VALUE_KIND_N; rank++) {
        for (size_t k = 0; k < LT_ARRAY_LEN(order); k++) {
            const struct lt_graph *g = s->kinds[order[k]].g;

            for (lt_id v = 0; g && v < g->n_values; v++)
                if (lt_value_persists(g->values[v].kind) && rank_of(g->values[v].kind) == rank &&
                    !lt_map_get(s->by_name, g->values[v].name))
                    tensor_add(s, &g->values[v]);
        }
        if (rank < LT_VALUE_TABLE)
            s->n_shown = s->n_tensors;
    }
}

void lt_tensors_lay_out(struct lt_session *s)
{
    const struct lt_backend *be = s->c.backend;
    const struct lt_binding none = {{0}};
    size_t at = 0;

    for (int i = 0; i < s->n_tensors; i++) {
        struct lt_stored *t = &s->tensors[i];

        t->layout = be->layout_of ? be->layout_of(s->device, t->info.name) : 0;
        t->device_bytes =
            t->layout ? be->layout_bytes(s->device, t->layout, &t->type, &none) : t->info.bytes;
        t->offset = at;
        at += (t->device_bytes + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    }
    s->persistent_bytes = at;
}

void *lt_tensor_data(const struct lt_session *s, const struct lt_stored *t)
{
    return (unsigned char *)s->persistent + t->offset;
}

/* ---- reading and writing ---- */

int lt_session_n_tensors(const struct lt_session *s)
{
    return s->n_shown;
}

const struct lt_tensor_info *lt_session_tensor(const struct lt_session *s, int i)
{
    assert(i >= 0 && i < s->n_shown);
    return &s->tensors[i].info;
}

int lt_session_read(struct lt_session *s, int i, void *dst, struct lt_error *err)
{
    const struct lt_stored *t = &s->tensors[i];

    assert(i >= 0 && i < s->n_shown && s->persistent);
    if (t->layout)
        return s->c.backend->to_plain(s->device, t->layout, &t->type, lt_tensor_data(s, t), dst,
                                      err);
    memcpy(dst, lt_tensor_data(s, t), t->info.bytes);
    return 0;
}

static int tensor_write(struct lt_session *s, const struct lt_stored *t, const void *src,
                        struct lt_error *err)
{
    if (t->layout)
        return s->c.backend->from_plain(s->device, t->layout, &t->type, src, lt_tensor_data(s, t),
                                        err);
    memcpy(lt_tensor_data(s, t), src, t->info.bytes);
    return 0;
}

int lt_session_write(struct lt_session *s, int i, const void *src, struct lt_error *err)
{
    assert(i >= 0 && i < s->n_shown && s->persistent);
    return tensor_write(s, &s->tensors[i], src, err);
}

/* ---- start values ---- */

/* The same numbers in either type: float32 is float64's, rounded. */
static void put(void *p, enum lt_dtype dtype, size_t i, double v)
{
    if (dtype == LT_F64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

static void fill_uniform(void *p, enum lt_dtype dtype, size_t n, const struct lt_rng *r, double low,
                         double high)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w[4];

        lt_rng_block(r, 0, i >> 34, (uint32_t)(i / 4), w);
        for (size_t k = 0; k < 4 && i + k < n; k++)
            put(p, dtype, i + k, low + (high - low) * ((double)(w[k] >> 8) * 0x1p-24));
    }
}

static void fill_normal(void *p, enum lt_dtype dtype, size_t n, const struct lt_rng *r, double mean,
                        double std)
{
    for (size_t i = 0; i < n; i++)
        put(p, dtype, i, mean + std * lt_rng_normal(r, 0, i >> 32, (uint32_t)i));
}

static void fill_float(void *p, enum lt_dtype dtype, size_t n, const struct lt_init *init,
                       const struct lt_rng *r)
{
    switch (init->kind) {
    case LT_INIT_CONSTANT:
        for (size_t i = 0; i < n; i++)
            put(p, dtype, i, init->a);
        break;
    case LT_INIT_UNIFORM:
        fill_uniform(p, dtype, n, r, init->a, init->b);
        break;
    case LT_INIT_NORMAL:
        fill_normal(p, dtype, n, r, init->a, init->b);
        break;
    case LT_INIT_LIST:
        for (size_t i = 0; i < n; i++)
            put(p, dtype, i, init->list[i]);
        break;
    }
}

/* Counters. */
static void fill_constant(void *p, enum lt_dtype dtype, size_t n, double v)
{
    for (size_t i = 0; i < n; i++) {
        if (dtype == LT_I64)
            ((int64_t *)p)[i] = (int64_t)v;
        else if (dtype == LT_I32)
            ((int32_t *)p)[i] = (int32_t)v;
    }
}

/* Room for the plain form of a tensor: the arena, in which nothing lives between runs, where it is
 * large enough. Not malloc(), which keeps what was freed, and memory is to be what was planned. */
static void *plain_room(struct lt_session *s, const struct lt_stored *t, struct lt_error *err)
{
    if (s->arena && s->arena_mapped >= t->info.bytes)
        return s->arena;
    return s->c.backend->alloc(s->device, LT_MAX(t->info.bytes, (size_t)1), err);
}

int lt_tensor_init(struct lt_session *s, const struct lt_stored *t, struct lt_error *err)
{
    const struct lt_binding none = {{0}};
    size_t n = (size_t)lt_type_count(&t->type, &none);
    struct lt_rng r =
        lt_rng_make(s->c.plan->seed, LT_RNG_INIT, lt_hash64(t->info.name, strlen(t->info.name)));
    void *plain = t->layout ? plain_room(s, t, err) : lt_tensor_data(s, t);
    int rc = 0;

    if (!plain) {
        lt_error_prefix(err, "start values of %s", t->info.name);
        return -ENOMEM;
    }
    if (t->info.dtype == LT_F32 || t->info.dtype == LT_F64)
        fill_float(plain, t->info.dtype, n, &t->init, &r);
    else
        fill_constant(plain, t->info.dtype, n, t->init.a);
    if (t->layout)
        rc = tensor_write(s, t, plain, err);
    if (t->layout && plain != s->arena)
        s->c.backend->release(s->device, plain, LT_MAX(t->info.bytes, (size_t)1));
    return rc;
}

int lt_session_init(struct lt_session *s, struct lt_error *err)
{
    int rc = 0;

    s->last = NULL; /* the arena is overwritten */
    for (int i = 0; !rc && i < s->n_tensors; i++)
        rc = lt_tensor_init(s, &s->tensors[i], err);
    return rc;
}
