/* place.c - every tensor's address before anything runs
 *
 * 1. Values that share bytes form a *storage*: a view with what it views; an update with what it
 *    updates; an output with an input that the operator lets it overwrite, when nobody reads that
 *    input afterwards; a part with the flat form it is a part of, and what a collective packs into a
 *    flat form with it, when nobody reads it afterwards: it is computed where it will travel. A flat
 *    form lives to the last reader of a part, so nothing reuses bytes that are in flight.
 * 2. A storage lives from the node that makes it to its last reader (to the end, if the program
 *    gives it out).
 * 3. Storages in the arena get offsets, the largest first, each in the tightest gap among those
 *    that live at the same time.
 *
 * Bytes of two storages that live at the same time never overlap: tests/graph/test_place.c holds
 * that on random graphs.
 */
#include "engine/graph/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/op.h"

struct storage {
    enum lt_region region;
    size_t offset, bytes;
    int first, last; /* nodes */
    bool fixed;      /* outlives the run or is read behind it: never overwritten */
};

struct place {
    const struct lt_graph *g;
    const struct lt_place_ask *ask;
    const struct lt_binding *b;
    struct lt_slot *slots;
    struct storage *storages;
    int n_storages;
    int *of;        /* value → storage; -1 */
    size_t *inside; /* value → where in its storage it begins */
    int *packs;     /* value → which start packs it, and may have it in its flat form; -1 */
    int *flat;      /* node, a start → storage of its flat form; -1: none so far */
    int *last_read; /* value → last node that reads it; n_nodes: the program gives it out; -1: none */
};

static size_t align_up(size_t n)
{
    return (n + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
}

static void last_reads(struct place *p)
{
    const struct lt_graph *g = p->g;

    for (lt_id v = 0; v < g->n_values; v++)
        p->last_read[v] = -1;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; !g->nodes[i].dead && k < g->nodes[i].n_in; k++)
            if (!lt_op_shape_only(g->nodes[i].op, k))
                p->last_read[g->nodes[i].in[k]] = i;
    for (int i = 0; i < g->n_outputs; i++)
        p->last_read[g->outputs[i].value] = g->n_nodes;
}

static int storage_add(struct place *p, enum lt_region region, size_t offset, size_t bytes,
                       int node)
{
    p->storages[p->n_storages] =
        (struct storage){region, offset, bytes, node, node, .fixed = region != LT_REGION_ARENA};
    return p->n_storages++;
}

static void join(struct place *p, lt_id v, int storage)
{
    struct storage *s = &p->storages[storage];

    p->of[v] = storage;
    s->last = LT_MAX(s->last, p->last_read[v]);
    s->fixed |= p->last_read[v] == p->g->n_nodes;
}

static int place_outside(struct place *p, struct lt_error *err)
{
    const struct lt_graph *g = p->g;
    size_t n_inputs = 0;

    for (lt_id v = 0; v < g->n_values; v++) {
        const struct lt_value *val = &g->values[v];
        size_t bytes, offset;

        if (val->kind == LT_VALUE_NODE)
            continue;
        bytes = p->ask->bytes(p->ask->ctx, g, v, p->b);
        if (val->kind == LT_VALUE_CONST) {
            join(p, v, storage_add(p, LT_REGION_CONST, 0, bytes, -1));
        } else if (val->kind == LT_VALUE_INPUT) {
            join(p, v, storage_add(p, LT_REGION_INPUT, n_inputs++, bytes, -1));
        } else {
            offset = p->ask->persistent(p->ask->ctx, val->name);
            if (offset == (size_t)-1)
                return lt_error_set(err, -ENOENT, "no place for persistent value %s", val->name);
            join(p, v, storage_add(p, LT_REGION_PERSISTENT, offset, bytes, -1));
        }
    }
    return 0;
}

/* Does nobody but node i, through inputs in `mask`, read the storage from i on? */
static bool free_after(const struct place *p, int storage, int i, uint32_t mask)
{
    const struct lt_node *n = &p->g->nodes[i];

    if (p->storages[storage].fixed || p->storages[storage].last > i)
        return false;
    for (int k = 0; k < n->n_in; k++)
        if (p->of[n->in[k]] == storage && !(k < 32 && mask >> k & 1) && !lt_op_shape_only(n->op, k))
            return false;
    return true;
}

/* A view may share with what is read only for as long as it lives: the arena's values, and inputs
 * of the run. In a device's layouts, too: where the bytes differ, the device has put a reorder
 * between. */
