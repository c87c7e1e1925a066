/* validate.c - validation inside fit: one batch at a time, sums that a checkpoint can hold */
#include <inttypes.h>
#include <stdio.h>

#include "engine/train/trainer.h"
#include "sys/clock.h"

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
int lt_trainer_epoch_values(struct lt_trainer *t, enum lt_stage_kind stage,
                            const struct lt_sum *sums, struct lt_recorded *values, int *n,
                            struct lt_error *err)
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
    int n, rc = lt_trainer_epoch_values(t, LT_VAL_STAGE, t->evaluated, values, &n, err);

    if (rc < 0)
        return rc;
    snprintf(head, sizeof head, "epoch %" PRIu64 "  step %" PRIu64 "  validation", t->pos.epoch,
             t->pos.step);
    lt_trainer_say_values(t, head, values, n);
    t->last_val_ns = lt_clock_mono_ns();
    rc = lt_trainer_hook(t, LT_HOOK_VALIDATION_END, false, false, err);
    lt_trainer_after_batch(t);
    lt_trainer_phase(t, LT_PHASE_TRAINING);
    return rc;
}

int lt_trainer_validate_batch(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_step_inputs in = {.exchange = t->ranks.mine};
    int rc;

    lt_ranks_offer(t);
    rc = lt_bound_run(&t->eval, t->session, lt_loader_next(t->val), &in, err);
    if (rc < 0)
        return rc;
    lt_ranks_take(t, &t->eval);
    lt_eval_add(t->session, &t->eval, &t->metrics, t->evaluated);
    rc = val_step_values(t, err);
    t->pos.val_batch++;
    t->pos.val_seen++;
    return rc < 0 || t->pos.val_batch < t->limits.val_batches ? rc : validation_end(t, err);
}

int lt_trainer_sanity(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_step_inputs in = {.exchange = t->ranks.mine};
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
