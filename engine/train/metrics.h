/* metrics.h - what a plan measures, where it is added up, and under which names it is logged
 *
 * Each quantity (the loss, then the plan's metrics) is added as (sum, weight) pairs in double: over
 * the open accumulation window, over the epoch, over a validation run. Names follow Lightning:
 * <stage>_<name>, forked into _step and _epoch when both are asked for. The schema is known before
 * anything runs. Pure.
 */
#ifndef LT_TRAIN_METRICS_H
#define LT_TRAIN_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include "lt/v1/plan.pb-c.h"

#define LT_QUANTITIES_MAX 32

enum lt_stage_kind { LT_TRAIN_STAGE, LT_VAL_STAGE, LT_TEST_STAGE, LT_STAGE_KINDS };

struct lt_sum {
    double sum,
        weight; /* mean: Σ value·weight, Σ weight; others: the reduced value, and how many */
};

struct lt_quantity {
    const char *name;           /* "loss", "acc" */
    char *out_sum, *out_weight; /* the session's outputs */
    Lt__V1__Reduce reduce;
    bool on_step[LT_STAGE_KINDS], on_epoch[LT_STAGE_KINDS], logger, prog_bar;
    char *step_key[LT_STAGE_KINDS], *epoch_key[LT_STAGE_KINDS],
        *bare_key[LT_STAGE_KINDS]; /* NULL: none of this kind */
};

struct lt_metrics {
    struct lt_quantity q[LT_QUANTITIES_MAX];
    int n;
};

void lt_metrics_init(struct lt_metrics *m, const Lt__V1__Step *step);
void lt_metrics_done(struct lt_metrics *m);
/* One batch's sum and weight into an accumulator. */
void lt_sum_add(struct lt_sum *s, Lt__V1__Reduce reduce, double sum, double weight);
/* The batches of one accumulator into another. */
void lt_sum_merge(struct lt_sum *s, Lt__V1__Reduce reduce, const struct lt_sum *more);
double lt_sum_value(const struct lt_sum *s, Lt__V1__Reduce reduce); /* NaN when nothing was added */

/* The newest value of everything that callbacks and file names may ask for. */
struct lt_value_entry {
    const char *name; /* borrowed from the schema */
    double value;
    uint64_t x;
    uint64_t version; /* counts settings of this name; 0: never set */
};
struct lt_values {
    struct lt_value_entry items[4 * LT_QUANTITIES_MAX];
    int n;
};
/* As it was set in an earlier run; a name that isn't declared is left out. */
void lt_values_restore(struct lt_values *v, const struct lt_value_entry *e);
/* A name that may be set later; nothing when it is there. */
void lt_values_declare(struct lt_values *v, const char *name);
void lt_values_set(struct lt_values *v, const char *name, double value, uint64_t x);
const struct lt_value_entry *lt_values_find(const struct lt_values *v,
                                            const char *name); /* NULL: never set */
const struct lt_value_entry *lt_values_declared(const struct lt_values *v,
                                                const char *name); /* NULL: no such name */

#endif