static int shared_view(const struct place *p, const struct lt_node *n, int o, size_t bytes)
{
    lt_id v = n->out[o];

    if (n->op->cls != LT_OP_VIEW)
        return -1;
    for (int k = 0; k < n->n_in && k < 32; k++) {
        const struct storage *s = &p->storages[p->of[n->in[k]]];

        if (!(n->op->inplace[o] >> k & 1) || s->bytes != bytes)
            continue;
        if (s->region == LT_REGION_ARENA ||
            (s->region == LT_REGION_INPUT && p->last_read[v] < p->g->n_nodes))
            return p->of[n->in[k]];
    }
    return -1;
}

static int overwritten(const struct place *p, int i, int o, size_t bytes)
{
    const struct lt_node *n = &p->g->nodes[i];

    for (int k = 0; k < n->n_in && k < 32; k++) {
        int s = p->of[n->in[k]];
        bool taken = false;

        for (int other = 0; other < o; other++)
            taken |= p->of[n->out[other]] == s;
        if (!taken && n->op->inplace[o] >> k & 1 && p->storages[s].region == LT_REGION_ARENA &&
            p->storages[s].bytes == bytes && free_after(p, s, i, n->op->inplace[o]))
            return s;
    }
    return -1;
}

/* What only a start reads last, and nothing else has a claim on. */
static void find_packed(struct place *p)
{
    const struct lt_graph *g = p->g;

    for (lt_id v = 0; v < g->n_values; v++)
        p->packs[v] = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        p->flat[i] = -1;
        for (int k = 0; !n->dead && n->op->collective == LT_OP_COMM_START && k < n->n_in; k++) {
            const struct lt_value *v = &g->values[n->in[k]];
            const struct lt_node *by = v->node >= 0 ? &g->nodes[v->node] : NULL;
            bool own = by && by->op->cls != LT_OP_VIEW && !by->op->part &&
                       v->alias == LT_NONE && !by->op->updates[v->out];

            if (own && p->packs[n->in[k]] < 0 && p->last_read[n->in[k]] == i)
                p->packs[n->in[k]] = i;
        }
    }
}

static int flat_storage(struct place *p, int start, int node)
{
    lt_id v = p->g->nodes[start].out[0];

    if (p->flat[start] < 0)
        p->flat[start] =
            storage_add(p, LT_REGION_ARENA, 0, p->ask->bytes(p->ask->ctx, p->g, v, p->b), node);
    return p->flat[start];
}

/* Where in the flat form a value is packed. */
static size_t packed_at(const struct place *p, lt_id v)
{
    const struct lt_node *n = &p->g->nodes[p->packs[v]];
    int unit = (int)lt_node_int(n, "unit"), members = p->g->units[unit].n_members, k = 0;

    while (n->in[k] != v)
        k++;
    return (size_t)(k / members) *
               lt_unit_offset(p->g, unit, members, p->b, p->ask->bytes, p->ask->ctx) +
           lt_unit_offset(p->g, unit, k % members, p->b, p->ask->bytes, p->ask->ctx);
}

static void place_output(struct place *p, int i, int o)
{
    const struct lt_node *n = &p->g->nodes[i];
    lt_id v = n->out[o];
    size_t bytes = p->ask->bytes(p->ask->ctx, p->g, v, p->b);
    int storage =
        n->op->updates[o] ? p->of[n->in[n->op->updates[o] - 1]] : shared_view(p, n, o, bytes);

    if (n->op->part) {
        storage = p->of[n->in[0]];
        p->inside[v] = p->inside[n->in[0]] +
                       lt_unit_offset(p->g, (int)lt_node_int(n, "unit"),
                                      (int)lt_node_int(n, "index"), p->b, p->ask->bytes,
                                      p->ask->ctx);
    }
    if (n->op->collective == LT_OP_COMM_START)
        storage = flat_storage(p, i, i);
    if (p->packs[v] >= 0) {
        storage = flat_storage(p, p->packs[v], i);
        p->inside[v] = packed_at(p, v);
    }
    if (storage < 0)
        storage = overwritten(p, i, o, bytes);
    if (storage < 0)
        storage = storage_add(p, LT_REGION_ARENA, 0, bytes, i);
    join(p, v, storage);
    p->storages[storage].last = LT_MAX(p->storages[storage].last, i);
}

/* ---- offsets ---- */

