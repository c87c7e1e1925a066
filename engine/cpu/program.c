/* program.c - preparing, binding and running a flat array of steps
 *
 * Addresses are known at bind() for everything but inputs; where an input's address goes is kept in
 * a list that run() walks only over those that changed since the last run. A value that merely is
 * another shape of an input (a reshape) has the input's address and no step.
 */
#include "engine/cpu/program_in.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "sys/clock.h"

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
            lt_dtype_store(g->values[v].type.dtype, &p->constants[v], 0, g->values[v].constant);
    if (g->n_units)
        p->flights = lt_arena_alloc(p->memory, (size_t)g->n_units * sizeof *p->flights);
    inputs_trace(p, g);
    for (int i = 0; i < g->n_nodes; i++) {
        int rc = lt_node_build(p, &build, i);

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

static void fixup_apply(const struct lt_fixup *f, const void *base)
{
    const void *at = base ? (const char *)base + f->offset : NULL;

    if (f->prim)
        lt_prim_set(f->prim, f->arg, at);
    else
        *f->where = at;
}

static const void *address_of(const struct lt_program *p, const struct lt_plan *plan, lt_id v,
                              char *persistent, char *arena)
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

int lt_program_bind(struct lt_program *p, const struct lt_plan *plan, void *persistent, void *arena,
                    struct lt_error *err)
{
    size_t values = (plan->arena_bytes + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    char *scratch = (char *)arena + values;

    if (plan->graph != p->g)
        return lt_error_set(err, -EINVAL, "the memory plan is of another graph");
    if (plan->scratch_bytes < p->scratch)
        return lt_error_set(err, -EINVAL,
                            "the memory plan has %zu bytes of scratch, the program needs %zu",
                            plan->scratch_bytes, p->scratch);
    p->n_inputs = 0; /* bound again when the arena has moved */
    memset(p->last, 0, (size_t)p->n_graph_inputs * sizeof *p->last);
    for (lt_id v = 0; v < p->g->n_values; v++)
        p->address[v] = address_of(p, plan, v, persistent, arena);
    for (int i = 0; i < p->n_fixups; i++) {
        struct lt_fixup f = p->fixups[i];

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
    lt_program_schedule(p, plan);
    return 0;
}

/* ---- running */

static void inputs_set(struct lt_program *p, const void *const *inputs)
{
    for (int i = 0; i < p->n_inputs; i++) {
        const struct lt_fixup *f = &p->inputs[i];

        if (inputs[f->v] != p->last[f->v])
            fixup_apply(f, inputs[f->v]);
    }
    memcpy(p->last, inputs, (size_t)p->n_graph_inputs * sizeof *inputs);
}

static inline void step_run(const struct lt_step *s)
{
    if (s->threads > 1)
        lt_par_run(s->threads, s->fn, s->args, s->units);
    else
        s->fn(s->args, 0, s->units);
}

static void step_run_timed(struct lt_step *s)
{
    uint64_t start = lt_clock_mono_ns(), took;

    step_run(s);
    took = lt_clock_mono_ns() - start;
    s->spent += took;
    s->least = LT_MIN(s->least, took);
}

int lt_program_run(struct lt_program *p, const void *const *inputs, struct lt_error *err)
{
    struct lt_step *end = p->list + p->n_list;

    lt_par_enter(p->max_threads);
    inputs_set(p, inputs);
    p->runs++;
    for (struct lt_step *s = p->list; s < end; s++) {
        if (p->timed)
            step_run_timed(s);
        else
            step_run(s);
        if (s->check) {
            int rc = s->check(s->args, err);

            if (rc < 0)
                return rc;
        }
        if (p->flights) /* what is under way goes on */
            lt_comm_poke(p->d->comm);
    }
    return 0;
}

static void times_print(const struct lt_program *p)
{
    fprintf(stderr, "%10s %10s %2s  kernel (%llu runs)\n", "mean us", "least us", "T",
            (unsigned long long)p->runs);
    for (int i = 0; i < p->n_list; i++) {
        const struct lt_step *s = &p->list[i];
        const struct lt_step_group *g = lt_step_group_of(s);

        fprintf(stderr, "%10.2f %10.2f %2d ", (double)s->spent / (double)p->runs * 1e-3,
                (double)s->least * 1e-3, s->threads);
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
