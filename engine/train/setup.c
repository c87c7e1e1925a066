/* setup.c - opens everything a fit needs, in an order that ends with all memory mapped and touched
 *
 * data → limits → session and its programs for every batch size the run will meet → checkpointing →
 * callbacks → state from a checkpoint → loggers (cut where the checkpoint says) → loaders (at the
 * checkpoint's position).
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/data/order.h"
#include "engine/train/json.h"
#include "engine/train/trainer.h"
#include "proto/plan.h"
#include "sys/clock.h"
#include "sys/file.h"

#define DEFAULT_RECOVERY_S 60

static const Lt__V1__Trainer trainer_defaults = LT__V1__TRAINER__INIT;
static const Lt__V1__Recovery recovery_defaults = LT__V1__RECOVERY__INIT;

void lt_count_batches(const struct lt_data *data, const Lt__V1__TrainingPlan *plan,
                      const struct lt_shares *shares, struct lt_batch_counts *out)
{
    uint64_t *const counts[LT_SPLIT_N] = {&out->train, &out->val, &out->test, &out->predict};

    for (int k = 0; k < LT_SPLIT_N; k++) {
        struct lt_order o = {.samples = (uint64_t)lt_data_count(data, (enum lt_split_kind)k),
                             .batch_size = (uint64_t)shares->all,
                             .world = 1,
                             .drop_last = k == LT_SPLIT_TRAIN && plan->data->drop_last};

        *counts[k] = lt_order_batches(&o);
    }
}

void lt_session_fields(const struct lt_data *data, struct lt_field *out)
{
    for (int i = 0; i < lt_data_n_fields(data); i++) {
        const struct lt_data_field *f = lt_data_field(data, i);

        out[i] = (struct lt_field){
            .name = f->name, .dtype = f->dtype, .ndim = f->ndim, .classes = f->classes};
        memcpy(out[i].dim, f->dim, sizeof out[i].dim);
    }
}

void lt_loader_plan(const struct lt_data *data, const Lt__V1__TrainingPlan *plan,
                    const struct lt_shares *shares, int rank, const struct lt_limits *l,
                    enum lt_split_kind kind, struct lt_loader_config *out)
{
    const uint64_t limits[LT_SPLIT_N] = {l->train_batches, l->val_batches, l->test_batches,
                                         l->predict_batches};

    *out = (struct lt_loader_config){
        .data = data,
        .split = kind,
        .batch_size = shares->batch,
        .limit = (int64_t)limits[kind],
        .seed = plan->seed,
        .rank = rank,
        .world = shares->world,
        .slices = shares->local,
        .drop_last = kind == LT_SPLIT_TRAIN && plan->data->drop_last,
        .sequential = kind != LT_SPLIT_TRAIN || l->sequential,
    };
}

static int first_error(const struct lt_problems *p, struct lt_error *err)
{
    for (size_t i = 0; i < p->len; i++)
        if (!p->items[i].warning)
            return lt_error_set(err, -EINVAL, "%s: %s", p->items[i].path, p->items[i].reason);
    return 0;
}

static int open_data(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_data_config c = {.plan = t->plan->data, .cache_dir = t->c->cache_dir};
    struct lt_problems problems = {0};
    struct lt_batch_counts counts;
    LT_BUF_AUTO print = {0};
    int rc = lt_data_open(&c, &t->data, &problems);

    if (rc == 0) {
        lt_count_batches(t->data, t->plan, &t->ranks.shares, &counts);
        lt_limits_init(&t->limits, t->plan->trainer, &counts, &problems);
    }
    rc = first_error(&problems, err);
    if (rc < 0 && !t->data)
        t->result->class = LT__V1__FAILURE_CLASS__CLASS_DATA;
    lt_problems_done(&problems);
    if (rc == 0)
        rc = lt_data_fingerprint(t->data, &print, err);
    if (rc == 0)
        t->fingerprint = lt_buf_take(&print);
    return rc;
}

/* Known from the first attempt, or told to the journal by this one. */
static int check_fingerprint(struct lt_trainer *t, struct lt_error *err)
{
    const ProtobufCBinaryData *first = &t->c->start->fingerprint;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Fingerprint f = LT__V1__FINGERPRINT__INIT;
    size_t n = strlen(t->fingerprint);

    if (t->c->start->has_fingerprint && first->len) {
        if (first->len == n && !memcmp(first->data, t->fingerprint, n))
            return 0;
        t->result->class = LT__V1__FAILURE_CLASS__CLASS_DATA;
        return lt_error_set(err, -ESTALE,
                            "the data have changed since the first attempt; then: %.*s now: %s",
                            (int)first->len, (const char *)first->data, t->fingerprint);
    }
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINGERPRINT;
    r.fingerprint = &f;
    f.has_fingerprint = true;
    f.fingerprint = (ProtobufCBinaryData){n, (uint8_t *)t->fingerprint};
    return lt_journal_put(t->c, &r, false, err);
}

