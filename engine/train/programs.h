/* programs.h - the session's programs with their inputs and outputs looked up once
 *
 * A run is then: a few pointers into an array, the program, a few numbers out of another. No names.
 */
#ifndef LT_TRAIN_PROGRAMS_H
#define LT_TRAIN_PROGRAMS_H

#include "engine/data/loader.h"
#include "engine/session/session.h"
#include "engine/train/metrics.h"

struct lt_error;

struct lt_bound {
    enum lt_program_kind kind;
    const struct lt_data *data;
    enum lt_split_kind split; /* of the batches it is given */
    const void **in;          /* by the program's input number */
    int field_at[LT_DIMS_MAX], n_fields;
    int weight_at, sample_at, rng_at, lr_at, opt_at, exchange_at; /* -1: not used */
    int sum_out[LT_QUANTITIES_MAX], weight_out[LT_QUANTITIES_MAX];
    int skipped_out, norm_out, exchange_out; /* -1 */
    int *slice_out; /* micro-batches in slices: sum, weight of each quantity of each slice; NULL */
};

/* Scalars that programs read. */
struct lt_step_inputs {
    int64_t rng_step, opt_step;
    double lr;
    const double *exchange; /* what this rank brings; NULL where programs take none */
};

/* slices: of one rank, where its micro-batches give each slice's sums apart; else 1.
 * -EINVAL: an output of a metric is missing (a mistake in the session). */
int lt_bound_init(struct lt_bound *b, struct lt_session *s, enum lt_program_kind kind,
                  enum lt_split_kind split, const struct lt_data *data, const struct lt_metrics *m,
                  int slices, struct lt_error *err);
void lt_bound_done(struct lt_bound *b);
/* -EDOM (a label the model has no class for, met while training): err then names file and sample.
 */
int lt_bound_run(struct lt_bound *b, struct lt_session *s, const struct lt_batch *batch,
                 const struct lt_step_inputs *in, struct lt_error *err);

#endif
