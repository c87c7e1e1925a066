/* null.c - the back end that computes nothing: shapes, memory plans and costs of models of any size
 *
 * Regions are address space without memory behind them, so that the plan of a model that fits no
 * machine can be made; what is read from them is zero.
 */
#include <errno.h>
#include <sys/mman.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/device.h"

struct lt_device {
    int programs;
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
    (void)c, (void)err;
    *out = lt_calloc(1, sizeof **out);
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

static int null_run(struct lt_program *p, const void *const *inputs, struct lt_error *err)
{
    (void)err;
    p->inputs = inputs;
    p->runs++;
    return 0;
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
