/* ref.c - the oracle: every node on its operator's reference kernel, one after the other, plain layouts
 *
 * Slow on purpose. Other back ends are tested against it; a job runs on it only where its plan says so.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/device.h"
#include "engine/ops/unit.h"

struct lt_device {
    int programs;
    struct lt_comm *comm; /* NULL: one rank */
};

struct step {
    struct lt_kernel_args args;
    struct lt_operand *operands; /* inputs, then outputs */
};

struct lt_program {
    struct lt_device *device;
    const struct lt_graph *graph;
    struct lt_binding binding;
    void **addresses;  /* one per value */
    const struct lt_plan *plan;
    double *constants; /* 8 bytes each, in the value's dtype */
    struct step *steps; /* one per node; dead ones are empty */
};

static int ref_open(const struct lt_device_config *c, struct lt_device **out, struct lt_error *err)
{
    (void)err;
    *out = lt_calloc(1, sizeof **out);
    (*out)->comm = c->comm;
    return 0;
}

static void ref_close(struct lt_device *d)
{
    lt_free(d);
}

static struct lt_operand operand_of(const struct lt_program *p, lt_id v)
{
    const struct lt_type *t = &p->graph->values[v].type;
    struct lt_operand o = {.dtype = t->dtype, .ndim = t->ndim, .count = lt_type_count(t, &p->binding)};

    for (int i = 0; i < t->ndim; i++)
        o.dim[i] = lt_dim_value(t->dim[i], &p->binding);
    return o;
}

static void prepare_step(struct lt_program *p, int node)
{
    const struct lt_node *n = &p->graph->nodes[node];
    struct step *s = &p->steps[node];

    s->operands = lt_calloc((size_t)(n->n_in + n->n_out), sizeof *s->operands);
    for (int i = 0; i < n->n_in; i++)
        s->operands[i] = operand_of(p, n->in[i]);
    for (int i = 0; i < n->n_out; i++)
        s->operands[n->n_in + i] = operand_of(p, n->out[i]);
    s->args = (struct lt_kernel_args){
        .node = n, .n_in = n->n_in, .n_out = n->n_out, .in = s->operands, .out = s->operands + n->n_in};
}

static int ref_prepare(struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                       struct lt_program **out, struct lt_error *err)
{
    struct lt_program *p = lt_calloc(1, sizeof *p);

    (void)err;
    p->device = d;
    p->graph = g;
    p->binding = *b;
    p->addresses = lt_calloc((size_t)g->n_values + 1, sizeof *p->addresses);
    p->constants = lt_calloc((size_t)g->n_values + 1, sizeof *p->constants);
    p->steps = lt_calloc((size_t)g->n_nodes + 1, sizeof *p->steps);
    for (lt_id v = 0; v < g->n_values; v++)
        if (g->values[v].kind == LT_VALUE_CONST)
            lt_dtype_store(g->values[v].type.dtype, &p->constants[v], 0, g->values[v].constant);
    for (int i = 0; i < g->n_nodes; i++)
        if (!g->nodes[i].dead)
            prepare_step(p, i);
    d->programs++;
    *out = p;
    return 0;
}

static size_t ref_scratch_bytes(const struct lt_program *p)
{
    (void)p;
    return 0;
}

static void point_steps(struct lt_program *p)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct lt_node *n = &p->graph->nodes[i];

        for (int j = 0; !n->dead && j < n->n_in + n->n_out; j++)
            p->steps[i].operands[j].data = p->addresses[j < n->n_in ? n->in[j] : n->out[j - n->n_in]];
    }
}

static int ref_bind(struct lt_program *p, const struct lt_plan *plan, void *persistent, void *arena,
                    struct lt_error *err)
{
    (void)err;
    p->plan = plan;
    for (lt_id v = 0; v < p->graph->n_values; v++) {
        const struct lt_slot *s = &plan->slots[v];

        if (s->region == LT_REGION_PERSISTENT)
            p->addresses[v] = (char *)persistent + s->offset;
        else if (s->region == LT_REGION_ARENA)
            p->addresses[v] = (char *)arena + s->offset;
        else if (s->region == LT_REGION_CONST)
            p->addresses[v] = &p->constants[v];
    }
    return 0;
}

/* Collectives are over when their start returns. */
static int reduce(struct lt_program *p, const struct lt_kernel_args *k, struct lt_error *err)
{
    int64_t slices = lt_node_int(k->node, "slices"), count = k->out[0].count / slices;
    struct lt_coll coll = {.kind = LT_COLL_ALL_REDUCE,
                           .dtype = k->out[0].dtype,
                           .terms = (int)slices,
                           .name = k->node->name,
                           .one = {.in = k->out[0].data,
                                   .out = k->out[0].data,
                                   .count = (size_t)count,
                                   .stride = (size_t)count * lt_dtype_sizes[k->out[0].dtype]}};

    lt_unit_pack(k, err);
    return lt_comm_run(p->device->comm, &coll, err);
}

static int ref_run(struct lt_program *p, const void *const *inputs, struct lt_error *err)
{
    for (lt_id v = 0; v < p->graph->n_values; v++) /* inputs and views of them; read only: no operator updates an input */
        if (p->plan->slots[v].region == LT_REGION_INPUT)
            p->addresses[v] = (void *)(uintptr_t)inputs[p->plan->slots[v].offset];
    point_steps(p);
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct lt_node *n = &p->graph->nodes[i];
        bool travels = n->op->collective == LT_OP_COMM_START && p->device->comm;
        int rc = n->dead   ? 0
                 : travels ? reduce(p, &p->steps[i].args, err)
                           : n->op->ref(&p->steps[i].args, err);

        if (rc) {
            lt_error_prefix(err, "%s", n->name ? n->name : n->op->name);
            return rc;
        }
    }
    return 0;
}

static void ref_program_free(struct lt_program *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->graph->n_nodes; i++)
        lt_free(p->steps[i].operands);
    p->device->programs--;
    lt_free(p->addresses);
    lt_free(p->constants);
    lt_free(p->steps);
    lt_free(p);
}

static const void *ref_value(const struct lt_program *p, lt_id v)
{
    return p->addresses[v];
}

static const char *ref_kernel_name(const struct lt_program *p, int node)
{
    (void)p, (void)node;
    return "ref";
}

static void *ref_alloc(struct lt_device *d, size_t bytes, struct lt_error *err)
{
    void *p = mmap(NULL, LT_MAX(bytes, (size_t)1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    (void)d;
    if (p != MAP_FAILED)
        return p;
    lt_error_set(err, -ENOMEM, "out of memory: no room for %zu bytes", bytes);
    return NULL;
}

static void ref_release(struct lt_device *d, void *p, size_t bytes)
{
    (void)d;
    if (p)
        munmap(p, LT_MAX(bytes, (size_t)1));
}

const struct lt_backend lt_backend_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .prepare = ref_prepare,
    .scratch_bytes = ref_scratch_bytes,
    .bind = ref_bind,
    .run = ref_run,
    .program_free = ref_program_free,
    .value = ref_value,
    .kernel_name = ref_kernel_name,
    .alloc = ref_alloc,
    .release = ref_release,
};
