/* program.c - from nodes to a flat array of steps, and running it
 *
 * Addresses are known at bind() for everything but inputs; where an input's address goes is kept in a list that
 * run() walks only over those that changed since the last run. A value that merely is another shape of an input
 * (a reshape) has the input's address and no step.
 */
#include "engine/cpu/program.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/cpu/ops_list.h"
#include "sys/clock.h"

struct step {
    lt_kern_fn *fn;
    const void *args;
    int64_t units;
    int threads;
    lt_step_check *check;
    double ns;
    int node;
    int64_t samples, chunk; /* of a step that can run in pieces of the batch; 0 */
    bool deferred;
    bool gathered; /* writes to scratch only; a deferred step makes the node's outputs of it */
    uint64_t spent, least; /* ns; with LT_CPU_TIMES only */
};

/* Steps that run piece by piece: what one makes of a piece is still in the cache when the next reads it. */
struct group {
    const struct step **steps;
    int n_steps;
    int64_t samples, chunk;
};

enum fixup_kind { FIX_VALUE, FIX_SCRATCH };

struct fixup {
    enum fixup_kind kind;
    lt_id v;
    size_t offset;
    const void **where;    /* or: */
    struct lt_prim *prim;
    enum lt_prim_arg arg;
};

struct lt_program {
    struct lt_device *d;
    const struct lt_graph *g;
    struct lt_arena *memory;
    struct step *steps; /* as built, in the order of the nodes */
    int n_steps, cap_steps;
    struct step *list;  /* as run: without copies in place, some joined to groups */
    int n_list;
    struct fixup *fixups;
    int n_fixups, cap_fixups;
    struct fixup *inputs; /* those of FIX_VALUE that are inputs, sorted as they came; v is the input's index */
    int n_inputs, cap_inputs;
    struct lt_prim **prims;
    int n_prims, cap_prims;
    char **names;           /* per node */
    const char **node_names; /* copies, in memory */
    int n_nodes;
    size_t scratch;
    int max_threads;
    int *input_of;          /* per value: index of the input that it is, or -1 */
    double *constants;      /* per value; each holds the constant in its dtype */
    const void **address;   /* per value, after bind */
    const void **last;      /* inputs of the last run */
    int n_graph_inputs;
    bool timed; /* LT_CPU_TIMES is set: the steps' times go to stderr at the end */
    uint64_t runs;
};

/* ---- building */

void *lt_build_args(struct lt_build *b, size_t bytes)
{
    return lt_arena_alloc(b->p->memory, bytes ? bytes : 1);
}

static void fixup_add(struct lt_program *p, struct fixup f)
{
    LT_GROW(p->fixups, p->n_fixups, p->cap_fixups);
    p->fixups[p->n_fixups++] = f;
}

void lt_build_value(struct lt_build *b, lt_id v, size_t offset, const void *where)
{
    fixup_add(b->p, (struct fixup){.v = v, .offset = offset, .where = (const void **)(uintptr_t)where});
}

void lt_build_in(struct lt_build *b, int i, const void *where)
{
    lt_build_value(b, b->n->in[i], 0, where);
}

void lt_build_out(struct lt_build *b, int i, const void *where)
{
    lt_build_value(b, b->n->out[i], 0, where);
}

