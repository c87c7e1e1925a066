/* schedule.c - ConstantLR, StepLR and CosineAnnealingLR as recurrences
 *
 * torch computes rates by chaining, not by the closed forms, and the two differ in the last bits; e
 * below is torch's last_epoch, the count of steps.
 */
#include "engine/train/schedule.h"

#include <math.h>

static double constant_lr(const struct lt_schedule *s, uint64_t e)
{
    const Lt__V1__ConstantLr *c = s->plan->constant;
    double factor =
        c->has_factor ? c->factor : 1.0 / 3; /* protobuf-c prints defaults with 15 digits */

    if (e == 0)
        return s->lr * factor;
    return e == c->total_iters ? s->lr * (1.0 / factor) : s->lr;
}

static double step_lr(const struct lt_schedule *s, uint64_t e)
{
    const Lt__V1__StepLr *c = s->plan->step;

    return e == 0 || e % c->step_size != 0 ? s->lr : s->lr * c->gamma;
}

static double cosine_lr(const struct lt_schedule *s, uint64_t e)
{
    const Lt__V1__CosineAnnealing *c = s->plan->cosine_annealing;
    double t = (double)c->t_max, last = (double)e;

    if (e == 0)
        return s->lr;
    /* (e - 1 - T_max) is a multiple of 2 T_max, in Python's sense: the recurrence would divide by
     * zero. */
    if (e > c->t_max && (e - 1 - c->t_max) % (2 * c->t_max) == 0)
        return s->lr + (s->base - c->eta_min) * (1 - cos(M_PI / t)) / 2;
    return (1 + cos(M_PI * last / t)) / (1 + cos(M_PI * (last - 1) / t)) * (s->lr - c->eta_min) +
           c->eta_min;
}

static double chain(const struct lt_schedule *s, uint64_t e)
{
    if (!s->plan)
        return s->lr;
    switch (s->plan->scheduler_case) {
    case LT__V1__LR_SCHEDULER__SCHEDULER_CONSTANT:
        return constant_lr(s, e);
    case LT__V1__LR_SCHEDULER__SCHEDULER_STEP:
        return step_lr(s, e);
    case LT__V1__LR_SCHEDULER__SCHEDULER_COSINE_ANNEALING:
        return cosine_lr(s, e);
    default:
        return s->lr;
    }
}

static void cadence(struct lt_schedule *s, Lt__V1__Interval interval, uint64_t frequency)
{
    s->by_step = interval == LT__V1__INTERVAL__step;
    s->frequency = frequency;
}

void lt_schedule_init(struct lt_schedule *s, const Lt__V1__Optimizer *optimizer,
                      const Lt__V1__LrScheduler *plan)
{
    *s = (struct lt_schedule){.plan = plan, .base = lt_optimizer_lr(optimizer), .frequency = 1};
    if (plan && plan->scheduler_case == LT__V1__LR_SCHEDULER__SCHEDULER_CONSTANT)
        cadence(s, plan->constant->interval, plan->constant->frequency);
    if (plan && plan->scheduler_case == LT__V1__LR_SCHEDULER__SCHEDULER_STEP)
        cadence(s, plan->step->interval, plan->step->frequency);
    if (plan && plan->scheduler_case == LT__V1__LR_SCHEDULER__SCHEDULER_COSINE_ANNEALING)
        cadence(s, plan->cosine_annealing->interval, plan->cosine_annealing->frequency);
    s->lr = s->base;
    s->lr = chain(s, 0);
}

void lt_schedule_step(struct lt_schedule *s)
{
    s->lr = chain(s, ++s->count);
}

void lt_schedule_seek(struct lt_schedule *s, uint64_t count)
{
    s->count = 0;
    s->lr = s->base;
    s->lr = chain(s, 0);
    while (s->count < count)
        lt_schedule_step(s);
}

double lt_optimizer_lr(const Lt__V1__Optimizer *o)
{
    return o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_SGD    ? o->sgd->lr
           : o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_ADAM ? o->adam->lr
                                                                    : o->adamw->lr;
}

const char *lt_optimizer_class(const Lt__V1__Optimizer *o)
{
    return o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_SGD    ? "SGD"
           : o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_ADAM ? "Adam"
                                                                    : "AdamW";
}

double lt_optimizer_momentum(const Lt__V1__Optimizer *o)
{
    if (o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_SGD)
        return o->sgd->momentum;
    if (o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_ADAM)
        return o->adam->n_betas ? o->adam->betas[0] : 0.9;
    return o->adamw->n_betas ? o->adamw->betas[0] : 0.9;
}

double lt_optimizer_weight_decay(const Lt__V1__Optimizer *o)
{
    return o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_SGD    ? o->sgd->weight_decay
           : o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_ADAM ? o->adam->weight_decay
                                                                    : o->adamw->weight_decay;
}