int lt_trainer_prepare(struct lt_session *s, const struct lt_loader_config *l,
                       enum lt_program_kind full, enum lt_program_kind last, struct lt_error *err)
{
    struct lt_loader_shape shape;
    int rc = 0;

    lt_loader_shape(l, &shape);
    if (shape.batches > 1)
        rc = lt_session_prepare(s, full, shape.first, err);
    if (rc == 0 && shape.batches > 1)
        rc = lt_session_prepare(s, last, shape.first, err);
    if (rc == 0 && shape.batches)
        rc = lt_session_prepare(s, last, shape.last, err);
    return rc;
}

/* The programs of a split's batches. */
static int prepare_split(struct lt_trainer *t, enum lt_split_kind split, enum lt_program_kind full,
                         enum lt_program_kind last, struct lt_error *err)
{
    struct lt_loader_config c;

    lt_loader_plan(t->data, t->plan, &t->ranks.shares, t->ranks.rank, &t->limits, split, &c);
    return lt_trainer_prepare(t->session, &c, full, last, err);
}

static int open_loader(struct lt_trainer *t, enum lt_split_kind split, struct lt_loader **out,
                       struct lt_error *err)
{
    struct lt_loader_config c;

    lt_loader_plan(t->data, t->plan, &t->ranks.shares, t->ranks.rank, &t->limits, split, &c);
    return lt_loader_open(&c, out, err);
}

static int open_loaders(struct lt_trainer *t, struct lt_error *err)
{
    int rc = 0;

    if (t->limits.train_batches)
        rc = open_loader(t, LT_SPLIT_TRAIN, &t->train, err);
    if (rc == 0 && t->limits.val_batches)
        rc = open_loader(t, LT_SPLIT_VAL, &t->val, err);
    return rc;
}

static int open_session(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_field fields[LT_DIMS_MAX];
    LT_AUTO(lt_free)
    char *profile =
        t->c->start->has_profile && t->c->start->profile.len
            ? lt_strndup((const char *)t->c->start->profile.data, t->c->start->profile.len)
            : NULL;
    struct lt_session_config c = {
        .plan = t->plan,
        .fields = fields,
        .n_fields = lt_data_n_fields(t->data),
        .backend = t->c->backend,
        .device = {.profile = profile,
                   .allow_reference = t->t->allow_reference_kernels,
                   .comm = t->ranks.comm,
                   .cache_dir = t->c->cache_dir},
        .world = t->ranks.world,
        .exchange = t->ranks.n,
    };
    uint32_t threads = t->c->start->cpus;
    int rc = lt_ranks_threads(t, &threads, err);

    if (rc < 0)
        return rc;
    c.device.threads = (int)threads;
    lt_session_fields(t->data, fields);
    c.programs = 1u << LT_PROGRAM_STEP | (t->limits.accumulate > 1 ? 1u << LT_PROGRAM_MICRO : 0) |
                 (t->limits.val_batches ? 1u << LT_PROGRAM_EVAL : 0);
    rc = lt_session_open(&c, &t->session, err);
    if (rc == 0 && t->train)
        rc = prepare_split(t, LT_SPLIT_TRAIN,
                           t->limits.accumulate > 1 ? LT_PROGRAM_MICRO : LT_PROGRAM_STEP,
                           LT_PROGRAM_STEP, err);
    if (rc == 0 && t->val)
        rc = prepare_split(t, LT_SPLIT_VAL, LT_PROGRAM_EVAL, LT_PROGRAM_EVAL, err);
    if (rc == 0 && t->limits.accumulate > 1)
        rc = lt_bound_init(&t->micro, t->session, LT_PROGRAM_MICRO, LT_SPLIT_TRAIN, t->data,
                           &t->metrics, t->ranks.shares.local, err);
    if (rc == 0)
        rc = lt_bound_init(&t->step, t->session, LT_PROGRAM_STEP, LT_SPLIT_TRAIN, t->data,
                           &t->metrics, 1, err);
    if (rc == 0 && t->val)
        rc = lt_bound_init(&t->eval, t->session, LT_PROGRAM_EVAL, LT_SPLIT_VAL, t->data,
                           &t->metrics, 1, err);
    return rc;
}

/* Ranks of one job must have the same library, whatever node they are on. */
static int add_library(struct lt_trainer *t, struct lt_buf *json, struct lt_error *err)
{
    const struct lt_comm_config c = {.kind = lt_comm_kind(t->ranks.comm), .world = t->ranks.world};
    struct lt_comm_versions v;
    int rc;

    if (!lt_str_eq(c.kind, "mpi") || !json->len || json->data[json->len - 1] != '}')
        return 0;
    rc = lt_comm_versions(&c, &v, err);
    json->len--;
    lt_buf_printf(json, "%s\"mpich\":\"%s\",\"ucx\":\"%s\"}", json->len > 1 ? "," : "", v.mpich,
                  v.ucx);
    return rc;
}