size_t lt_build_scratch(struct lt_build *b, size_t bytes)
{
    size_t at = b->scratch;

    b->scratch += (bytes + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    b->p->scratch = LT_MAX(b->p->scratch, b->scratch);
    return at;
}

void lt_build_at_scratch(struct lt_build *b, size_t offset, const void *where)
{
    fixup_add(b->p, (struct fixup){
                        .kind = FIX_SCRATCH, .offset = offset, .where = (const void **)(uintptr_t)where});
}

static void name_set(struct lt_build *b, const char *prefix, const char *name)
{
    char **at = &b->p->names[b->node];
    char *joined = *at ? lt_format("%s + %s%s", *at, prefix, name) : lt_format("%s%s", prefix, name);

    lt_free(*at);
    *at = joined;
}

static void step_add(struct lt_build *b, struct step s, double ns)
{
    struct lt_program *p = b->p;

    if (!s.units)
        return;
    s.ns = ns;
    s.node = b->node;
    s.least = UINT64_MAX;
    s.threads = lt_cpu_threads(b->d, ns);
    s.threads = s.units < s.threads ? (int)s.units : s.threads;
    p->max_threads = LT_MAX(p->max_threads, s.threads);
    LT_GROW(p->steps, p->n_steps, p->cap_steps);
    p->steps[p->n_steps++] = s;
}

void lt_build_name(struct lt_build *b, enum lt_kern_id k)
{
    char prefix[24];

    snprintf(prefix, sizeof prefix, "%s:", b->d->kern->isa);
    name_set(b, prefix, lt_kern_names[k]);
}

void lt_build_kernel(struct lt_build *b, enum lt_kern_id k, const void *args, int64_t units, double ns)
{
    lt_build_name(b, k);
    step_add(b, (struct step){.fn = b->d->kern->fn[k], .args = args, .units = units}, ns);
}

void lt_build_step(struct lt_build *b, const char *name, lt_kern_fn *fn, const void *args, int64_t units, double ns)
{
    name_set(b, "", name);
    step_add(b, (struct step){.fn = fn, .args = args, .units = units}, ns);
}

void lt_build_check(struct lt_build *b, lt_step_check *check)
{
    if (b->p->n_steps)
        b->p->steps[b->p->n_steps - 1].check = check;
}

static struct step *last_step(const struct lt_build *b)
{
    const struct lt_program *p = b->p;

    return p->n_steps && p->steps[p->n_steps - 1].node == b->node ? &p->steps[p->n_steps - 1] : NULL;
}

void lt_build_sliced(struct lt_build *b, int64_t samples, int64_t chunk)
{
    struct step *s = last_step(b);

    if (!s)
        return;
    s->samples = samples;
    s->chunk = chunk;
}

void lt_build_deferred(struct lt_build *b)
{
    struct step *s = last_step(b);

    if (!s)
        return;
    s->deferred = true;
    for (int i = b->p->n_steps - 1; i >= 0 && b->p->steps[i].node == b->node; i--)
        b->p->steps[i].gathered = true;
}

int lt_build_thread_of(const struct lt_build *b, int64_t i, int64_t n)
{
    int t = 0;

    while (n * (t + 1) / b->d->threads <= i)
        t++;
    return t;
}

void *lt_build_last(struct lt_build *b, enum lt_kern_id k)
{
    struct lt_program *p = b->p;

    if (!p->n_steps || p->steps[p->n_steps - 1].fn != b->d->kern->fn[k])
        return NULL;
    return (void *)(uintptr_t)p->steps[p->n_steps - 1].args;
}

void lt_build_grow(struct lt_build *b, int64_t units, double ns)
{
    struct step *s = &b->p->steps[b->p->n_steps - 1];
    int threads;

    s->units += units;
    s->ns += ns;
    threads = lt_cpu_threads(b->d, s->ns);
    s->threads = s->units < threads ? (int)s->units : threads;
}

void lt_build_prim(struct lt_build *b, struct lt_prim *prim)
{
    struct lt_program *p = b->p;

    LT_GROW(p->prims, p->n_prims, p->cap_prims);
    p->prims[p->n_prims++] = prim;
}

void lt_build_prim_value(struct lt_build *b, struct lt_prim *p, enum lt_prim_arg a, lt_id v, size_t offset)
{
    fixup_add(b->p, (struct fixup){.v = v, .offset = offset, .prim = p, .arg = a});
}

void lt_build_prim_scratch(struct lt_build *b, struct lt_prim *p, enum lt_prim_arg a, size_t offset)
{
    fixup_add(b->p, (struct fixup){.kind = FIX_SCRATCH, .offset = offset, .prim = p, .arg = a});
}

static void prim_fn(const void *args, int64_t begin, int64_t end)
{
    (void)begin;
    (void)end;
    lt_prim_run(args);
}

void lt_build_prim_step(struct lt_build *b, struct lt_prim *p)
{
    name_set(b, "onednn:", lt_prim_impl(p));
    if (lt_prim_scratch(p))
        lt_build_prim_scratch(b, p, LT_PRIM_SCRATCH, lt_build_scratch(b, lt_prim_scratch(p)));
    step_add(b, (struct step){.fn = prim_fn, .args = p, .units = 1}, 0);
}

struct copy {
    const char *from;
    char *to;
    int64_t bytes;
};

#define COPY_UNIT 65536

static void copy_fn(const void *args, int64_t begin, int64_t end)
{
    const struct copy *c = args;
    int64_t at = begin * COPY_UNIT, stop = LT_MIN(end * COPY_UNIT, c->bytes);

    memcpy(c->to + at, c->from + at, (size_t)(stop - at));
}

void lt_build_copy(struct lt_build *b, lt_id from, lt_id to, size_t bytes)
{
    struct copy *c = lt_build_args(b, sizeof *c);

    c->bytes = (int64_t)bytes;
    lt_build_value(b, from, 0, &c->from);
    lt_build_value(b, to, 0, &c->to);
    lt_build_step(b, "copy", copy_fn, c, lt_pieces(c->bytes, COPY_UNIT), (double)bytes / 20);
}

int lt_build_dims(const struct lt_build *b, lt_id v, int64_t *dims)
{
    return lt_value_dims(b->g, b->b, v, dims);
}

int64_t lt_build_count(const struct lt_build *b, lt_id v)
{
    return lt_value_count(b->g, b->b, v);
}

int lt_cpu_threads(const struct lt_device *d, double ns)
{
    return ns > 4000 ? d->threads : 1;
}

/* ---- builders */

#define X(name) extern const struct lt_builder lt_builders_##name[];
LT_CPU_OPS
#undef X

static const struct lt_builder *const tables[] = {
#define X(name) lt_builders_##name,
    LT_CPU_OPS
#undef X
};

const struct lt_builder *lt_builder_find(const char *op)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(tables); i++)
        for (const struct lt_builder *b = tables[i]; b->op; b++)
            if (!strcmp(b->op, op))
                return b;
    return NULL;
}

