/* run.c - one attempt from its first record to its last
 *
 * Whatever happens, the journal ends with Finished: result, class of failure, reason. A worker that
 * dies before that is judged by its exit alone.
 */
#include "engine/train/train.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/train/evaluate.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"
#include "sys/rss.h"

static const struct {
    int code;
    Lt__V1__FailureClass class;
} classes[] = {
    {-EINVAL, LT__V1__FAILURE_CLASS__CLASS_PLAN},
    {-ENOTSUP, LT__V1__FAILURE_CLASS__CLASS_PLAN},
    {-EDOM, LT__V1__FAILURE_CLASS__CLASS_DATA},
    {-ESTALE, LT__V1__FAILURE_CLASS__CLASS_DATA},
    {-ENOMEM, LT__V1__FAILURE_CLASS__CLASS_OOM},
    {-ENOSPC, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE},
    {-EIO, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE},
    {-EDQUOT, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE},
    {-EAGAIN, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE},
};

static Lt__V1__FailureClass class_of(int code)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(classes); i++)
        if (classes[i].code == code)
            return classes[i].class;
    return LT__V1__FAILURE_CLASS__CLASS_JOB;
}

static int put_started(struct lt_trainer *t, struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Started s = LT__V1__STARTED__INIT;
    uint64_t rss = 0;

    lt_rss_of(0, &rss);
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_STARTED;
    r.started = &s;
    s.has_step = s.has_epoch = s.has_memory_bytes = true;
    s.step = t->pos.step;
    s.epoch = t->pos.epoch;
    s.memory_bytes = rss;
    s.checkpoint = t->checkpoint_name;
    if (t->c->page)
        atomic_store(&t->c->page->memory_bytes, rss);
    return lt_journal_put(t->c, &r, false, err);
}

static void say_start(const struct lt_trainer *t)
{
    struct lt_session_cost cost;

    if (!lt_ranks_first(&t->ranks) && !t->c->quiet) { /* all that the others' logs hold of a good run */
        printf("rank %d of %d: step %" PRIu64 "; rank 0 tells the rest\n", t->ranks.rank,
               t->ranks.world, t->pos.step);
        fflush(stdout);
    }
    lt_session_cost(t->session, &cost);
    lt_trainer_say(
        t, "%s: %" PRIu64 " parameters, %" PRIu64 " batches of %" PRId64 " an epoch, back end %s",
        t->plan->name ? t->plan->name : "job", cost.parameters, t->limits.train_batches,
        t->ranks.shares.all, t->c->backend->name);
    if (t->ranks.world > 1)
        lt_trainer_say(t, "%d ranks, %" PRId64 " samples of a batch each", t->ranks.world,
                       t->ranks.shares.batch);
    if (t->checkpoint_name)
        lt_trainer_say(t, "continuing from %s: epoch %" PRIu64 ", step %" PRIu64,
                       t->checkpoint_name, t->pos.epoch, t->pos.step);
}

static int fit_phases(struct lt_trainer *t, struct lt_error *err)
{
    int rc;

    t->started_ns = t->now_ns = t->last_val_ns = t->epoch_ns = lt_clock_mono_ns();
    t->epoch_step = t->pos.step;
    t->recovery.due_ns = t->now_ns + (uint64_t)(t->recovery.every_s * 1e9);
    rc = put_started(t, err);
    if (rc < 0)
        return rc;
    say_start(t);
    if (!t->checkpoint_name && t->val)
        rc = lt_trainer_sanity(t, err);
    lt_trainer_phase(t,
                     t->pos.stage == LT_STAGE_VALIDATE ? LT_PHASE_VALIDATING : LT_PHASE_TRAINING);
    if (rc == 0)
        rc = lt_trainer_fit(t, err);
    if (rc == 0 && t->result->result != LT__V1__JOB_RESULT__CANCELLED)
        rc = lt_trainer_final_save(t, err);
    return rc;
}

/* An error in fit: callbacks may still save, and what is being written is finished. */
static void on_exception(struct lt_trainer *t)
{
    struct lt_error ignored;

    if (!t->saver || !t->snapshot)
        return;
    if (t->ranks.many && lt_trainer_window_open(t)) { /* the other ranks' part of it isn't here */
        lt_trainer_finish_saves(t, &ignored);
        return;
    }
    if (lt_trainer_hook(t, LT_HOOK_EXCEPTION, false, false, &ignored) == 0 && t->requests.n_saves)
        lt_trainer_save(t, LT_SAVE_REQUESTS, &ignored);
    lt_trainer_finish_saves(t, &ignored);
}

