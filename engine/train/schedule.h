/* schedule.h - the learning rate of each update, as torch.optim.lr_scheduler gives it
 *
 * A schedule is a chain: rate k+1 comes from rate k by the scheduler's own recurrence (its
 * `get_lr`), so the rates are torch's to the last bit. The only state is how often it was stepped;
 * everything else follows from the plan.
 */
#ifndef LT_TRAIN_SCHEDULE_H
#define LT_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include "lt/v1/plan.pb-c.h"

struct lt_schedule {
    const Lt__V1__LrScheduler *plan; /* NULL: constant */
    double base;                     /* the optimiser's lr */
    double lr;                       /* of the next update */
    uint64_t count;                  /* times stepped */
    bool by_step;                    /* interval */
    uint64_t frequency;
};

/* At its start (count 0). Borrows the plan. */
void lt_schedule_init(struct lt_schedule *s, const Lt__V1__Optimizer *optimizer,
                      const Lt__V1__LrScheduler *plan);
void lt_schedule_step(struct lt_schedule *s);
/* As after `count` steps from the start. */
void lt_schedule_seek(struct lt_schedule *s, uint64_t count);

/* What the plan's optimiser says, without defaults spread over the code. */
double lt_optimizer_lr(const Lt__V1__Optimizer *o);
const char *lt_optimizer_class(const Lt__V1__Optimizer *o); /* "SGD", "Adam", "AdamW" */
double lt_optimizer_momentum(const Lt__V1__Optimizer *o);   /* SGD's momentum, Adam's beta1 */
double lt_optimizer_weight_decay(const Lt__V1__Optimizer *o);

#endif
