/* loop.c - the stages of fit, one unit of work each
 *
 *   EPOCH_START → TRAIN ⟲ → [VALIDATE ⟲ → TRAIN] → … → EPOCH_END → EPOCH_START
 *
 * A unit leaves the position at what comes next, so that the state between two units says
 * everything and a run that starts there does what this one would have done. Order within a unit
 * follows Lightning (docs/trainer.md).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"
#include "sys/rss.h"

const char *const lt_stage_names[LT_STAGE_N] = {"epoch_start", "train", "validate", "epoch_end"};

static void clear(struct lt_sum *sums)
{
    memset(sums, 0, LT_QUANTITIES_MAX * sizeof *sums);
}

static int epoch_start(struct lt_trainer *t, struct lt_error *err)
{
    if (lt_trainer_fit_done(t)) {
        t->done = true;
        return 0;
    }
    clear(t->epoch);
    clear(t->window);
    t->epoch_loss = (struct lt_sum){0, 0};
    t->epoch_ns = t->now_ns;
    t->epoch_step = t->pos.step;
    t->pos.batch = 0;
    t->pos.stage = LT_STAGE_TRAIN;
    if (t->c->page)
        atomic_store_explicit(&t->c->page->epoch, t->pos.epoch, memory_order_relaxed);
    return lt_trainer_hook(t, LT_HOOK_EPOCH_START, false, false, err);
}

void lt_trainer_add(struct lt_trainer *t, int i, double sum, double weight)
{
    lt_sum_add(&t->window[i], t->metrics.q[i].reduce, sum, weight);
}

/* What a batch adds; with several ranks a micro-batch's waits for the update's exchange. */
static void add_batch(struct lt_trainer *t, const struct lt_bound *b)
{
    if (t->ranks.many && b == &t->micro) {
        lt_ranks_hold(t, b);
        return;
    }
    lt_ranks_take(t, b);
    for (int i = 0; i < t->metrics.n; i++)
        lt_trainer_add(t, i, lt_session_scalar(t->session, b->sum_out[i]),
                       lt_session_scalar(t->session, b->weight_out[i]));
}

/* What a window whose update counted adds to the epoch, and to the epoch's line. */
static void add_window(struct lt_trainer *t)
{
    for (int i = 0; i < t->metrics.n; i++)
        lt_sum_merge(&t->epoch[i], t->metrics.q[i].reduce, &t->window[i]);
    lt_sum_merge(&t->epoch_loss, LT__V1__REDUCE__mean, &t->window[0]);
}

static void step_schedule(struct lt_trainer *t, bool skipped)
{
    bool last = t->pos.batch == t->limits.train_batches;

    if (t->schedule.by_step && !skipped && t->pos.batch % t->schedule.frequency == 0)
        lt_schedule_step(&t->schedule);
    if (!t->schedule.by_step && last && (t->pos.epoch + 1) % t->schedule.frequency == 0)
        lt_schedule_step(&t->schedule);
}

static bool log_due(const struct lt_trainer *t, uint64_t step)
{
    return t->limits.log_every && step % t->limits.log_every == 0;
}

/* Values of the window that just closed; logged when due. */
static int step_values(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_recorded values[LT_QUANTITIES_MAX];
    const char *monitor;
    int n = 0;

    for (int i = 0; i < t->metrics.n; i++) {
        const struct lt_quantity *q = &t->metrics.q[i];

        if (!q->step_key[LT_TRAIN_STAGE])
            continue;
        values[n] = (struct lt_recorded){q->step_key[LT_TRAIN_STAGE],
                                         lt_sum_value(&t->window[i], q->reduce), q->logger};
        lt_values_set(&t->values, values[n].name, values[n].value, t->pos.step - 1);
        if (q->bare_key[LT_TRAIN_STAGE])
            lt_values_set(&t->values, q->bare_key[LT_TRAIN_STAGE], values[n].value,
                          t->pos.step - 1);
        n++;
    }
    if (!log_due(t, t->pos.step) && !(t->limits.log_every && lt_trainer_stop_wish(t, &monitor)))
        return 0;
    return lt_trainer_record(t, t->pos.step - 1, values, n, err);
}

static void update_page(struct lt_trainer *t)
{
    struct lt_page *p = t->c->page;
    uint64_t now, bits;
    double loss;

    if (!p)
        return;
    now = lt_clock_mono_ns();
    if (t->last_step_ns) {
        uint64_t took = now - t->last_step_ns;

        t->step_ns = t->step_ns ? t->step_ns - t->step_ns / 16 + took / 16 : took;
    }
    t->last_step_ns = now;
    if (!atomic_load_explicit(&p->first_step_ns, memory_order_relaxed))
        atomic_store_explicit(&p->first_step_ns, now, memory_order_relaxed);
    loss = lt_sum_value(&t->window[0], LT__V1__REDUCE__mean);
    memcpy(&bits, &loss, sizeof bits);
    atomic_store_explicit(&p->step, t->pos.step, memory_order_relaxed);
    atomic_store_explicit(&p->batch, t->pos.batch, memory_order_relaxed);
    atomic_store_explicit(&p->step_ns, t->step_ns, memory_order_relaxed);
    atomic_store_explicit(&p->loss_bits, bits, memory_order_relaxed);
}

