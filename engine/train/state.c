/* state.c - trainer.json: everything of a run's state that is not a tensor
 *
 * Plain data, in order of the fields of struct lt_trainer. What follows from the plan (rates,
 * names, limits) is not here, except where it proves that the plan still fits (the number of
 * batches). Numbers that must survive exactly are hexadecimal strings (json.h).
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/train/json.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"

#define VERSION 1

static const struct {
    const char *key;
    size_t at;
} position_fields[] = {
    {"epoch", offsetof(struct lt_position, epoch)},
    {"batch", offsetof(struct lt_position, batch)},
    {"total_batches", offsetof(struct lt_position, total_batches)},
    {"step", offsetof(struct lt_position, step)},
    {"updates", offsetof(struct lt_position, updates)},
    {"val_batch", offsetof(struct lt_position, val_batch)},
    {"val_seen", offsetof(struct lt_position, val_seen)},
};

static uint64_t *position_field(const struct lt_position *p, size_t i)
{
    return (uint64_t *)(uintptr_t)((const char *)p + position_fields[i].at);
}

static cJSON *position_out(const struct lt_position *p)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "stage", lt_stage_names[p->stage]);
    for (size_t i = 0; i < LT_ARRAY_LEN(position_fields); i++)
        lt_json_add_u64(o, position_fields[i].key, *position_field(p, i));
    return o;
}

static bool position_in(struct lt_position *p, const cJSON *o)
{
    const char *stage = lt_json_string(o, "stage");
    bool good = false;

    for (int s = 0; stage && s < LT_STAGE_N; s++)
        if (!strcmp(stage, lt_stage_names[s])) {
            p->stage = (enum lt_stage)s;
            good = true;
        }
    for (size_t i = 0; i < LT_ARRAY_LEN(position_fields); i++)
        good = good && lt_json_u64(o, position_fields[i].key, position_field(p, i));
    return good;
}

static void sums_out(cJSON *parent, const char *key, const struct lt_metrics *m,
                     const struct lt_sum *sums)
{
    cJSON *o = cJSON_AddObjectToObject(parent, key);

    for (int i = 0; i < m->n; i++) {
        cJSON *e = cJSON_AddObjectToObject(o, m->q[i].name);

        lt_json_add_double(e, "sum", sums[i].sum);
        lt_json_add_double(e, "weight", sums[i].weight);
    }
}

static bool sum_in(const cJSON *o, const char *key, struct lt_sum *s)
{
    const cJSON *e = cJSON_GetObjectItemCaseSensitive(o, key);

    return lt_json_double(e, "sum", &s->sum) && lt_json_double(e, "weight", &s->weight);
}

/* A quantity the checkpoint doesn't know starts from nothing: the plan may have got a new metric.
 */
static void sums_in(const cJSON *parent, const char *key, const struct lt_metrics *m,
                    struct lt_sum *sums)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(parent, key);

    for (int i = 0; i < m->n; i++)
        sum_in(o, m->q[i].name, &sums[i]);
}

static void values_out(cJSON *parent, const struct lt_values *v)
{
    cJSON *list = cJSON_AddArrayToObject(parent, "values");

    for (int i = 0; i < v->n; i++) {
        cJSON *e = cJSON_CreateObject();

        cJSON_AddStringToObject(e, "name", v->items[i].name);
        lt_json_add_double(e, "value", v->items[i].value);
        lt_json_add_u64(e, "x", v->items[i].x);
        lt_json_add_u64(e, "version", v->items[i].version);
        cJSON_AddItemToArray(list, e);
    }
}

/* A name that the plan no longer has is left behind. */
static void values_in(struct lt_trainer *t, const cJSON *list)
{
    const cJSON *e;

    cJSON_ArrayForEach(e, list)
    {
        struct lt_value_entry v = {.name = lt_json_string(e, "name")};

        if (v.name && lt_json_double(e, "value", &v.value) && lt_json_u64(e, "x", &v.x) &&
            lt_json_u64(e, "version", &v.version))
            lt_values_restore(&t->values, &v);
    }
}

static void callbacks_out(const struct lt_trainer *t, cJSON *parent)
{
    cJSON *list = cJSON_AddArrayToObject(parent, "callbacks");

    for (int i = 0; i < t->n_callbacks; i++) {
        const struct lt_active_callback *c = &t->callbacks[i];
        cJSON *e;

        if (!c->type->save)
            continue;
        e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "name", c->type->name);
        cJSON_AddNumberToObject(e, "index", c->index);
        cJSON_AddItemToObject(e, "state", c->type->save(c->self));
        cJSON_AddItemToArray(list, e);
    }
}

