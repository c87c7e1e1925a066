/* parallel.h - what the parts of the parallel pass share */
#ifndef LT_GRAPH_PASSES_PARALLEL_H
#define LT_GRAPH_PASSES_PARALLEL_H

#include "engine/graph/pass.h"

struct lt_parallel {
    struct lt_graph *g;
    const struct lt_pass_context *c;
    struct lt_error *err;
    int target; /* slices of this rank; 1 where the batch isn't sliced */
    int local;  /* of them there already: 1, and target behind lt_parallel_unroll() */
    /* Value of slice s that stands for value v of slice 0: copy[s][v]; the same one where slices
     * share it. Of the first n_copied values. */
    lt_id **copy;
    int n_copied;
    int rc; /* first failure; adding stops there */
};

/* First output of a new node; LT_NONE once anything failed. */
lt_id lt_parallel_apply(struct lt_parallel *p, const char *op, const char *name, const lt_id *in,
                        int n_in, const struct lt_attr *attrs, int n_attrs);
/* v as slice s has it. */
lt_id lt_parallel_in_slice(const struct lt_parallel *p, lt_id v, int s);
/* The sums of n values over all slices of all ranks, as one unit: out[i] is what values[i] of slice
 * 0 becomes. */
void lt_parallel_reduce(struct lt_parallel *p, const char *name, const lt_id *values, int n,
                        lt_id *out);

/* The model's part once for each of this rank's slices (parallel_slices.c). */
void lt_parallel_unroll(struct lt_parallel *p);
/* Batch norms over the samples of all slices (parallel_norm.c). */
void lt_parallel_norms(struct lt_parallel *p);

#endif