/* Told after the first update, and at every epoch's end. */
void lt_trainer_measure_memory(struct lt_trainer *t)
{
    uint64_t rss;

    t->measured = true;
    if (t->c->page && lt_rss_of(0, &rss) == 0)
        atomic_store_explicit(&t->c->page->memory_bytes, rss, memory_order_relaxed);
}

static bool val_due(struct lt_trainer *t)
{
    const struct lt_limits *l = &t->limits;

    if (!lt_limits_val_epoch(l, t->pos.epoch))
        return false;
    if (lt_limits_val_due(l, t->pos.epoch, t->pos.batch - 1, t->pos.total_batches - 1) ||
        lt_trainer_stops(t))
        return true;
    return l->val_every_seconds > 0 && (lt_ranks_clock(t) & LT_AGREED_VALIDATE);
}

static int after_update(struct lt_trainer *t, struct lt_error *err)
{
    bool skipped =
        t->step.skipped_out >= 0 && lt_session_scalar(t->session, t->step.skipped_out) != 0;
    int rc = 0;

    t->pos.step++;
    if (!skipped) {
        t->pos.updates++;
        add_window(t);
    }
    update_page(t);
    if (!t->measured)
        lt_trainer_measure_memory(t);
    if (skipped)
        rc = lt_trainer_not_finite(t, lt_sum_value(&t->window[0], LT__V1__REDUCE__mean), err);
    step_schedule(t, skipped);
    if (rc == 0)
        rc = step_values(t, err);
    clear(t->window);
    if (lt_ranks_clock(t) & LT_AGREED_TIME_OVER)
        t->stop_time = true;
    return rc < 0 ? rc : lt_trainer_hook(t, LT_HOOK_STEP, false, val_due(t), err);
}

static int train_batch(struct lt_trainer *t, struct lt_error *err)
{
    const struct lt_batch *batch = lt_loader_next(t->train);
    bool steps = lt_limits_steps(&t->limits, t->pos.batch);
    struct lt_bound *b = steps ? &t->step : &t->micro;
    struct lt_step_inputs in = {(int64_t)t->pos.step, (int64_t)t->pos.updates + 1, t->schedule.lr,
                                t->ranks.mine};
    int rc = 0;

    if (t->pos.batch % t->limits.accumulate == 0 && log_due(t, t->pos.step + 1))
        rc = lt_trainer_hook(t, LT_HOOK_WINDOW_START, true, false, err);
    if (steps)
        lt_ranks_offer(t);
    if (rc == 0)
        rc = lt_bound_run(b, t->session, batch, &in, err);
    if (rc < 0)
        return rc;
    add_batch(t, b);
    t->pos.batch++;
    t->pos.total_batches++;
    if (steps)
        rc = after_update(t, err);
    if (rc == 0 && val_due(t)) {
        rc = lt_ranks_before_validation(t, err);
        t->pos.stage = LT_STAGE_VALIDATE;
        t->pos.val_batch = 0;
        clear(t->evaluated);
        lt_trainer_phase(t, LT_PHASE_VALIDATING);
    } else if (rc == 0) {
        lt_trainer_after_batch(t);
    }
    return rc;
}

static void say_epoch(struct lt_trainer *t, const struct lt_recorded *values, int n)
{
    double seconds = (double)(lt_clock_mono_ns() - t->epoch_ns) * 1e-9;
    uint64_t steps = t->pos.step - t->epoch_step;
    struct lt_recorded all[LT_QUANTITIES_MAX + 1];
    char head[160];

    all[0] = (struct lt_recorded){"train_loss", lt_sum_value(&t->epoch_loss, LT__V1__REDUCE__mean),
                                  false};
    memcpy(all + 1, values, (size_t)n * sizeof *values);
    snprintf(head, sizeof head,
             "epoch %" PRIu64 "  step %" PRIu64 "  %.2f s  %.0f steps/s  lr %.4g", t->pos.epoch,
             t->pos.step, seconds, seconds > 0 ? (double)steps / seconds : 0, t->schedule.lr);
    lt_trainer_say_values(t, head, all, n + 1);
}

static int epoch_end(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_recorded values[LT_QUANTITIES_MAX];
    int n, rc = lt_trainer_epoch_values(t, LT_TRAIN_STAGE, t->epoch, values, &n, err);

    if (rc == 0)
        rc = lt_trainer_hook(t, LT_HOOK_EPOCH_END, false, false, err);
    say_epoch(t, values, n);
    lt_trainer_measure_memory(t);
    t->pos.epoch++;
    t->pos.batch = 0;
    t->pos.stage = LT_STAGE_EPOCH_START;
    return rc;
}

typedef int stage_fn(struct lt_trainer *t, struct lt_error *err);
static stage_fn *const stages[LT_STAGE_N] = {
    [LT_STAGE_EPOCH_START] = epoch_start,
    [LT_STAGE_TRAIN] = train_batch,
    [LT_STAGE_VALIDATE] = lt_trainer_validate_batch,
    [LT_STAGE_EPOCH_END] = epoch_end,
};

int lt_trainer_fit(struct lt_trainer *t, struct lt_error *err)
{
    int rc = 0;

    while (rc == 0 && !t->done) {
        rc = stages[t->pos.stage](t, err);
        if (rc == 0)
            rc = lt_trainer_boundary(t, err);
    }
    return rc;
}
