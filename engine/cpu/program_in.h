/* program_in.h - what the files of a program share: steps, and where addresses go */
#ifndef LT_CPU_PROGRAM_IN_H
#define LT_CPU_PROGRAM_IN_H

#include "engine/cpu/program.h"

struct lt_arena;
struct lt_flight;

struct lt_step {
    lt_kern_fn *fn;
    const void *args;
    int64_t units;
    int threads;
    lt_step_check *check;
    bool (*idle)(const void *args); /* nothing to do, once addresses are known; NULL: there is */
    double ns;
    int node;
    int64_t samples, chunk; /* of a step that can run in pieces of the batch; 0 */
    bool deferred;
    bool gathered; /* writes to scratch only; a deferred step makes the node's outputs of it */
    uint64_t spent, least; /* ns; with LT_CPU_TIMES only */
};

/* Steps that run piece by piece: what one makes of a piece is still in the cache when the next
 * reads it. */
struct lt_step_group {
    const struct lt_step **steps;
    int n_steps;
    int64_t samples, chunk;
};

enum lt_fixup_kind { FIX_VALUE, FIX_SCRATCH };

struct lt_fixup {
    enum lt_fixup_kind kind;
    lt_id v;
    size_t offset;
    const void **where; /* or: */
    struct lt_prim *prim;
    enum lt_prim_arg arg;
};

struct lt_program {
    struct lt_device *d;
    const struct lt_graph *g;
    struct lt_arena *memory;
    struct lt_step *steps; /* as built, in the order of the nodes */
    int n_steps, cap_steps;
    struct lt_step *list; /* as run: without copies in place, some joined to groups */
    int n_list;
    struct lt_fixup *fixups;
    int n_fixups, cap_fixups;
    struct lt_fixup *inputs; /* those of FIX_VALUE that are inputs, sorted as they came; v is the
                                input's index */
    int n_inputs, cap_inputs;
    struct lt_prim **prims;
    int n_prims, cap_prims;
    char **names;            /* per node */
    const char **node_names; /* copies, in memory */
    int n_nodes;
    size_t scratch;
    int max_threads;
    int *input_of;        /* per value: index of the input that it is, or -1 */
    double *constants;    /* per value; each holds the constant in its dtype */
    const void **address; /* per value, after bind */
    const void **last;    /* inputs of the last run */
    int n_graph_inputs;
    struct lt_flight **flights; /* per unit: its collective (ops/collective.c); NULL: none */
    bool timed; /* LT_CPU_TIMES is set: the steps' times go to stderr at the end */
    uint64_t runs;
};

void lt_fixup_add(struct lt_program *p, struct lt_fixup f);
/* One node as steps; the reference kernel where the device allows it. */
int lt_node_build(struct lt_program *p, struct lt_build *b, int node);
/* The list that run() walks, for this memory plan (schedule.c). */
void lt_program_schedule(struct lt_program *p, const struct lt_plan *plan);
/* The group that a step of the list is; NULL: it is a plain one. */
const struct lt_step_group *lt_step_group_of(const struct lt_step *s);

#endif
