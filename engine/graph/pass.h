/* pass.h - compilation is a list of small passes, each graph → graph
 *
 * import → simplify → autodiff → update → simplify → recompute → precision → parallel → fuse; then,
 * per device and batch size, the device's `lower`, order, and place (plan.h). No pass changes
 * results beyond rounding, and the same graph gives the same text on every machine.
 * lt_graph_check() runs after each in debug builds.
 */
#ifndef LT_GRAPH_PASS_H
#define LT_GRAPH_PASS_H

#include "engine/graph/graph.h"
#include "lt/v1/plan.pb-c.h"

struct lt_buf;

struct lt_pass_context {
    const Lt__V1__TrainingPlan
        *plan;       /* of whom `update` takes optimiser and clipping; may be NULL without it */
    bool accumulate; /* gradients live in ACCUM values across micro-batches */
    bool update;     /* the program ends with the optimiser's update */
    /* Ranks (passes/parallel.c); all 0 with one. */
    int world, slices;   /* slices: the global batch in so many parts, added in order; 0: it isn't */
    bool reduce_sums;    /* the program's sums are those of all ranks: all but micro-batches' */
    bool sync_batchnorm; /* statistics over all ranks' samples */
    int exchange;        /* numbers that ranks add up at each such program; 0: none */
    size_t bucket_bytes; /* of gradients in one collective; 0: DDP's */
};

struct lt_pass {
    const char *name;
    int (*run)(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
};
extern const struct lt_pass *const lt_passes[]; /* in order; NULL-ended */

int lt_pass_simplify(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
int lt_pass_autodiff(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
int lt_pass_update(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
int lt_pass_recompute(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
int lt_pass_precision(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
int lt_pass_parallel(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);
int lt_pass_fuse(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err);

/* All of lt_passes. dump (may be NULL) gets the graph's text before the first and after each. */
int lt_passes_run(struct lt_graph *g, const struct lt_pass_context *c, struct lt_buf *dump,
                  struct lt_error *err);

/* Order for low peak memory at a binding; keeps the given one where that isn't worse. */
int lt_graph_order(struct lt_graph *g, const struct lt_binding *b, struct lt_error *err);

#endif
