/* build.c - what builders call, and a node as steps */
#include "engine/cpu/program_in.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/cpu/ops_list.h"

void *lt_build_args(struct lt_build *b, size_t bytes)
{
    return lt_arena_alloc(b->p->memory, bytes ? bytes : 1);
}

const char *lt_build_name_copy(struct lt_build *b, const char *s)
{
    return lt_arena_strdup(b->p->memory, s);
}

void lt_fixup_add(struct lt_program *p, struct lt_fixup f)
{
    LT_GROW(p->fixups, p->n_fixups, p->cap_fixups);
    p->fixups[p->n_fixups++] = f;
}

void lt_build_value(struct lt_build *b, lt_id v, size_t offset, const void *where)
{
    lt_fixup_add(b->p, (struct lt_fixup){
                           .v = v, .offset = offset, .where = (const void **)(uintptr_t)where});
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
    lt_fixup_add(b->p, (struct lt_fixup){.kind = FIX_SCRATCH,
                                         .offset = offset,
                                         .where = (const void **)(uintptr_t)where});
}

static void name_set(struct lt_build *b, const char *prefix, const char *name)
{
    char **at = &b->p->names[b->node];
    char *joined =
        *at ? lt_format("%s + %s%s", *at, prefix, name) : lt_format("%s%s", prefix, name);

    lt_free(*at);
    *at = joined;
}

static void step_add(struct lt_build *b, struct lt_step s, double ns)
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

static const struct lt_kern_table *kern_of(const struct lt_build *b)
{
    return b->real == sizeof(double) ? b->d->kern_f64 : b->d->kern;
}

/* Kernels over no number type are in the first table only. */
static lt_kern_fn *kern_fn(const struct lt_build *b, enum lt_kern_id k)
{
    lt_kern_fn *fn = kern_of(b)->fn[k];

    return fn ? fn : b->d->kern->fn[k];
}

void lt_build_name(struct lt_build *b, enum lt_kern_id k)
{
    char prefix[32];

    snprintf(prefix, sizeof prefix, "%s%s:", b->d->kern->isa,
             b->real == sizeof(double) ? "_f64" : "");
    name_set(b, prefix, lt_kern_names[k]);
}

void lt_build_kernel(struct lt_build *b, enum lt_kern_id k, const void *args, int64_t units,
                     double ns)
{
    lt_build_name(b, k);
    step_add(b, (struct lt_step){.fn = kern_fn(b, k), .args = args, .units = units}, ns);
}

void lt_build_step(struct lt_build *b, const char *name, lt_kern_fn *fn, const void *args,
                   int64_t units, double ns)
{
    name_set(b, "", name);
    step_add(b, (struct lt_step){.fn = fn, .args = args, .units = units}, ns);
}

void lt_build_check(struct lt_build *b, lt_step_check *check)
{
    if (b->p->n_steps)
        b->p->steps[b->p->n_steps - 1].check = check;
}

void lt_build_idle(struct lt_build *b, bool (*idle)(const void *args))
{
    if (b->p->n_steps && b->p->steps[b->p->n_steps - 1].node == b->node)
        b->p->steps[b->p->n_steps - 1].idle = idle;
}

static struct lt_step *last_step(const struct lt_build *b)
{
    const struct lt_program *p = b->p;

    return p->n_steps && p->steps[p->n_steps - 1].node == b->node ? &p->steps[p->n_steps - 1]
                                                                  : NULL;
}

void lt_build_sliced(struct lt_build *b, int64_t samples, int64_t chunk)
{
    struct lt_step *s = last_step(b);

    if (!s)
        return;
    s->samples = samples;
    s->chunk = chunk;
}

void lt_build_deferred(struct lt_build *b)
{
    struct lt_step *s = last_step(b);

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

    if (!p->n_steps || p->steps[p->n_steps - 1].fn != kern_fn(b, k))
        return NULL;
    return (void *)(uintptr_t)p->steps[p->n_steps - 1].args;
}

void lt_build_grow(struct lt_build *b, int64_t units, double ns)
{
    struct lt_step *s = &b->p->steps[b->p->n_steps - 1];
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
    b->d->primitives++;
}

void lt_build_prim_value(struct lt_build *b, struct lt_prim *p, enum lt_prim_arg a, lt_id v,
                         size_t offset)
{
    lt_fixup_add(b->p, (struct lt_fixup){.v = v, .offset = offset, .prim = p, .arg = a});
}

void lt_build_prim_scratch(struct lt_build *b, struct lt_prim *p, enum lt_prim_arg a, size_t offset)
{
    lt_fixup_add(b->p,
                 (struct lt_fixup){.kind = FIX_SCRATCH, .offset = offset, .prim = p, .arg = a});
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
    step_add(b, (struct lt_step){.fn = prim_fn, .args = p, .units = 1}, 0);
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

static bool copy_is_idle(const void *args)
{
    const struct copy *c = args;

    return c->from && c->from == c->to;
}

void lt_build_copy(struct lt_build *b, lt_id from, lt_id to, size_t bytes)
{
    struct copy *c = lt_build_args(b, sizeof *c);

    c->bytes = (int64_t)bytes;
    lt_build_value(b, from, 0, &c->from);
    lt_build_value(b, to, 0, &c->to);
    lt_build_step(b, "copy", copy_fn, c, lt_pieces(c->bytes, COPY_UNIT), (double)bytes / 20);
    lt_build_idle(b, copy_is_idle);
}

int lt_build_dims(const struct lt_build *b, lt_id v, int64_t *dims)
{
    return lt_value_dims(b->g, b->b, v, dims);
}

int64_t lt_build_count(const struct lt_build *b, lt_id v)
{
    return lt_value_count(b->g, b->b, v);
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

static lt_id operand(const struct lt_node *n, int i)
{
    return i < n->n_in ? n->in[i] : n->out[i - n->n_in];
}

/* Kernels read and write tensors of one number type; class numbers, masks, indices and float64 scalars are where their
 * operators want them. */
static bool types_fit(const struct lt_graph *g, const struct lt_node *n, const struct lt_builder *b)
{
    bool seen[LT_DTYPE_N] = {false};

    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const struct lt_type *t = &g->values[operand(n, i)].type;

        if (t->ndim || t->dtype != LT_F64)
            seen[t->dtype] = true;
    }
    if (seen[LT_F16] || (seen[LT_F64] && seen[LT_F32]))
        return false;
    return seen[LT_BF16] ? !seen[LT_F64] && b->low && b->low(g, n) : true;
}

/* Sums over ranks are float64 beside float32 tensors, too. */
static bool over_float64(const struct lt_graph *g, const struct lt_node *n)
{
    bool any = false;

    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const struct lt_type *t = &g->values[operand(n, i)].type;

        if (t->dtype == LT_F32 && t->ndim)
            return false;
        any |= t->dtype == LT_F64 && t->ndim;
    }
    return any;
}

const struct lt_builder *lt_builder_find(const struct lt_graph *g, const struct lt_node *n)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(tables); i++)
        for (const struct lt_builder *b = tables[i]; b->op; b++)
            if (!strcmp(b->op, n->op->name))
                return (b->fits ? b->fits(g, n) : b->any_type || types_fit(g, n, b)) ? b : NULL;
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

/* ---- a node */

int lt_node_build(struct lt_program *p, struct lt_build *b, int i)
{
    const struct lt_node *n = &b->g->nodes[i];
    const struct lt_builder *builder = lt_builder_find(b->g, n);
    int rc = 0;

    b->node = i;
    b->n = n;
    b->real = over_float64(b->g, n) ? sizeof(double) : sizeof(float);
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