static int by_size(const void *x, const void *y)
{
    const struct storage *a = *(struct storage *const *)x, *b = *(struct storage *const *)y;

    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int by_offset(const void *x, const void *y)
{
    const struct storage *a = *(struct storage *const *)x, *b = *(struct storage *const *)y;

    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static bool together(const struct storage *a, const struct storage *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset of the tightest gap; `lives` are those placed that live at the same time, by
 * offset. */
static size_t best_gap(struct storage **lives, int n, size_t bytes)
{
    size_t at = 0, best = (size_t)-1, slack = (size_t)-1;

    for (int i = 0; i < n; i++) {
        if (lives[i]->offset >= at + bytes && lives[i]->offset - at - bytes < slack) {
            slack = lives[i]->offset - at - bytes;
            best = at;
        }
        at = LT_MAX(at, lives[i]->offset + align_up(lives[i]->bytes));
    }
    return best == (size_t)-1 ? at : best;
}

static size_t assign_offsets(struct place *p)
{
    struct storage **todo = lt_calloc((size_t)p->n_storages + 1, sizeof *todo);
    struct storage **lives = lt_calloc((size_t)p->n_storages + 1, sizeof *lives);
    size_t end = 0;
    int n = 0;

    for (int i = 0; i < p->n_storages; i++)
        if (p->storages[i].region == LT_REGION_ARENA)
            todo[n++] = &p->storages[i];
    qsort(todo, (size_t)n, sizeof *todo, by_size);
    for (int i = 0; i < n; i++) {
        int n_lives = 0;

        for (int k = 0; k < i; k++)
            if (todo[k]->bytes && together(todo[i], todo[k]))
                lives[n_lives++] = todo[k];
        qsort(lives, (size_t)n_lives, sizeof *lives, by_offset);
        todo[i]->offset = best_gap(lives, n_lives, align_up(todo[i]->bytes));
        end = LT_MAX(end, todo[i]->offset + align_up(todo[i]->bytes));
    }
    lt_free(todo);
    lt_free(lives);
    return end;
}

static void write_slots(struct place *p)
{
    for (lt_id v = 0; v < p->g->n_values; v++) {
        const struct storage *s = p->of[v] < 0 ? NULL : &p->storages[p->of[v]];

        if (s)
            p->slots[v] = (struct lt_slot){s->region, s->offset + p->inside[v],
                                           p->ask->bytes(p->ask->ctx, p->g, v, p->b)};
    }
}

int lt_plan_place(const struct lt_graph *g, const struct lt_binding *b,
                  const struct lt_place_ask *ask, struct lt_plan **out, struct lt_error *err)
{
    size_t n = (size_t)g->n_values + 1;
    LT_AUTO(lt_plan_free) struct lt_plan *plan = lt_calloc(1, sizeof *plan);
    struct place p = {.g = g,
                      .ask = ask,
                      .b = b,
                      .storages = lt_calloc(n, sizeof *p.storages),
                      .of = lt_malloc(n * sizeof *p.of),
                      .inside = lt_calloc(n, sizeof *p.inside),
                      .packs = lt_malloc(n * sizeof *p.packs),
                      .flat = lt_malloc(((size_t)g->n_nodes + 1) * sizeof *p.flat),
                      .last_read = lt_malloc(n * sizeof *p.last_read)};
    int rc;

    *plan = (struct lt_plan){.graph = g, .binding = *b, .scratch_bytes = ask->scratch_bytes};
    plan->slots = p.slots = lt_calloc(n, sizeof *p.slots);
    for (size_t v = 0; v < n; v++)
        p.of[v] = -1;
    last_reads(&p);
    find_packed(&p);
    rc = place_outside(&p, err);
    for (int i = 0; !rc && i < g->n_nodes; i++)
        for (int o = 0; !g->nodes[i].dead && o < g->nodes[i].n_out; o++)
            place_output(&p, i, o);
    if (!rc) {
        plan->arena_bytes = assign_offsets(&p);
        write_slots(&p);
        *out = LT_TAKE(plan);
    }
    lt_free(p.storages);
    lt_free(p.of);
    lt_free(p.inside);
    lt_free(p.packs);
    lt_free(p.flat);
    lt_free(p.last_read);
    return rc;
}

void lt_plan_free(struct lt_plan *p)
{
    if (!p)
        return;
    lt_free(p->slots);
    lt_free(p);
}

void lt_plan_print(const struct lt_plan *p, struct lt_buf *out)
{
    static const char *const names[] = {"-", "input", "persistent", "arena", "const"};

    lt_buf_printf(out, "plan %s: arena %zu, scratch %zu\n", p->graph->name, p->arena_bytes,
                  p->scratch_bytes);
    for (lt_id v = 0; v < p->graph->n_values; v++)
        if (p->slots[v].region != LT_REGION_NONE && p->slots[v].region != LT_REGION_CONST)
            lt_buf_printf(out, "  %%%d %s+%zu %zu\n", v, names[p->slots[v].region],
                          p->slots[v].offset, p->slots[v].bytes);
}