/* ---- the reference kernel as a step, when the plan allows it */

struct reference {
    struct lt_kernel_args k;
    struct lt_operand in[LT_NODE_IN_MAX], out[LT_NODE_OUT_MAX];
    struct lt_error *failed;
};

static void reference_fn(const void *args, int64_t begin, int64_t end)
{
    const struct reference *r = args;

    (void)begin;
    (void)end;
    r->failed->code = 0;
    r->k.node->op->ref(&r->k, r->failed);
}

static int reference_check(const void *args, struct lt_error *err)
{
    const struct reference *r = args;

    return r->failed->code ? lt_error_set(err, r->failed->code, "%s", r->failed->text) : 0;
}

static void reference_operand(struct lt_build *b, lt_id v, struct lt_operand *o)
{
    o->dtype = lt_build_dtype(b, v);
    o->ndim = lt_build_dims(b, v, o->dim);
    o->count = lt_build_count(b, v);
    lt_build_value(b, v, 0, &o->data);
}

static void reference_build(struct lt_build *b)
{
    struct reference *r = lt_build_args(b, sizeof *r);

    r->failed = lt_build_args(b, sizeof *r->failed);
    r->k = (struct lt_kernel_args){b->n, b->n->n_in, b->n->n_out, r->in, r->out};
    for (int i = 0; i < b->n->n_in; i++)
        reference_operand(b, b->n->in[i], &r->in[i]);
    for (int i = 0; i < b->n->n_out; i++)
        reference_operand(b, b->n->out[i], &r->out[i]);
    lt_build_step(b, "ref", reference_fn, r, 1, 0);
    lt_build_check(b, reference_check);
}

/* ---- preparing */

/* Which values are inputs under another shape. */
static void inputs_trace(struct lt_program *p, const struct lt_graph *g)
{
    p->input_of = lt_malloc(((size_t)g->n_values + 1) * sizeof *p->input_of);
    for (lt_id v = 0; v < g->n_values; v++)
        p->input_of[v] = g->values[v].kind == LT_VALUE_INPUT ? p->n_graph_inputs++ : -1;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];

        if (!n->dead && !strcmp(n->op->name, "reshape") &&
            g->values[n->in[0]].layout == g->values[n->out[0]].layout)
            p->input_of[n->out[0]] = p->input_of[n->in[0]];
    }
    p->last = lt_calloc((size_t)p->n_graph_inputs + 1, sizeof *p->last);
}

static void constant_store(enum lt_dtype t, double c, void *to)
{
    switch (t) {
    case LT_F64:
        *(double *)to = c;
        break;
    case LT_I32:
        *(int32_t *)to = (int32_t)c;
        break;
    case LT_I64:
        *(int64_t *)to = (int64_t)c;
        break;
    case LT_U8:
    case LT_BOOL:
        *(uint8_t *)to = (uint8_t)c;
        break;
    default:
        *(float *)to = (float)c;
    }
}