static int callback_in(struct lt_trainer *t, const cJSON *e, struct lt_error *err)
{
    const char *name = lt_json_string(e, "name");
    const cJSON *index = cJSON_GetObjectItemCaseSensitive(e, "index");

    for (int i = 0; name && cJSON_IsNumber(index) && i < t->n_callbacks; i++) {
        const struct lt_active_callback *c = &t->callbacks[i];
        int rc;

        if (strcmp(name, c->type->name) || c->index != index->valueint || !c->type->load)
            continue;
        rc = c->type->load(c->self, cJSON_GetObjectItemCaseSensitive(e, "state"), err);
        if (rc <= 0)
            return rc;
        break;
    }
    lt_trainer_say(t,
                   "note: the checkpoint's state of callback %s is not used: the plan has no such "
                   "callback any more",
                   name ? name : "?");
    return 0;
}

static cJSON *loggers_out(const struct lt_trainer *t)
{
    cJSON *o = cJSON_CreateObject();

    for (int i = 0; i < t->n_loggers; i++)
        cJSON_AddItemToObject(o, t->loggers[i].type->name,
                              t->loggers[i].type->state(t->loggers[i].self));
    return o;
}

static void rollback_out(cJSON *parent, const struct lt_trainer *t, const struct lt_save_job *job)
{
    cJSON *o = cJSON_AddObjectToObject(parent, "rollback");
    const char *to = t->rollback.to;
    uint64_t times = t->rollback.times;

    for (int i = 0; i < job->n; i++)
        if (job->targets[i].rollback) { /* this very checkpoint, from now on */
            to = job->targets[i].last;
            times = job->targets[i].rollback_times;
        }
    if (to)
        cJSON_AddStringToObject(o, "to", to);
    lt_json_add_u64(o, "times", times);
    lt_json_add_u64(o, "updates", t->rollback.updates);
}

/* What goes once this checkpoint is durable: a run that starts from it may have to do it. */
static void replaced_out(cJSON *parent, const struct lt_save_job *job)
{
    cJSON *list = cJSON_AddArrayToObject(parent, "replaces");

    for (int i = 0; i < job->n; i++)
        for (int k = 0; k < job->targets[i].save.n_removed; k++)
            cJSON_AddItemToArray(list, cJSON_CreateString(job->targets[i].save.removed[k]));
}

static int replaced_in(struct lt_trainer *t, const cJSON *list, struct lt_error *err)
{
    struct lt_manifest meta;
    const cJSON *e;
    int rc = 0;

    cJSON_ArrayForEach(e, list)
    {
        if (rc == 0 && t->saver && cJSON_IsString(e) &&
            lt_manifest_read(e->valuestring, &meta, NULL) == 0 &&
            lt_str_eq(meta.job, t->c->start->job))
            rc = lt_trainer_remove(t, e->valuestring, false, err);
    }
    return rc;
}

/* Another run goes back to where it began itself. */
static void rollback_in(struct lt_trainer *t, const cJSON *o)
{
    const char *to = lt_json_string(o, "to");

    if (!lt_trainer_rolls_back(t) || !o)
        return;
    t->rollback.to = to ? lt_strdup(to) : NULL;
    lt_json_u64(o, "times", &t->rollback.times);
    lt_json_u64(o, "updates", &t->rollback.updates);
}