static int put_profile(struct lt_trainer *t, struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Profile p = LT__V1__PROFILE__INIT;
    LT_BUF_AUTO json = {0};
    int rc;

    if (t->c->start->has_profile && t->c->start->profile.len)
        return 0;
    lt_session_profile(t->session, &json);
    rc = add_library(t, &json, err);
    if (rc < 0)
        return rc;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_PROFILE;
    r.profile = &p;
    p.has_profile = true;
    p.profile = (ProtobufCBinaryData){json.len, (uint8_t *)json.data};
    return lt_journal_put(t->c, &r, false, err);
}

/* What every `auto` became. */
static int put_resolved(struct lt_trainer *t, struct lt_error *err)
{
    const char *slower = lt_session_slower(t->session);
    char cpus[16], devices[16];
    const struct {
        const char *field, *value;
        bool is_auto;
    } rows[] = {
        {"trainer.accelerator", "cpu", lt_str_eq(t->t->accelerator, "auto")},
        {"trainer.devices", devices,
         !t->t->devices || t->t->devices->value_case != LT__V1__COUNT_OR_AUTO__VALUE_COUNT},
        {"trainer.strategy", t->ranks.world > 1 ? "ddp" : "single_device",
         lt_str_eq(t->t->strategy, "auto")},
        {"trainer.precision", slower ? "bfloat16 is emulated" : "bfloat16 is native",
         lt_plan_precision(t->plan) == LT_PLAN_BF16_MIXED},
        {"job.resources.cpus", cpus, t->c->start->cpus > 0},
        {"collectives", t->ranks.world > 1 ? lt_comm_kind(t->ranks.comm) : "", t->ranks.world > 1},
    };
    int rc = 0;

    if (slower)
        lt_trainer_say(t, "%s", slower);
    snprintf(cpus, sizeof cpus, "%" PRIu32, t->c->start->cpus);
    snprintf(devices, sizeof devices, "%d", t->ranks.world);
    for (size_t i = 0; i < LT_ARRAY_LEN(rows) && rc == 0; i++)
        if (rows[i].is_auto)
            rc = lt_trainer_resolved(t, rows[i].field, rows[i].value, err);
    return rc;
}

/* Recovery checkpoints of earlier attempts, so that `keep` counts them; and the newest sequence
 * number. */
static int find_checkpoints(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_checkpoint_list recovery = {0}, user = {0};
    int rc = lt_checkpoint_clean(t->recovery_dir, err);

    if (rc == 0)
        rc = lt_checkpoint_clean(t->checkpoints_dir, err);
    lt_checkpoint_list_add(&recovery, t->recovery_dir);
    lt_checkpoint_list_add(&user, t->checkpoints_dir);
    lt_checkpoint_list_sort(&recovery);
    for (int i = 0; i < user.n; i++)
        t->sequence = LT_MAX(t->sequence, user.items[i].meta.sequence);
    for (int i = recovery.n - 1; i >= 0; i--) {
        struct lt_recovery *r = &t->recovery;

        t->sequence = LT_MAX(t->sequence, recovery.items[i].meta.sequence);
        LT_GROW(r->names, r->n, r->cap);
        r->names[r->n++] = lt_strdup(strrchr(recovery.items[i].path, '/') + 1);
    }
    lt_checkpoint_list_done(&recovery);
    lt_checkpoint_list_done(&user);
    return rc;
}

static int open_checkpoints(struct lt_trainer *t, struct lt_error *err)
{
    const Lt__V1__Recovery *plan =
        t->plan->job && t->plan->job->recovery ? t->plan->job->recovery : &recovery_defaults;
    struct lt_saver_config c = {
        .run_dir = t->c->start->run_dir, .sync = lt_trainer_sync_loggers, .arg = t};
    int rc;

    t->recovery.every_s = plan->every ? plan->every->seconds : DEFAULT_RECOVERY_S;
    t->recovery.every_n_steps = plan->every_n_steps;
    t->recovery.keep = LT_MAX(plan->keep, (uint64_t)1);
    if (t->limits.fast_dev_run || !lt_ranks_first(&t->ranks))
        return 0;
    rc = find_checkpoints(t, err);
    return rc < 0 ? rc : lt_saver_open(&c, &t->saver, err);
}

/* Loaders start where the position says. The sanity check reads validation batches from the start.
 */
