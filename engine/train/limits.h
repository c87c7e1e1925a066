/* limits.h - what the trainer's fields mean for data of a given length
 *
 * All counts are resolved here, once; the loop only compares numbers. Pure.
 */
#ifndef LT_TRAIN_LIMITS_H
#define LT_TRAIN_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include "lt/v1/plan.pb-c.h"

struct lt_problems;

#define LT_NO_LIMIT UINT64_MAX

struct lt_limits {
    uint64_t train_batches, val_batches, test_batches,
        predict_batches; /* of an epoch, limits applied */
    uint64_t sanity_batches;
    uint64_t max_epochs, max_steps; /* LT_NO_LIMIT */
    uint64_t min_epochs, min_steps;
    double max_seconds; /* 0: none */
    uint64_t accumulate;
    uint64_t val_every;       /* batches; 0: not by count */
    double val_every_seconds; /* 0: not by time */
    bool val_across_epochs;   /* val_every counts over epochs */
    uint64_t val_every_n_epoch;
    bool val_at_epoch_end;         /* val_check_interval is 1.0, the default */
    uint64_t log_every;            /* 0: never */
    bool fast_dev_run, sequential; /* sequential: overfitting, no shuffling */
};

/* Batches of each split without limits. Problems with their plan paths. */
struct lt_batch_counts {
    uint64_t train, val, test, predict;
};
void lt_limits_init(struct lt_limits *l, const Lt__V1__Trainer *trainer,
                    const struct lt_batch_counts *have, struct lt_problems *problems);

uint64_t lt_limits_steps_per_epoch(const struct lt_limits *l);
uint64_t lt_limits_total_steps(const struct lt_limits *l); /* 0: unknown */
/* Is validation due after batch `batch` (0-based within the epoch), the `total`-th (0-based) of the
 * run? By count alone. */
bool lt_limits_val_due(const struct lt_limits *l, uint64_t epoch, uint64_t batch, uint64_t total);
bool lt_limits_val_epoch(const struct lt_limits *l, uint64_t epoch);
/* Does an update follow this batch? */
bool lt_limits_steps(const struct lt_limits *l, uint64_t batch);

#endif