char *lt_trainer_state(const struct lt_trainer *t, const struct lt_save_job *job)
{
    cJSON *o = cJSON_CreateObject(), *schedule;
    char *text;

    cJSON_AddNumberToObject(o, "version", VERSION);
    cJSON_AddStringToObject(o, "job", t->c->start->job ? t->c->start->job : "");
    cJSON_AddStringToObject(o, "run_dir", t->c->start->run_dir ? t->c->start->run_dir : "");
    lt_json_add_u64(o, "seed", t->plan->seed);
    lt_json_add_u64(o, "train_batches", t->limits.train_batches);
    lt_json_add_u64(o, "batch_size", (uint64_t)t->ranks.shares.all); /* of all ranks */
    lt_json_add_u64(o, "accumulate", t->limits.accumulate);
    cJSON_AddStringToObject(o, "data", t->fingerprint ? t->fingerprint : "");
    cJSON_AddItemToObject(o, "position", position_out(&t->pos));
    schedule = cJSON_AddObjectToObject(o, "schedule");
    lt_json_add_u64(schedule, "count", t->schedule.count);
    lt_json_add_double(schedule, "lr", t->schedule.lr);
    lt_json_add_double(o, "elapsed_seconds",
                       t->elapsed_before + (double)(t->now_ns - t->started_ns) * 1e-9);
    cJSON_AddBoolToObject(o, "stop_time", t->stop_time);
    lt_json_add_u64(o, "skipped", t->skipped);
    if (lt_trainer_rolls_back(t))
        rollback_out(o, t, job);
    replaced_out(o, job);
    sums_out(o, "window", &t->metrics, t->window);
    sums_out(o, "epoch", &t->metrics, t->epoch);
    sums_out(o, "validation", &t->metrics, t->evaluated);
    cJSON *loss = cJSON_AddObjectToObject(o, "epoch_loss");
    lt_json_add_double(loss, "sum", t->epoch_loss.sum);
    lt_json_add_double(loss, "weight", t->epoch_loss.weight);
    values_out(o, &t->values);
    callbacks_out(t, o);
    cJSON_AddItemToObject(o, "loggers", loggers_out(t));
    text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return text;
}

/* A position inside an epoch means nothing when batches are others than they were. */
static int check_batches(const struct lt_trainer *t, const cJSON *o, struct lt_error *err)
{
    uint64_t batches, size, accumulate, seed;

    if (!lt_json_u64(o, "train_batches", &batches) || !lt_json_u64(o, "batch_size", &size) ||
        !lt_json_u64(o, "accumulate", &accumulate) || !lt_json_u64(o, "seed", &seed))
        return lt_error_set(err, -EPROTO, "checkpoint: trainer.json is damaged");
    if (t->pos.stage == LT_STAGE_EPOCH_START ||
        (batches == t->limits.train_batches && size == (uint64_t)t->ranks.shares.all &&
         accumulate == t->limits.accumulate && seed == t->plan->seed))
        return 0;
    return lt_error_set(err, -EINVAL,
                        "the checkpoint lies inside an epoch of %" PRIu64 " batches of %" PRIu64
                        " (accumulate %" PRIu64 ", seed %" PRIu64 "); the plan has %" PRIu64
                        " of %" PRId64 " (%" PRIu64 ", %" PRIu64
                        "): begin at a checkpoint between epochs",
                        batches, size, accumulate, seed, t->limits.train_batches, t->ranks.shares.all,
                        t->limits.accumulate, t->plan->seed);
}

int lt_trainer_set_state(struct lt_trainer *t, const cJSON *o, struct lt_error *err)
{
    const cJSON *schedule = cJSON_GetObjectItemCaseSensitive(o, "schedule"), *e;
    uint64_t version = 0, count;
    int rc;

    if (!lt_json_u64(o, "version", &version) || version != VERSION)
        return lt_error_set(err, -EPROTO,
                            "checkpoint: trainer.json is of version %" PRIu64
                            ", this program reads %d",
                            version, VERSION);
    if (!position_in(&t->pos, cJSON_GetObjectItemCaseSensitive(o, "position")) ||
        !lt_json_u64(schedule, "count", &count) ||
        !lt_json_double(o, "elapsed_seconds", &t->elapsed_before) ||
        !lt_json_u64(o, "skipped", &t->skipped))
        return lt_error_set(err, -EPROTO, "checkpoint: trainer.json is damaged");
    rc = check_batches(t, o, err);
    if (rc < 0)
        return rc;
    lt_schedule_seek(&t->schedule, count);
    sums_in(o, "window", &t->metrics, t->window);
    sums_in(o, "epoch", &t->metrics, t->epoch);
    sums_in(o, "validation", &t->metrics, t->evaluated);
    sum_in(o, "epoch_loss", &t->epoch_loss);
    values_in(t, cJSON_GetObjectItemCaseSensitive(o, "values"));
    if (lt_str_eq(lt_json_string(o, "run_dir"), t->c->start->run_dir)) {
        rollback_in(t, cJSON_GetObjectItemCaseSensitive(o, "rollback"));
        rc = replaced_in(t, cJSON_GetObjectItemCaseSensitive(o, "replaces"), err);
        if (rc < 0)
            return rc;
    }
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(
                              o, "callbacks")) if ((rc = callback_in(t, e, err)) < 0) return rc;
    t->stop_time = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "stop_time")) &&
                   t->limits.max_seconds > 0 && t->elapsed_before >= t->limits.max_seconds;
    return 0;
}