static int node_build(struct lt_program *p, struct lt_build *b, int i)
{
    const struct lt_node *n = &b->g->nodes[i];
    const struct lt_builder *builder = lt_builder_find(n->op->name);
    int rc = 0;

    b->node = i;
    b->n = n;
    if (!p->n_steps || !(p->steps[p->n_steps - 1].samples || p->steps[p->n_steps - 1].deferred))
        b->scratch = 0; /* steps that may become one group don't share scratch */
    if (n->dead)
        return 0;
    if (!strcmp(n->op->name, "reshape") && p->input_of[n->out[0]] >= 0) {
        p->names[i] = lt_strdup("view");
        return 0;
    }
    if (builder)
        rc = builder->build(b);
    else if (b->d->allow_reference && n->op->ref)
        reference_build(b);
    else
        rc = lt_error_set(b->err, -ENOTSUP, "the cpu back end has no kernel");
    if (rc < 0)
        return lt_error_prefix(b->err, "%s (%s)", n->name, n->op->name);
    if (p->names[i])
        lt_map_set(b->d->chosen, n->name, lt_strdup(p->names[i]));
    return 0;
}

int lt_program_prepare(struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                       struct lt_program **out, struct lt_error *err)
{
    LT_AUTO(lt_program_free) struct lt_program *p = lt_calloc(1, sizeof *p);
    struct lt_build build = {.d = d, .g = g, .b = b, .p = p, .err = err};

    p->d = d;
    p->g = g;
    p->max_threads = d->threads; /* oneDNN's primitives may use them all */
    p->memory = lt_arena_new(0);
    p->n_nodes = g->n_nodes;
    p->names = lt_calloc((size_t)g->n_nodes + 1, sizeof *p->names);
    p->node_names = lt_arena_alloc(p->memory, ((size_t)g->n_nodes + 1) * sizeof *p->node_names);
    for (int i = 0; i < g->n_nodes; i++)
        p->node_names[i] = lt_arena_strdup(p->memory, g->nodes[i].name);
    p->timed = getenv("LT_CPU_TIMES") != NULL;
    p->constants = lt_calloc((size_t)g->n_values + 1, sizeof *p->constants);
    p->address = lt_calloc((size_t)g->n_values + 1, sizeof *p->address);
    for (lt_id v = 0; v < g->n_values; v++)
        if (g->values[v].kind == LT_VALUE_CONST)
            constant_store(g->values[v].type.dtype, g->values[v].constant, &p->constants[v]);
    inputs_trace(p, g);
    for (int i = 0; i < g->n_nodes; i++) {
        int rc = node_build(p, &build, i);

        if (rc < 0)
            return rc;
    }
    *out = LT_TAKE(p);
    return 0;
}

size_t lt_program_scratch(const struct lt_program *p)
{
    return p->scratch;
}

/* ---- binding */

static void fixup_apply(const struct fixup *f, const void *base)
{
    const void *at = base ? (const char *)base + f->offset : NULL;

    if (f->prim)
        lt_prim_set(f->prim, f->arg, at);
    else
        *f->where = at;
}

static const void *address_of(const struct lt_program *p, const struct lt_plan *plan, lt_id v, char *persistent,
                              char *arena)
{
    const struct lt_slot *s = &plan->slots[v];

    if (p->g->values[v].kind == LT_VALUE_CONST)
        return &p->constants[v];
    switch (s->region) {
    case LT_REGION_PERSISTENT:
        return persistent + s->offset;
    case LT_REGION_ARENA:
        return arena + s->offset;
    default:
        return NULL;
    }
}

static void group_fn(const void *args, int64_t begin, int64_t end)
{
    const struct group *g = args;

    for (int64_t piece = begin; piece < end; piece++) {
        int64_t from = piece * g->chunk, to = LT_MIN(from + g->chunk, g->samples);

        for (int i = 0; i < g->n_steps; i++) {
            const struct step *s = g->steps[i];
            int64_t per = s->units / g->samples; /* 0, or the units aren't whole samples': one a piece */

            if (s->units == g->samples * per)
                s->fn(s->args, from * per, to * per);
            else
                s->fn(s->args, piece, piece + 1);
        }
    }
}

