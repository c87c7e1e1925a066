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
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"
#include "sys/rss.h"

#define ROLLBACKS_MAX 3 /* to the same checkpoint */

const char *const lt_stage_names[LT_STAGE_N] = {"epoch_start", "train", "validate", "epoch_end"};

uint64_t lt_trainer_x(const struct lt_trainer *t)
{
    bool stepped = t->pos.batch && lt_limits_steps(&t->limits, t->pos.batch - 1);

    return stepped && t->pos.step ? t->pos.step - 1 : t->pos.step;
}

static const char *stop_wish(const struct lt_trainer *t, const char **monitor)
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
    const char *monitor, *why = stop_wish(t, &monitor);

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
    const char *monitor, *why = stop_wish(t, &monitor);

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

/* What a batch adds to the window, the epoch, the line of the epoch. */
static void add_batch(struct lt_trainer *t, const struct lt_bound *b)
{
    for (int i = 0; i < t->metrics.n; i++) {
        Lt__V1__Reduce reduce = t->metrics.q[i].reduce;
        double sum = lt_session_scalar(t->session, b->sum_out[i]),
               weight = lt_session_scalar(t->session, b->weight_out[i]);

        lt_sum_add(&t->window[i], reduce, sum, weight);
        lt_sum_add(&t->epoch[i], reduce, sum, weight);
        if (i == 0)
            lt_sum_add(&t->epoch_loss, LT__V1__REDUCE__mean, sum, weight);
    }
}

static int not_finite(struct lt_trainer *t, double loss, struct lt_error *err)
{
    uint64_t before = t->rollback_sequence;

    t->skipped++;
    if (t->t->on_nonfinite == LT__V1__TRAINER__NON_FINITE__stop) {
        t->result->class = LT__V1__FAILURE_CLASS__CLASS_NONFINITE;
        return lt_error_set(err, -EDOM,
                            "loss or gradient is not finite (loss %g) at update %" PRIu64
                            ", epoch %" PRIu64 ", batch %" PRIu64,
                            fabs(loss), t->pos.step - 1, t->pos.epoch, t->pos.batch - 1);
    }
    if ((t->skipped & (t->skipped - 1)) ==
        0) /* 1, 2, 4, 8 …: a run that is lost must not fill the log */
        lt_trainer_say(t,
                       "update %" PRIu64
                       " left out: loss or gradient is not finite (loss %g; %" PRIu64 " so far)",
                       t->pos.step - 1, fabs(loss), t->skipped);
    if (t->t->on_nonfinite == LT__V1__TRAINER__NON_FINITE__skip)
        return 0;
    t->rollback_sequence = t->sequence;
    t->rollbacks = before == t->sequence ? t->rollbacks + 1 : 1;
    if (t->rollbacks > ROLLBACKS_MAX) {
        t->result->class = LT__V1__FAILURE_CLASS__CLASS_NONFINITE;
        return lt_error_set(
            err, -EDOM,
            "still not finite after %d rollbacks to the same checkpoint, update %" PRIu64,
            ROLLBACKS_MAX, t->pos.step - 1);
    }
    int rc = lt_trainer_finish_saves(t, err);
    return rc < 0 ? rc : lt_trainer_rollback(t, err);
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
    if (!log_due(t, t->pos.step) && !(t->limits.log_every && stop_wish(t, &monitor)))
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
    loss = lt_sum_value(&t->window[0], LT__V1__REDUCE__mean);
    memcpy(&bits, &loss, sizeof bits);
    atomic_store_explicit(&p->step, t->pos.step, memory_order_relaxed);
    atomic_store_explicit(&p->batch, t->pos.batch, memory_order_relaxed);
    atomic_store_explicit(&p->step_ns, t->step_ns, memory_order_relaxed);
    atomic_store_explicit(&p->loss_bits, bits, memory_order_relaxed);
}

/* Anonymous memory as it is now: after the first update, and at every epoch's end. */
static void measure_memory(struct lt_trainer *t)
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
    return l->val_every_seconds > 0 &&
           (double)(lt_clock_mono_ns() - t->last_val_ns) * 1e-9 >= l->val_every_seconds;
}

static int after_update(struct lt_trainer *t, struct lt_error *err)
{
    bool skipped =
        t->step.skipped_out >= 0 && lt_session_scalar(t->session, t->step.skipped_out) != 0;
    int rc = 0;

    t->pos.step++;
    if (!skipped)
        t->pos.updates++;
    update_page(t);
    if (!t->measured)
        measure_memory(t);
    if (skipped)
        rc = not_finite(t, lt_sum_value(&t->window[0], LT__V1__REDUCE__mean), err);
    step_schedule(t, skipped);
    if (rc == 0)
        rc = step_values(t, err);
    clear(t->window);
    if (t->limits.max_seconds > 0 &&
        t->elapsed_before + (double)(lt_clock_mono_ns() - t->started_ns) * 1e-9 >=
            t->limits.max_seconds)
        t->stop_time = true;
    return rc < 0 ? rc : lt_trainer_hook(t, LT_HOOK_STEP, false, val_due(t), err);
}

/* What follows a batch whose validation, if any, is over. */
static void after_batch(struct lt_trainer *t)
{
    bool over = t->pos.batch == t->limits.train_batches || steps_done(t) || stops_now(t);

    t->pos.stage = over ? LT_STAGE_EPOCH_END : LT_STAGE_TRAIN;
}

