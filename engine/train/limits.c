/* limits.c - counts of batches, epochs and steps from the trainer's fields */
#include "engine/train/limits.h"

#include <inttypes.h>

#include "base/auto.h"
#include "base/problem.h"

static const Lt__V1__Trainer defaults = LT__V1__TRAINER__INIT;

static uint64_t limited(const Lt__V1__BatchLimit *limit, uint64_t have, const char *path,
                        struct lt_problems *problems)
{
    uint64_t n;

    if (!limit || limit->value_case == LT__V1__BATCH_LIMIT__VALUE__NOT_SET)
        return have;
    if (limit->value_case == LT__V1__BATCH_LIMIT__VALUE_COUNT)
        return LT_MIN(limit->count, have);
    n = (uint64_t)((double)have * limit->fraction);
    if (!n && have && limit->fraction > 0)
        lt_problem_add(problems, path, NULL,
                       "%g of %" PRIu64
                       " batches is less than one; the least that runs is %g (1/%" PRIu64 ")",
                       limit->fraction, have, 1.0 / (double)have, have);
    return LT_MIN(n, have);
}

static void epochs_and_steps(struct lt_limits *l, const Lt__V1__Trainer *t)
{
    l->max_epochs = t->has_max_epochs && t->max_epochs >= 0 ? (uint64_t)t->max_epochs : LT_NO_LIMIT;
    l->max_steps = t->max_steps >= 0 ? (uint64_t)t->max_steps : LT_NO_LIMIT;
    l->min_epochs = t->min_epochs;
    l->min_steps = t->min_steps;
    l->max_seconds = t->max_time ? t->max_time->seconds : 0;
    l->accumulate = LT_MAX(t->accumulate_grad_batches, 1);
    l->log_every = t->log_every_n_steps;
}

static void validation(struct lt_limits *l, const Lt__V1__Trainer *t, struct lt_problems *problems)
{
    const Lt__V1__CheckInterval *v = t->val_check_interval;

    l->val_across_epochs = t->check_val_every_n_epoch == 0;
    l->val_every_n_epoch = LT_MAX(t->check_val_every_n_epoch, 1);
    l->val_every = l->train_batches;
    if (!v || v->value_case == LT__V1__CHECK_INTERVAL__VALUE__NOT_SET) {
        l->val_at_epoch_end = true;
    } else if (v->value_case == LT__V1__CHECK_INTERVAL__VALUE_FRACTION) {
        l->val_at_epoch_end = v->fraction == 1.0;
        l->val_every = LT_MAX(1, (uint64_t)((double)l->train_batches * v->fraction));
    } else if (v->value_case == LT__V1__CHECK_INTERVAL__VALUE_COUNT) {
        l->val_every = v->count;
        if (v->count > l->train_batches && !l->val_across_epochs && l->val_batches &&
            l->train_batches)
            lt_problem_add(problems, "trainer.val_check_interval",
                           "give at most the epoch's batches, or check_val_every_n_epoch: 0 to "
                           "count across epochs",
                           "%" PRIu64 " is more than the %" PRIu64 " batches of an epoch", v->count,
                           l->train_batches);
    } else {
        l->val_every = 0;
        l->val_every_seconds = v->time->seconds;
    }
}

static void dev_run(struct lt_limits *l, uint64_t n)
{
    l->fast_dev_run = true;
    l->max_steps = n;
    l->max_epochs = 1;
    l->sanity_batches = 0;
    l->val_every = l->train_batches;
    l->val_every_seconds = 0;
    l->val_at_epoch_end = true;
    l->val_every_n_epoch = 1;
    l->val_across_epochs = false;
    l->log_every = 1;
}

static void batches(struct lt_limits *l, const Lt__V1__Trainer *t,
                    const struct lt_batch_counts *have, struct lt_problems *problems)
{
    Lt__V1__BatchLimit dev = LT__V1__BATCH_LIMIT__INIT;
    const Lt__V1__BatchLimit *train = t->limit_train_batches, *val = t->limit_val_batches,
                             *test = t->limit_test_batches, *predict = t->limit_predict_batches;
    const char *at_train = "trainer.limit_train_batches", *at_val = "trainer.limit_val_batches";

    if (t->fast_dev_run) {
        dev.value_case = LT__V1__BATCH_LIMIT__VALUE_COUNT;
        dev.count = t->fast_dev_run;
        train = val = test = predict = &dev;
    }
    if (t->overfit_batches) {
        train = val = t->overfit_batches;
        at_train = at_val = "trainer.overfit_batches";
        l->sequential = true;
    }
    l->train_batches = limited(train, have->train, at_train, problems);
    l->val_batches = limited(val, have->val, at_val, problems);
    l->test_batches = limited(test, have->test, "trainer.limit_test_batches", problems);
    l->predict_batches = limited(predict, have->predict, "trainer.limit_predict_batches", problems);
}

void lt_limits_init(struct lt_limits *l, const Lt__V1__Trainer *t,
                    const struct lt_batch_counts *have, struct lt_problems *problems)
{
    if (!t)
        t = &defaults;
    *l = (struct lt_limits){0};
    batches(l, t, have, problems);
    epochs_and_steps(l, t);
    validation(l, t, problems);
    l->sanity_batches = t->num_sanity_val_steps < 0
                            ? l->val_batches
                            : LT_MIN((uint64_t)t->num_sanity_val_steps, l->val_batches);
    if (t->fast_dev_run)
        dev_run(l, t->fast_dev_run);
}

uint64_t lt_limits_steps_per_epoch(const struct lt_limits *l)
{
    return (l->train_batches + l->accumulate - 1) / l->accumulate;
}

uint64_t lt_limits_total_steps(const struct lt_limits *l)
{
    uint64_t per_epoch = lt_limits_steps_per_epoch(l), all = LT_NO_LIMIT;

    if (l->max_epochs != LT_NO_LIMIT && __builtin_mul_overflow(per_epoch, l->max_epochs, &all))
        all = LT_NO_LIMIT;
    all = LT_MIN(all, l->max_steps);
    return all == LT_NO_LIMIT ? 0 : all;
}

bool lt_limits_val_epoch(const struct lt_limits *l, uint64_t epoch)
{
    return l->val_batches && (l->val_across_epochs || (epoch + 1) % l->val_every_n_epoch == 0);
}

bool lt_limits_val_due(const struct lt_limits *l, uint64_t epoch, uint64_t batch, uint64_t total)
{
    if (!l->val_every || !lt_limits_val_epoch(l, epoch))
        return false;
    return ((l->val_across_epochs ? total : batch) + 1) % l->val_every == 0;
}

bool lt_limits_steps(const struct lt_limits *l, uint64_t batch)
{
    return (batch + 1) % l->accumulate == 0 || batch + 1 == l->train_batches;
}
