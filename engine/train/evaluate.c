/* evaluate.c - validate, test, predict: a trained model over a split, without training
 *
 * Sums over all batches are exact; a short last batch counts as what it is.
 */
#include "engine/train/evaluate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/comm/comm.h"
#include "engine/train/predictions.h"
#include "engine/train/trainer.h"

struct evaluator {
    struct lt_trainer t; /* data, session, metrics, limits: what evaluation shares with fit */
    const Lt__V1__Evaluation *e;
    struct lt_evaluation what;
    struct lt_loader *loader;
    struct lt_loader_config batches;
    struct lt_bound bound;
    struct lt_predictions *predictions; /* NULL: metrics are asked for */
    int output;
};

struct lt_evaluation lt_evaluation_of(const Lt__V1__Evaluation *e)
{
    if (e->mode == LT__V1__EVALUATION__MODE__VALIDATE)
        return (struct lt_evaluation){LT_SPLIT_VAL, LT_PROGRAM_EVAL, LT_VAL_STAGE};
    if (e->mode == LT__V1__EVALUATION__MODE__PREDICT)
        return (struct lt_evaluation){e->plan->data->predict ? LT_SPLIT_PREDICT : LT_SPLIT_TEST,
                                      LT_PROGRAM_PREDICT, LT_TEST_STAGE};
    return (struct lt_evaluation){LT_SPLIT_TEST, LT_PROGRAM_EVAL, LT_TEST_STAGE};
}

static int open_data(struct evaluator *v, struct lt_error *err)
{
    struct lt_data_config c = {.plan = v->e->plan->data, .cache_dir = v->t.c->cache_dir};
    struct lt_problems problems = {0};
    struct lt_batch_counts counts;
    int rc = lt_data_open(&c, &v->t.data, &problems);

    if (rc == 0) {
        lt_count_batches(v->t.data, v->e->plan, &v->t.ranks.shares, &counts);
        lt_limits_init(&v->t.limits, v->e->plan->trainer, &counts, &problems);
    } else {
        v->t.result->class = LT__V1__FAILURE_CLASS__CLASS_DATA;
        rc = lt_error_set(err, -EINVAL, "%s: %s", problems.items[0].path, problems.items[0].reason);
    }
    lt_problems_done(&problems);
    if (rc == 0 && !lt_data_has(v->t.data, v->what.split))
        rc = lt_error_set(err, -EINVAL, "the plan has no data.%s", lt_split_names[v->what.split]);
    if (rc == 0) {
        lt_loader_plan(v->t.data, v->e->plan, &v->t.ranks.shares, v->t.ranks.rank, &v->t.limits,
                       v->what.split, &v->batches);
        if (v->what.program == LT_PROGRAM_PREDICT)
            v->batches.slices = 1;
        rc = lt_loader_open(&v->batches, &v->loader, err);
    }
    return rc;
}

static int open_model(struct evaluator *v, struct lt_manifest *meta, struct lt_error *err)
{
    struct lt_field fields[LT_DIMS_MAX];
    const Lt__V1__Trainer *trainer = v->e->plan->trainer;
    struct lt_session_config c = {
        .plan = v->e->plan,
        .fields = fields,
        .n_fields = lt_data_n_fields(v->t.data),
        .backend = v->t.c->backend,
        .device = {.allow_reference = trainer && trainer->allow_reference_kernels,
                   .comm = v->t.ranks.comm,
                   .cache_dir = v->t.c->cache_dir},
        .world = v->t.ranks.world,
        .exchange = v->t.ranks.n,
        .programs = 1u << v->what.program,
    };
    LT_AUTO(lt_free) char *model = lt_format("%s/model.safetensors", v->e->path ? v->e->path : "");
    uint32_t threads = v->t.c->start->cpus;
    int matched, total, rc = lt_ranks_threads(&v->t, &threads, err);

    c.device.threads = (int)threads;
    lt_session_fields(v->t.data, fields);
    if (rc == 0)
        rc = lt_manifest_verify(v->e->path ? v->e->path : "", meta, err);
    if (rc == 0)
        rc = lt_session_open(&c, &v->t.session, err);
    if (rc == 0)
        rc = lt_trainer_prepare(v->t.session, &v->batches, v->what.program, v->what.program, err);
    if (rc == 0) /* all of it: without initialisers and their temporary copies */
        rc = lt_load_model(v->t.session, model, true, &matched, &total, err);
    if (rc == 0)
        rc = lt_bound_init(&v->bound, v->t.session, v->what.program, v->what.split, v->t.data,
                           v->what.program == LT_PROGRAM_EVAL ? &v->t.metrics : NULL, 1, err);
    return rc;
}

static int open_predictions(struct evaluator *v, struct lt_error *err)
{
    if (v->what.program != LT_PROGRAM_PREDICT)
        return 0;
    v->output = lt_session_output(v->t.session, v->what.program, "output");
    return lt_predictions_open(v->t.c->start->run_dir, &v->t.ranks, &v->predictions, err);
}