static int train_batch(struct lt_trainer *t, struct lt_error *err)
{
    const struct lt_batch *batch = lt_loader_next(t->train);
    bool steps = lt_limits_steps(&t->limits, t->pos.batch);
    struct lt_bound *b = steps ? &t->step : &t->micro;
    struct lt_step_inputs in = {(int64_t)t->pos.step, (int64_t)t->pos.updates + 1, t->schedule.lr};
    int rc = 0;

    if (t->pos.batch % t->limits.accumulate == 0 && log_due(t, t->pos.step + 1))
        rc = lt_trainer_hook(t, LT_HOOK_WINDOW_START, true, false, err);
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
        t->pos.stage = LT_STAGE_VALIDATE;
        t->pos.val_batch = 0;
        clear(t->evaluated);
        lt_trainer_phase(t, LT_PHASE_VALIDATING);
    } else if (rc == 0) {
        after_batch(t);
    }
    return rc;
}

void lt_eval_add(const struct lt_session *s, const struct lt_bound *b, const struct lt_metrics *m,
                 struct lt_sum *sums)
{
    for (int i = 0; i < m->n; i++)
        lt_sum_add(&sums[i], m->q[i].reduce, lt_session_scalar(s, b->sum_out[i]),
                   lt_session_scalar(s, b->weight_out[i]));
}

/* Metrics that are logged for every validation batch; their axis counts those batches. */
static int val_step_values(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_recorded values[LT_QUANTITIES_MAX];
    int n = 0;

    for (int i = 0; i < t->metrics.n; i++) {
        const struct lt_quantity *q = &t->metrics.q[i];

        if (q->step_key[LT_VAL_STAGE])
            values[n++] =
                (struct lt_recorded){q->step_key[LT_VAL_STAGE],
                                     lt_session_scalar(t->session, t->eval.sum_out[i]) /
                                         lt_session_scalar(t->session, t->eval.weight_out[i]),
                                     q->logger};
    }
    return lt_trainer_record(t, t->pos.val_seen, values, n, err);
}

/* The epoch's values of one stage, set and recorded. */
static int epoch_values(struct lt_trainer *t, enum lt_stage_kind stage, const struct lt_sum *sums,
                        struct lt_recorded *values, int *n, struct lt_error *err)
{
    uint64_t x = lt_trainer_x(t);

    *n = 0;
    for (int i = 0; i < t->metrics.n; i++) {
        const struct lt_quantity *q = &t->metrics.q[i];

        if (!q->epoch_key[stage])
            continue;
        values[*n] =
            (struct lt_recorded){q->epoch_key[stage], lt_sum_value(&sums[i], q->reduce), q->logger};
        lt_values_set(&t->values, q->epoch_key[stage], values[*n].value, x);
        if (q->bare_key[stage])
            lt_values_set(&t->values, q->bare_key[stage], values[*n].value, x);
        ++*n;
    }
    return lt_trainer_record(t, x, values, *n, err);
}

static int validation_end(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_recorded values[LT_QUANTITIES_MAX];
    char head[80];
    int n, rc = epoch_values(t, LT_VAL_STAGE, t->evaluated, values, &n, err);

    if (rc < 0)
        return rc;
    snprintf(head, sizeof head, "epoch %" PRIu64 "  step %" PRIu64 "  validation", t->pos.epoch,
             t->pos.step);
    lt_trainer_say_values(t, head, values, n);
    t->last_val_ns = lt_clock_mono_ns();
    rc = lt_trainer_hook(t, LT_HOOK_VALIDATION_END, false, false, err);
    after_batch(t);
    lt_trainer_phase(t, LT_PHASE_TRAINING);
    return rc;
}

static int validate_batch(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_step_inputs in = {0};
    int rc = lt_bound_run(&t->eval, t->session, lt_loader_next(t->val), &in, err);

    if (rc < 0)
        return rc;
    lt_eval_add(t->session, &t->eval, &t->metrics, t->evaluated);
    rc = val_step_values(t, err);
    t->pos.val_batch++;
    t->pos.val_seen++;
    return rc < 0 || t->pos.val_batch < t->limits.val_batches ? rc : validation_end(t, err);
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
    int n, rc = epoch_values(t, LT_TRAIN_STAGE, t->epoch, values, &n, err);

    if (rc == 0)
        rc = lt_trainer_hook(t, LT_HOOK_EPOCH_END, false, false, err);
    say_epoch(t, values, n);
    measure_memory(t);
    t->pos.epoch++;
    t->pos.batch = 0;
    t->pos.stage = LT_STAGE_EPOCH_START;
    return rc;
}

typedef int stage_fn(struct lt_trainer *t, struct lt_error *err);
static stage_fn *const stages[LT_STAGE_N] = {
    [LT_STAGE_EPOCH_START] = epoch_start,
    [LT_STAGE_TRAIN] = train_batch,
    [LT_STAGE_VALIDATE] = validate_batch,
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

int lt_trainer_sanity(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_step_inputs in = {0};
    int rc = 0;

    if (!t->limits.sanity_batches)
        return 0;
    lt_trainer_phase(t, LT_PHASE_SANITY);
    for (uint64_t i = 0; i < t->limits.sanity_batches && rc == 0; i++)
        rc = lt_bound_run(&t->eval, t->session, lt_loader_next(t->val), &in, err);
    if (rc == 0 && t->limits.sanity_batches % t->limits.val_batches)
        rc = lt_loader_start(t->val, 0, 0, err);
    return rc < 0 ? lt_error_prefix(err, "sanity check") : 0;
}