static bool overlap(const struct lt_plan *plan, lt_id a, lt_id b)
{
    const struct lt_slot *x = &plan->slots[a], *y = &plan->slots[b];

    if (a == b || x->region != LT_REGION_ARENA || y->region != LT_REGION_ARENA)
        return false;
    return x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
}

static lt_id operand(const struct lt_node *n, int i)
{
    return i < n->n_in ? n->in[i] : n->out[i - n->n_in];
}

static int operands(const struct lt_node *n, const struct step *s)
{
    return n->n_in + (s->gathered ? 0 : n->n_out);
}

/* The memory plan thinks of one step after the other. Piece by piece, no operand of one may lie on another's. */
static bool steps_clash(const struct lt_graph *g, const struct lt_plan *plan, const struct step *one,
                        const struct step *other)
{
    const struct lt_node *a = &g->nodes[one->node], *b = &g->nodes[other->node];

    for (int i = 0; i < operands(a, one); i++)
        for (int k = 0; k < operands(b, other); k++)
            if (overlap(plan, operand(a, i), operand(b, k)))
                return true;
    return false;
}

/* Does the step read what a deferred one will only write at the group's end? */
static bool reads_deferred(const struct lt_graph *g, const struct step *s, const struct step *d)
{
    const struct lt_node *n = &g->nodes[s->node], *from = &g->nodes[d->node];

    for (int i = 0; d->deferred && i < n->n_in; i++)
        for (int o = 0; o < from->n_out; o++)
            if (n->in[i] == from->out[o])
                return true;
    return false;
}

/* How many steps from `first` on can be one group (deferred ones among them). */
static int group_reach(const struct lt_program *p, const struct lt_plan *plan, int first)
{
    const struct step *s = &p->steps[first];
    int end = first + 1;

    for (; end < p->n_steps; end++) {
        const struct step *next = &p->steps[end];

        if (next->deferred)
            continue;
        if (next->samples != s->samples || next->chunk != s->chunk)
            break;
        for (int i = first; i < end; i++)
            if (steps_clash(p->g, plan, &p->steps[i], next) || reads_deferred(p->g, next, &p->steps[i]))
                return end;
    }
    return end;
}

static void list_add(struct lt_program *p, const struct step *s)
{
    const struct copy *c = s->args;

    if (s->fn == copy_fn && c->from && c->from == c->to)
        return; /* within one place */
    p->list[p->n_list++] = *s;
}

static void list_add_group(struct lt_program *p, int first, int end)
{
    struct group *g = lt_arena_alloc(p->memory, sizeof *g);
    struct step s = p->steps[first];

    g->steps = lt_arena_alloc(p->memory, (size_t)(end - first) * sizeof(struct step *));
    g->samples = s.samples;
    g->chunk = s.chunk;
    s.ns = 0;
    for (int i = first; i < end; i++)
        if (!p->steps[i].deferred) {
            g->steps[g->n_steps++] = &p->steps[i];
            s.ns += p->steps[i].ns;
        }
    s.fn = group_fn;
    s.args = g;
    s.units = lt_pieces(g->samples, g->chunk);
    s.threads = LT_MIN(lt_cpu_threads(p->d, s.ns), (int)s.units);
    s.check = NULL;
    list_add(p, &s);
    for (int i = first; i < end; i++)
        if (p->steps[i].deferred)
            list_add(p, &p->steps[i]);
}

static void list_make(struct lt_program *p, const struct lt_plan *plan)
{
    lt_free(p->list);
    p->list = lt_calloc((size_t)p->n_steps + 1, sizeof *p->list);
    p->n_list = 0;
    for (int i = 0; i < p->n_steps;) {
        int end = p->steps[i].samples ? group_reach(p, plan, i) : i + 1, sliced = 0;

        for (int k = i; k < end; k++)
            sliced += !p->steps[k].deferred;
        if (sliced > 1)
            list_add_group(p, i, end);
        for (; i < end; i++)
            if (sliced < 2)
                list_add(p, &p->steps[i]);
    }
}

