/* plan.h - a graph, bound to numbers and given its place in memory
 *
 * Three regions: PERSISTENT (parameters, buffers, optimiser states, accumulators; shared by all programs of a session),
 * ARENA (everything that lives within one run, by lifetime, with in-place reuse) and INPUT (the caller's pointers).
 * Peak memory is thus a number before anything is allocated.
 *
 * A view (reshape) of an input may itself lie in the INPUT region: same slot, same pointer at every run.
 */
#ifndef LT_GRAPH_PLAN_H
#define LT_GRAPH_PLAN_H

#include "engine/graph/graph.h"

#define LT_ALIGN 128 /* bytes; every offset */

enum lt_region { LT_REGION_NONE, LT_REGION_INPUT, LT_REGION_PERSISTENT, LT_REGION_ARENA, LT_REGION_CONST };

struct lt_slot {
    enum lt_region region;
    size_t offset; /* ARENA, PERSISTENT; INPUT: its index among the graph's inputs, in order of creation */
    size_t bytes;
};

struct lt_plan {
    const struct lt_graph *graph; /* borrowed */
    struct lt_binding binding;
    struct lt_slot *slots; /* one per value */
    size_t arena_bytes;    /* without scratch */
    size_t scratch_bytes;  /* one region behind the arena's values, shared by all nodes */
};

struct lt_device;
/* Bytes of each value in the device's layout, and each node's scratch, are asked through these (engine/device.h). */
struct lt_place_ask {
    void *ctx;
    size_t (*bytes)(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b);
    size_t scratch_bytes;
    /* offset of a persistent value, by name; (size_t)-1: unknown */
    size_t (*persistent)(void *ctx, const char *name);
};
int lt_plan_place(const struct lt_graph *g, const struct lt_binding *b, const struct lt_place_ask *ask,
                  struct lt_plan **out, struct lt_error *err);
void lt_plan_free(struct lt_plan *p);
LT_DEFINE_AUTO(struct lt_plan *, lt_plan_free)
void lt_plan_print(const struct lt_plan *p, struct lt_buf *out);

#endif