static int start_loaders(struct lt_trainer *t, struct lt_error *err)
{
    uint64_t val_batch = t->pos.stage == LT_STAGE_VALIDATE ? t->pos.val_batch : 0;
    uint64_t batch = t->pos.stage == LT_STAGE_EPOCH_START ? 0 : t->pos.batch;
    int rc = 0;

    if (t->train)
        rc = lt_loader_start(t->train, t->pos.epoch, batch, err);
    if (rc == 0 && t->val)
        rc = lt_loader_start(t->val, 0, val_batch, err);
    return rc;
}

static int check_epochs(const struct lt_trainer *t, struct lt_error *err)
{
    if (t->limits.max_epochs == LT_NO_LIMIT || t->pos.epoch <= t->limits.max_epochs)
        return 0;
    return lt_error_set(err, -EINVAL,
                        "the checkpoint is at epoch %" PRIu64 ", trainer.max_epochs is %" PRIu64,
                        t->pos.epoch, t->limits.max_epochs);
}

static int restore(struct lt_trainer *t, struct lt_error *err)
{
    cJSON *state = NULL;
    bool same_run;
    int rc = lt_trainer_restore(t, &state, &same_run, err);

    /* Behind the initialisation, whose temporary copies it outweighs: the peak is what was planned.
     */
    if (rc == 0 && t->saver)
        rc = lt_snapshot_new(t->session, &t->snapshot, err);
    if (rc == 0 && same_run && lt_str_eq(t->checkpoint_name, t->c->start->checkpoint))
        lt_trainer_begin_saved(t);
    if (rc == 0)
        rc = check_epochs(t, err);
    if (rc == 0)
        rc = lt_trainer_open_loggers(
            t, same_run ? cJSON_GetObjectItemCaseSensitive(state, "loggers") : NULL, err);
    if (rc == 0)
        rc = start_loaders(t, err);
    cJSON_Delete(state);
    return rc;
}

static void describe_page(struct lt_trainer *t)
{
    struct lt_page *p = t->c->page;

    if (!p)
        return;
    atomic_store(&p->total_steps, lt_limits_total_steps(&t->limits));
    atomic_store(&p->total_epochs, t->limits.max_epochs == LT_NO_LIMIT ? 0 : t->limits.max_epochs);
    atomic_store(&p->epoch, t->pos.epoch);
    atomic_store(&p->step, t->pos.step);
}

int lt_trainer_open(struct lt_trainer *t, struct lt_error *err)
{
    int rc;

    t->t = t->plan->trainer ? t->plan->trainer : &trainer_defaults;
    t->checkpoints_dir = lt_format("%s/checkpoints", t->c->start->run_dir);
    t->recovery_dir = lt_format("%s/recovery", t->c->start->run_dir);
    lt_trainer_phase(t, LT_PHASE_COMPILING);
    lt_metrics_init(&t->metrics, t->plan->step);
    lt_schedule_init(&t->schedule, t->plan->optimizer, t->plan->lr_scheduler);
    rc = lt_ranks_open(t, LT_MAX(t->t->accumulate_grad_batches, (uint64_t)1), err);
    if (rc == 0)
        rc = open_data(t, err);
    if (rc == 0)
        rc = check_fingerprint(t, err);
    if (rc == 0)
        rc = open_loaders(t, err);
    if (rc == 0)
        rc = open_session(t, err);
    if (rc == 0)
        rc = put_resolved(t, err);
    if (rc == 0)
        rc = put_profile(t, err);
    if (rc == 0)
        rc = open_checkpoints(t, err);
    if (rc == 0)
        rc = lt_trainer_open_callbacks(t, err);
    if (rc == 0)
        rc = restore(t, err);
    if (rc == 0)
        describe_page(t); /* earlier nothing is known of batches and steps */
    return rc;
}

void lt_trainer_close(struct lt_trainer *t)
{
    lt_loader_close(t->train);
    lt_loader_close(t->val);
    lt_saver_close(t->saver);
    for (int i = 0; i < t->n_loggers; i++)
        t->loggers[i].type->close(t->loggers[i].self);
    for (int i = 0; i < t->n_callbacks; i++)
        t->callbacks[i].type->destroy(t->callbacks[i].self);
    for (int i = 0; i < t->requests.n_saves; i++)
        lt_save_done(&t->requests.saves[i]);
    lt_trainer_forget_recovery(t);
    lt_snapshot_free(t->snapshot);
    lt_ranks_close(t);
    lt_bound_done(&t->micro);
    lt_bound_done(&t->step);
    lt_bound_done(&t->eval);
    lt_session_close(t->session);
    lt_metrics_done(&t->metrics);
    lt_data_close(t->data);
    lt_free(t->checkpoints_dir);
    lt_free(t->recovery_dir);
    lt_free(t->rollback.to);
    lt_free(t->fingerprint);
    lt_free(t->checkpoint_name);
}
