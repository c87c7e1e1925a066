/* collective.c - starts and waits of collectives
 *
 * A start brings the members together where they don't lie so already, and hands the flat form to
 * the comm; the program's run pokes the comm between steps; a wait finishes it. What belongs to one
 * unit (struct flight) is shared by its two nodes.
 */
#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/cpu/program_in.h"

struct pack;

struct lt_flight {
    struct lt_comm *comm;
    const struct pack *pack;
    struct lt_coll coll;
    char *flat;
    struct lt_error failed;
};

/* ---- packing */

struct piece {
    const char *from;
    char *to;
    int64_t bytes, gap; /* gap: zeros behind it, so that nothing unset is ever added */
};

struct pack {
    struct piece *pieces;
    int n;
};

static void pack_fn(const void *args, int64_t begin, int64_t end)
{
    const struct pack *p = args;

    for (int64_t i = begin; i < end; i++) {
        const struct piece *x = &p->pieces[i];

        if (x->from != x->to)
            memcpy(x->to, x->from, (size_t)x->bytes);
    }
}

/* The memory plan had everything computed where it travels. */
static bool is_packed(const void *args)
{
    const struct pack *p = args;

    for (int i = 0; i < p->n; i++)
        if (p->pieces[i].from != p->pieces[i].to)
            return false;
    return true;
}

static size_t value_bytes(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b)
{
    return lt_layout_bytes(ctx, g->values[v].layout, &g->values[v].type, b);
}

static size_t offset_of(const struct lt_build *b, int unit, int member)
{
    return lt_unit_offset(b->g, unit, member, b->b, value_bytes, b->d);
}

static const struct pack *pack_build(struct lt_build *b, int unit)
{
    struct pack *p = lt_build_args(b, sizeof *p);
    int n = b->g->units[unit].n_members;
    size_t slice = offset_of(b, unit, n), total = 0;

    p->pieces = lt_build_args(b, (size_t)b->n->n_in * sizeof *p->pieces);
    p->n = b->n->n_in;
    for (int i = 0; i < b->n->n_in; i++) {
        size_t at = offset_of(b, unit, i % n), next = offset_of(b, unit, i % n + 1),
               bytes = value_bytes(b->d, b->g, b->n->in[i], b->b);

        p->pieces[i].bytes = (int64_t)bytes;
        p->pieces[i].gap = (int64_t)(next - at - bytes);
        lt_build_in(b, i, &p->pieces[i].from);
        lt_build_value(b, b->n->out[0], (size_t)(i / n) * slice + at, &p->pieces[i].to);
        total += bytes;
    }
    lt_build_step(b, "pack", pack_fn, p, b->n->n_in, (double)total / 10);
    lt_build_idle(b, is_packed);
    return p;
}

/* ---- start and wait */

static void start_fn(const void *args, int64_t begin, int64_t end)
{
    struct lt_flight *f = (struct lt_flight *)(uintptr_t)args;

    (void)begin, (void)end;
    for (int i = 0; i < f->pack->n; i++)
        memset(f->pack->pieces[i].to + f->pack->pieces[i].bytes, 0,
               (size_t)f->pack->pieces[i].gap);
    f->coll.one.in = f->coll.one.out = f->flat;
    f->failed.code = 0;
    if (f->comm)
        lt_comm_start(f->comm, &f->coll, &f->failed);
    else
        lt_error_set(&f->failed, -EINVAL, "the session has no communicator");
}

static void wait_fn(const void *args, int64_t begin, int64_t end)
{
    struct lt_flight *f = (struct lt_flight *)(uintptr_t)args;

    (void)begin, (void)end;
    f->failed.code = 0;
    lt_comm_wait(f->comm, &f->coll, &f->failed);
}

static int flight_check(const void *args, struct lt_error *err)
{
    const struct lt_flight *f = args;

    return f->failed.code ? lt_error_set(err, f->failed.code, "%s", f->failed.text) : 0;
}

static int start_build(struct lt_build *b)
{
    int unit = (int)lt_node_int(b->n, "unit");
    const struct lt_unit *u = &b->g->units[unit];
    struct lt_flight *f = lt_build_args(b, sizeof *f);
    size_t slice = offset_of(b, unit, u->n_members);

    f->comm = b->d->comm;
    f->coll.kind = LT_COLL_ALL_REDUCE;
    f->coll.dtype = lt_build_dtype(b, b->n->out[0]);
    f->coll.op = LT_COLL_SUM;
    f->coll.terms = u->slices;
    f->coll.name = lt_build_name_copy(b, u->name);
    f->coll.one.count = slice / lt_dtype_sizes[f->coll.dtype];
    f->coll.one.stride = slice;
    lt_build_out(b, 0, &f->flat);
    b->p->flights[unit] = f;
    f->pack = pack_build(b, unit);
    lt_build_step(b, "all_reduce", start_fn, f, 1, 0);
    lt_build_check(b, flight_check);
    return 0;
}

static int wait_build(struct lt_build *b)
{
    struct lt_flight *f = b->p->flights[lt_node_int(b->n, "unit")];

    if (!f)
        return lt_error_set(b->err, -EINVAL, "nothing to wait for");
    lt_build_step(b, "wait", wait_fn, f, 1, 0);
    lt_build_check(b, flight_check);
    return 0;
}

/* The memory plan has put it where it is. */
static int part_build(struct lt_build *b)
{
    b->p->names[b->node] = lt_strdup("view");
    return 0;
}

/* ---- slices of a batch */

struct slice {
    const char *from;
    char *to;
    int64_t bytes;
};

static void slice_fn(const void *args, int64_t begin, int64_t end)
{
    const struct slice *s = args;

    (void)begin, (void)end;
    memcpy(s->to, s->from, (size_t)s->bytes);
}

static int slice_build(struct lt_build *b)
{
    struct slice *s = lt_build_args(b, sizeof *s);
    int64_t index = lt_node_int(b->n, "index");

    s->bytes = (int64_t)lt_type_bytes(&b->g->values[b->n->out[0]].type, b->b);
    lt_build_value(b, b->n->in[0], (size_t)(index * s->bytes), &s->from);
    lt_build_out(b, 0, &s->to);
    lt_build_step(b, "copy", slice_fn, s, 1, 0);
    return 0;
}

const struct lt_builder lt_builders_collective[] = {{.op = "all_reduce_start", .build = start_build, .any_type = true},
                                                    {.op = "collective_wait", .build = wait_build, .any_type = true},
                                                    {.op = "unit_part", .build = part_build, .any_type = true},
                                                    {.op = "batch_slice", .build = slice_build, .any_type = true},
                                                    {0}};
