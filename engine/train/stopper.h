/* stopper.h - has a metric stopped improving? Lightning's EarlyStopping, without its hooks
 *
 * Shared by the callback of training jobs and by the recorder of command jobs. Order of a check:
 * finite, stopping threshold, divergence threshold, improvement, patience. The wish to stop is
 * computed anew at every check. Pure.
 */
#ifndef LT_TRAIN_STOPPER_H
#define LT_TRAIN_STOPPER_H

#include <stdbool.h>
#include <stdint.h>
#include "lt/v1/plan.pb-c.h"

struct lt_stopper {
    const Lt__V1__EarlyStopping *c; /* borrowed */
    uint64_t wait;                  /* checks since the best one */
    double best;
    double gain; /* of the last improvement; not finite: it was the first value */
    bool stop;
    char reason[240]; /* for people, when it stops */
};

void lt_stopper_init(struct lt_stopper *s, const Lt__V1__EarlyStopping *c);
/* Looks at one value; true: it is the best so far. */
bool lt_stopper_check(struct lt_stopper *s, double v);

#endif