int lt_program_bind(struct lt_program *p, const struct lt_plan *plan, void *persistent, void *arena,
                    struct lt_error *err)
{
    size_t values = (plan->arena_bytes + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    char *scratch = (char *)arena + values;

    if (plan->graph != p->g)
        return lt_error_set(err, -EINVAL, "the memory plan is of another graph");
    if (plan->scratch_bytes < p->scratch)
        return lt_error_set(err, -EINVAL, "the memory plan has %zu bytes of scratch, the program needs %zu",
                            plan->scratch_bytes, p->scratch);
    p->n_inputs = 0; /* bound again when the arena has moved */
    memset(p->last, 0, (size_t)p->n_graph_inputs * sizeof *p->last);
    for (lt_id v = 0; v < p->g->n_values; v++)
        p->address[v] = address_of(p, plan, v, persistent, arena);
    for (int i = 0; i < p->n_fixups; i++) {
        struct fixup f = p->fixups[i];

        if (f.kind == FIX_SCRATCH) {
            fixup_apply(&f, scratch);
        } else if (p->input_of[f.v] >= 0) {
            f.v = p->input_of[f.v];
            LT_GROW(p->inputs, p->n_inputs, p->cap_inputs);
            p->inputs[p->n_inputs++] = f;
        } else {
            fixup_apply(&f, p->address[f.v]);
        }
    }
    list_make(p, plan);
    return 0;
}

/* ---- running */

static void inputs_set(struct lt_program *p, const void *const *inputs)
{
    for (int i = 0; i < p->n_inputs; i++) {
        const struct fixup *f = &p->inputs[i];

        if (inputs[f->v] != p->last[f->v])
            fixup_apply(f, inputs[f->v]);
    }
    memcpy(p->last, inputs, (size_t)p->n_graph_inputs * sizeof *inputs);
}

static inline void step_run(const struct step *s)
{
    if (s->threads > 1)
        lt_par_run(s->threads, s->fn, s->args, s->units);
    else
        s->fn(s->args, 0, s->units);
}

static void step_run_timed(struct step *s)
{
    uint64_t start = lt_clock_mono_ns(), took;

    step_run(s);
    took = lt_clock_mono_ns() - start;
    s->spent += took;
    s->least = LT_MIN(s->least, took);
}

int lt_program_run(struct lt_program *p, const void *const *inputs, struct lt_error *err)
{
    struct step *end = p->list + p->n_list;

    lt_par_enter(p->max_threads);
    inputs_set(p, inputs);
    p->runs++;
    for (struct step *s = p->list; s < end; s++) {
        if (p->timed)
            step_run_timed(s);
        else
            step_run(s);
        if (s->check) {
            int rc = s->check(s->args, err);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static void times_print(const struct lt_program *p)
{
    fprintf(stderr, "%10s %10s %2s  kernel (%llu runs)\n", "mean us", "least us", "T", (unsigned long long)p->runs);
    for (int i = 0; i < p->n_list; i++) {
        const struct step *s = &p->list[i];
        const struct group *g = s->fn == group_fn ? s->args : NULL;

        fprintf(stderr, "%10.2f %10.2f %2d ", (double)s->spent / (double)p->runs * 1e-3, (double)s->least * 1e-3,
                s->threads);
        for (int k = 0; k < (g ? g->n_steps : 1); k++) {
            int node = g ? g->steps[k]->node : s->node;

            fprintf(stderr, "%s %s: %s", k ? " |" : "", p->node_names[node], p->names[node]);
        }
        fputc('\n', stderr);
    }
}

void lt_program_free(struct lt_program *p)
{
    if (!p)
        return;
    if (p->timed && p->runs)
        times_print(p);
    for (int i = 0; i < p->n_prims; i++)
        lt_prim_free(p->prims[i]);
    for (int i = 0; i < p->n_nodes; i++)
        lt_free(p->names[i]);
    lt_free(p->names);
    lt_free(p->prims);
    lt_free(p->steps);
    lt_free(p->list);
    lt_free(p->fixups);
    lt_free(p->inputs);
    lt_free(p->input_of);
    lt_free(p->constants);
    lt_free(p->address);
    lt_free(p->last);
    lt_arena_free(p->memory);
    lt_free(p);
}

const void *lt_program_value(const struct lt_program *p, lt_id v)
{
    return p->input_of[v] >= 0 ? p->last[p->input_of[v]] : p->address[v];
}

const char *lt_program_kernel_name(const struct lt_program *p, int node)
{
    return p->names[node] ? p->names[node] : "none";
}