static int fit(const struct lt_train_config *c, const Lt__V1__TrainingPlan *plan,
               struct lt_train_result *out, struct lt_error *err)
{
    struct lt_trainer *t = lt_calloc(1, sizeof *t);
    int rc;

    t->c = c;
    t->plan = plan;
    t->result = out;
    out->result = LT__V1__JOB_RESULT__SUCCEEDED;
    rc = lt_trainer_open(t, err);
    if (rc == 0) {
        rc = fit_phases(t, err);
        if (rc < 0)
            on_exception(t);
        lt_trainer_phase(t, LT_PHASE_FINISHING);
    }
    out->step = t->pos.step;
    out->epoch = t->pos.epoch;
    if (rc == 0)
        lt_trainer_say(t, "done after epoch %" PRIu64 ", step %" PRIu64 ": %s", t->pos.epoch,
                       t->pos.step, out->reason);
    lt_trainer_close(t);
    lt_free(t);
    return rc;
}

static int put_finished(const struct lt_train_config *c, const struct lt_train_result *out,
                        struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Finished f = LT__V1__FINISHED__INIT;
    Lt__V1__MetricValue v[LT_RESULT_VALUES_MAX], *list[LT_RESULT_VALUES_MAX];

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
    r.finished = &f;
    f.has_result = f.has_class_ = f.has_step = f.has_epoch = true;
    f.result = out->result;
    f.class_ = out->class;
    f.reason = (char *)(uintptr_t)out->reason;
    f.step = out->step;
    f.epoch = out->epoch;
    for (int i = 0; i < out->n_values; i++) {
        lt__v1__metric_value__init(&v[i]);
        v[i].name = (char *)(uintptr_t)out->values[i].name;
        v[i].has_value = true;
        v[i].value = out->values[i].value;
        list[i] = &v[i];
    }
    f.n_values = (size_t)out->n_values;
    f.values = list;
    return lt_journal_put(c, &r, true, err);
}

void lt_train_failed(const struct lt_train_config *c, Lt__V1__FailureClass class,
                     const char *reason)
{
    struct lt_train_result out = {.result = LT__V1__JOB_RESULT__FAILED, .class = class};

    snprintf(out.reason, sizeof out.reason, "%s", reason);
    put_finished(c, &out, NULL); /* the caller's exit status says so, too */
}

/* Ranks leave together: who is gone would be missed by one that still saves or fails. */
static int leave(const struct lt_train_config *c, struct lt_error *err)
{
    return lt_comm_world(c->comm) > 1 ? lt_comm_barrier(c->comm, err) : 0;
}

static void run(const struct lt_train_config *c, struct lt_train_result *out)
{
    const Lt__V1__JobSpec *spec = c->start->spec;
    struct lt_error err = {0};
    int rc;

    *out = (struct lt_train_result){.class = LT__V1__FAILURE_CLASS__CLASS_NONE};
    if (spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN)
        rc = fit(c, spec->plan, out, &err);
    else if (spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION && spec->evaluation->plan)
        rc = lt_evaluate(c, spec->evaluation, out, &err);
    else
        rc = lt_error_set(&err, -EINVAL, "the spec holds neither a plan nor an evaluation");
    if (rc == 0)
        rc = leave(c, &err);
    if (rc < 0) {
        out->result = LT__V1__JOB_RESULT__FAILED;
        if (out->class == LT__V1__FAILURE_CLASS__CLASS_NONE)
            out->class = class_of(rc);
        snprintf(out->reason, sizeof out->reason, "%s", err.text);
    }
    if (put_finished(c, out, &err) < 0) { /* the exit status is all that is left to say so */
        out->result = LT__V1__JOB_RESULT__FAILED;
        out->class = LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE;
        snprintf(out->reason, sizeof out->reason, "the end can't be recorded: %.300s", err.text);
    }
}

void lt_train_run(const struct lt_train_config *c, struct lt_train_result *out)
{
    const struct lt_comm_config one = {.kind = "none", .world = 1};
    struct lt_train_config own = *c;
    LT_AUTO(lt_comm_close) struct lt_comm *alone = NULL;
    struct lt_error err = {0};

    if (!c->comm && lt_comm_open(&one, &alone, &err) < 0) {
        *out = (struct lt_train_result){.result = LT__V1__JOB_RESULT__FAILED,
                                        .class = LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE};
        snprintf(out->reason, sizeof out->reason, "%s", err.text);
        return;
    }
    if (!c->comm)
        own.comm = alone;
    run(&own, out);
}
