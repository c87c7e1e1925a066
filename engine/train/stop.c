/* stop.c - when does an epoch, and when does fit end?
 *
 * A callback's wish to stop is asked for anew each time, never remembered: a metric that recovers
 * while min_epochs or min_steps hold the stop off is heard. Only when nothing will look at it again
 * does the journal learn of the stop.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/train/trainer.h"

uint64_t lt_trainer_x(const struct lt_trainer *t)
{
    bool stepped = t->pos.batch && lt_limits_steps(&t->limits, t->pos.batch - 1);

    return stepped && t->pos.step ? t->pos.step - 1 : t->pos.step;
}

const char *lt_trainer_stop_wish(const struct lt_trainer *t, const char **monitor)
{
    *monitor = NULL;
    for (int i = 0; i < t->n_callbacks; i++) {
        const struct lt_callback *type = t->callbacks[i].type;
        const char *why = type->wants_stop ? type->wants_stop(t->callbacks[i].self, monitor) : NULL;

        if (why)
            return why;
    }
    *monitor = NULL;
    return t->stop_time ? "max_time is over" : NULL;
}

static void put_early_stop(struct lt_trainer *t, const char *why, const char *monitor)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__EarlyStopped e = LT__V1__EARLY_STOPPED__INIT;

    if (t->early)
        return;
    t->early = true;
    snprintf(t->stop_reason, sizeof t->stop_reason, "%s", why);
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_EARLY_STOPPED;
    r.early_stopped = &e;
    e.reason = t->stop_reason;
    e.monitor = (char *)(uintptr_t)monitor;
    e.has_step = true;
    e.step = t->pos.step;
    if (monitor)
        lt_journal_put(t->c, &r, false, NULL);
    lt_trainer_say(t, "stopping early at step %" PRIu64 ": %s", t->pos.step, why);
}

bool lt_trainer_stops(struct lt_trainer *t)
{
    const char *monitor, *why = lt_trainer_stop_wish(t, &monitor);

    if (!why)
        return false;
    if (t->pos.epoch >= t->limits.min_epochs && t->pos.step >= t->limits.min_steps)
        return true;
    if (!t->vetoed)
        lt_trainer_say(t,
                       "training continues although %s: min_epochs %" PRIu64 ", min_steps %" PRIu64,
                       why, t->limits.min_epochs, t->limits.min_steps);
    t->vetoed = true;
    return false;
}

/* The same, and it is final: nothing will look at the metric again. */
static bool stops_now(struct lt_trainer *t)
{
    const char *monitor, *why = lt_trainer_stop_wish(t, &monitor);

    if (!lt_trainer_stops(t))
        return false;
    put_early_stop(t, why, monitor);
    return true;
}

static bool steps_done(const struct lt_trainer *t)
{
    return t->pos.step >= t->limits.max_steps;
}

bool lt_trainer_fit_done(struct lt_trainer *t)
{
    const char *why = NULL;

    if (!t->limits.train_batches)
        why = "no training batches";
    else if (t->pos.epoch >= t->limits.max_epochs)
        why = "max_epochs reached";
    else if (steps_done(t))
        why = "max_steps reached";
    else if (stops_now(t))
        why = t->stop_reason;
    if (!why)
        return false;
    snprintf(t->result->reason, sizeof t->result->reason, "%s", why);
    return true;
}

/* What follows a batch whose validation, if any, is over. */
void lt_trainer_after_batch(struct lt_trainer *t)
{
    bool over = t->pos.batch == t->limits.train_batches || steps_done(t) || stops_now(t);

    t->pos.stage = over ? LT_STAGE_EPOCH_END : LT_STAGE_TRAIN;
}
