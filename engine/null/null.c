/* null.c - the back end that computes nothing: shapes, memory plans and costs of models of any size
 *
 * Collectives are handed to the comm, which counts them (engine/comm/null.c).
 *
 * Regions are address space without memory behind them, so that the plan of a model that fits no
 * machine can be made; what is read from them is zero.
 */
#include <errno.h>
#include <sys/mman.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/device.h"

struct lt_device {
    int programs;
    struct lt_comm *comm; /* NULL: nothing is counted */
};

struct lt_program {
    struct lt_device *device;
    const struct lt_plan *plan;
    const unsigned char *persistent, *arena;
    const void *const *inputs; /* of the last run */
    int64_t runs;
};

static int null_open(const struct lt_device_config *c, struct lt_device **out, struct lt_error *err)
{
    (void)err;
    *out = lt_calloc(1, sizeof **out);
    (*out)->comm = c->comm;
    return 0;
}

static void null_close(struct lt_device *d)
{
    lt_free(d);
}

static int null_prepare(struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                        struct lt_program **out, struct lt_error *err)
{
    (void)g, (void)b, (void)err;
    *out = lt_calloc(1, sizeof **out);
    (*out)->device = d;
    d->programs++;
    return 0;
}

static size_t null_scratch_bytes(const struct lt_program *p)
{
    (void)p;
    return 0;
}

static int null_bind(struct lt_program *p, const struct lt_plan *plan, void *persistent,
                     void *arena, struct lt_error *err)
{
    (void)err;
    p->plan = plan;
    p->persistent = persistent;
    p->arena = arena;
    return 0;
}

static int count_collective(struct lt_program *p, const struct lt_node *n, struct lt_error *err)
{
    const struct lt_graph *g = p->plan->graph;
    const struct lt_type *t = &g->values[n->out[0]].type;
    int64_t slices = lt_node_int(n, "slices"),
            count = lt_type_count(t, &p->plan->binding) / slices;
    struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE,
                        .dtype = t->dtype,
                        .name = n->name,
                        .one = {.count = (size_t)count}};

    k.one.in = k.one.out = (void *)(uintptr_t)(p->arena + p->plan->slots[n->out[0]].offset);
    return lt_comm_run(p->device->comm, &k, err);
}

static int null_run(struct lt_program *p, const void *const *inputs, struct lt_error *err)
{
    const struct lt_graph *g = p->plan->graph;
    int rc = 0;

    p->inputs = inputs;
    p->runs++;
    for (int i = 0; p->device->comm && rc == 0 && i < g->n_nodes; i++)
        if (!g->nodes[i].dead && g->nodes[i].op->collective == LT_OP_COMM_START)
            rc = count_collective(p, &g->nodes[i], err);
    return rc;
}

static void null_program_free(struct lt_program *p)
{
    if (!p)
        return;
    p->device->programs--;
    lt_free(p);
}

static const void *null_value(const struct lt_program *p, lt_id v)
{
    const struct lt_slot *s = &p->plan->slots[v];

    switch (s->region) {
    case LT_REGION_ARENA:
        return p->arena + s->offset;
    case LT_REGION_PERSISTENT:
        return p->persistent + s->offset;
    case LT_REGION_INPUT:
        return p->inputs ? p->inputs[s->offset] : NULL;
    default:
        return NULL;
    }
}

static const char *null_kernel_name(const struct lt_program *p, int node)
{
    (void)p, (void)node;
    return "null";
}

static void *null_alloc(struct lt_device *d, size_t bytes, struct lt_error *err)
{
    void *p = mmap(NULL, LT_MAX(bytes, (size_t)1), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)d;
    if (p != MAP_FAILED)
        return p;
    lt_error_set(err, -ENOMEM, "no room for %zu bytes of addresses", bytes);
    return NULL;
}

static void null_release(struct lt_device *d, void *p, size_t bytes)
{
    (void)d;
    if (p)
        munmap(p, LT_MAX(bytes, (size_t)1));
}

const struct lt_backend lt_backend_null = {
    .name = "null",
    .open = null_open,
    .close = null_close,
    .prepare = null_prepare,
    .scratch_bytes = null_scratch_bytes,
    .bind = null_bind,
    .run = null_run,
    .program_free = null_program_free,
    .value = null_value,
    .kernel_name = null_kernel_name,
    .alloc = null_alloc,
    .release = null_release,
};