static int compute(struct evaluator *v, const struct lt_batch *batch, struct lt_error *err)
{
    struct lt_step_inputs in = {.exchange = v->t.ranks.mine};
    int rc;

    if (v->what.program == LT_PROGRAM_EVAL)
        lt_ranks_offer(&v->t);
    rc = lt_bound_run(&v->bound, v->t.session, batch, &in, err);
    if (rc == 0 && v->what.program == LT_PROGRAM_EVAL) {
        lt_ranks_take(&v->t, &v->bound);
        lt_eval_add(v->t.session, &v->bound, &v->t.metrics, v->t.evaluated);
    }
    return rc;
}

static int one_batch(struct evaluator *v, struct lt_error *err)
{
    const struct lt_batch *batch = lt_loader_next(v->loader);
    int rc = compute(v, batch, err);

    if (rc == 0 && v->predictions) {
        size_t bytes;
        const void *rows = lt_session_value(v->t.session, v->output, &bytes);

        rc = lt_predictions_write(v->predictions, batch, rows, bytes, err);
    }
    return rc;
}

/* The same on all ranks: with the sums of the batch before, or, where there are none, asked for. */
static int commands(struct evaluator *v, uint32_t *out, struct lt_error *err)
{
    int32_t bits;

    *out = lt_ranks_commands(&v->t);
    if (!v->t.ranks.many || v->what.program == LT_PROGRAM_EVAL)
        return 0;
    bits = (int32_t)lt_ranks_here(&v->t);
    if (v->t.ranks.world > 1 && lt_comm_or_i32(v->t.ranks.comm, &bits, 1, "commands", err) < 0)
        return -EIO;
    *out = (uint32_t)bits;
    return 0;
}

static int all_batches(struct evaluator *v, struct lt_error *err)
{
    uint64_t n = lt_loader_batches(v->loader);
    int rc = n ? lt_loader_start(v->loader, 0, 0, err) : 0;

    lt_trainer_phase(&v->t, v->what.split == LT_SPLIT_VAL ? LT_PHASE_VALIDATING : LT_PHASE_TESTING);
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        uint32_t command;

        rc = commands(v, &command, err);
        if (rc < 0)
            return rc;
        if (command & (LT_COMMAND_CANCEL | LT_COMMAND_STOP)) {
            v->t.result->result = command & LT_COMMAND_CANCEL ? LT__V1__JOB_RESULT__CANCELLED
                                                              : LT__V1__JOB_RESULT__STOPPED;
            return 0;
        }
        rc = one_batch(v, err);
        v->t.pos.val_batch = i + 1;
        if (v->t.c->page)
            atomic_store_explicit(&v->t.c->page->batch, i + 1, memory_order_relaxed);
        if (i == 0 || i + 1 == n)
            lt_trainer_measure_memory(&v->t);
    }
    return rc == 0 && v->predictions ? lt_predictions_commit(v->predictions, err) : rc;
}

/* A table, sorted as it was declared: one name and value a line. */
static int report(struct evaluator *v, const struct lt_manifest *meta, struct lt_error *err)
{
    struct lt_train_result *r = v->t.result;
    struct lt_recorded values[LT_QUANTITIES_MAX];
    int n = 0;

    if (v->what.program != LT_PROGRAM_EVAL || r->result != LT__V1__JOB_RESULT__SUCCEEDED)
        return 0;
    for (int i = 0; i < v->t.metrics.n; i++) {
        const struct lt_quantity *q = &v->t.metrics.q[i];
        const char *key = q->epoch_key[v->what.stage] ? q->epoch_key[v->what.stage] : q->step_key[v->what.stage];

        values[n++] = (struct lt_recorded){key, lt_sum_value(&v->t.evaluated[i], q->reduce), false};
        snprintf(r->values[r->n_values].name, sizeof r->values[0].name, "%s", key);
        r->values[r->n_values++].value = values[n - 1].value;
        lt_trainer_say(&v->t, "%-20s %.6g", key, values[n - 1].value);
    }
    v->t.pos.epoch = meta->epoch - (meta->epoch && !meta->in_epoch);
    return lt_trainer_record(&v->t, meta->step - (meta->step > 0), values, n, err);
}

int lt_evaluate(const struct lt_train_config *c, const Lt__V1__Evaluation *e,
                struct lt_train_result *out, struct lt_error *err)
{
    struct evaluator *v = lt_calloc(1, sizeof *v);
    struct lt_manifest meta = {.step = 0};
    int rc;

    v->e = e;
    v->t.c = c;
    v->t.plan = e->plan;
    v->t.result = out;
    v->what = lt_evaluation_of(e);
    lt_metrics_init(&v->t.metrics, e->plan->step);
    out->result = LT__V1__JOB_RESULT__SUCCEEDED;
    rc = lt_ranks_open(&v->t, 1, err);
    if (rc == 0)
        rc = open_data(v, err);
    if (rc == 0)
        rc = open_model(v, &meta, err);
    if (rc == 0)
        rc = open_predictions(v, err);
    if (rc == 0)
        rc = all_batches(v, err);
    if (rc == 0)
        rc = report(v, &meta, err);
    out->step = meta.step;
    out->epoch = meta.epoch;
    lt_loader_close(v->loader);
    lt_bound_done(&v->bound);
    lt_predictions_close(v->predictions);
    lt_trainer_close(&v->t);
    lt_free(v);
    return rc;
}
