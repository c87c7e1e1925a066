/* check_trainer.c - the trainer's limits and intervals against each other, and what this build
 * can't do */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/auto.h"
#include "base/buf.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/checks.h"
#include "proto/plan.h"

#define TEXT(x) #x
#define LT_TEXT(x) TEXT(x)

struct word {
    const char *field, *word, *reason, *remedy; /* reason NULL: accepted */
    bool same;                                  /* as another one; not worth an advice */
};
#define WORD(message, field, word) {#field, word, NULL, NULL, false},
#define SAME(message, field, word, other) {#field, word, NULL, NULL, true},
#define REFUSED(message, field, word, reason, remedy) {#field, word, reason, remedy, false},
static const struct word words[] = {
#include "proto/plan_words.h"
};

static const struct word *find_word(const char *field, const char *value)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(words); i++)
        if (!strcmp(words[i].field, field) && !strcmp(words[i].word, value))
            return &words[i];
    return NULL;
}

static void check_word(const struct lt_check *c, const char *field, const char *value)
{
    const struct word *w = value ? find_word(field, value) : NULL;
    const char *accepted[8], *near;
    LT_BUF_AUTO remedy = {0};
    size_t n = 0;

    if (!value || (w && !w->reason))
        return;
    if (w) {
        lt_problem_add(c->problems, lt_check_path(c, "trainer.%s", field), w->remedy, "`%s`: %s",
                       value, w->reason);
        return;
    }
    for (size_t i = 0; i < LT_ARRAY_LEN(words) && n < LT_ARRAY_LEN(accepted); i++)
        if (!strcmp(words[i].field, field) && !words[i].reason && !words[i].same)
            accepted[n++] = words[i].word;
    near = lt_suggest(value, accepted, n);
    lt_buf_printf(&remedy, near ? "did you mean `%s`?" : "write %s", near ? near : "");
    for (size_t i = 0; !near && i < n; i++)
        lt_buf_printf(&remedy, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", accepted[i]);
    lt_problem_add(c->problems, lt_check_path(c, "trainer.%s", field), remedy.data,
                   "`%.60s`: unknown %s", value, field);
}

static bool has_early_end(const Lt__V1__TrainingPlan *p)
{
    if (p->trainer->max_time || (p->job && p->job->time_limit))
        return true;
    for (size_t i = 0; i < p->n_callbacks; i++)
        if (p->callbacks[i]->callback_case == LT__V1__CALLBACK__CALLBACK_EARLY_STOPPING)
            return true;
    return false;
}

static void check_end(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    if (t->fast_dev_run)
        return; /* sets them itself */
    if (!t->has_max_epochs && t->max_steps == -1 && !t->has_max_steps)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.max_epochs"),
                       "write max_epochs or max_steps; -1 for training without a limit",
                       "neither max_epochs nor max_steps is given");
    else if ((!t->has_max_epochs || t->max_epochs == -1) && t->max_steps == -1 &&
             !has_early_end(c->plan))
        lt_problem_warn(c->problems, lt_check_path(c, "trainer"),
                        "give max_epochs, max_steps or max_time",
                        "nothing ends the training but `ltctl stop`");
}

static void check_minima(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    if (t->has_max_epochs && t->max_epochs >= 0 && t->min_epochs > (uint64_t)t->max_epochs)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.min_epochs"),
                       "make min_epochs at most max_epochs",
                       "min_epochs %llu is above max_epochs %lld",
                       (unsigned long long)t->min_epochs, (long long)t->max_epochs);
    if (t->max_steps >= 0 && t->min_steps > (uint64_t)t->max_steps)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.min_steps"),
                       "make min_steps at most max_steps", "min_steps %llu is above max_steps %lld",
                       (unsigned long long)t->min_steps, (long long)t->max_steps);
}

static void check_overfit(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    if (!t->overfit_batches || lt_limit_is_zero(t->overfit_batches))
        return;
    if (t->limit_train_batches)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.limit_train_batches"),
                       "keep one of them", "overfit_batches sets limit_train_batches itself");
    if (t->limit_val_batches)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.limit_val_batches"),
                       "keep one of them", "overfit_batches sets limit_val_batches itself");
}

static void check_interval(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    const Lt__V1__CheckInterval *v = t->val_check_interval;
    const bool count = v && v->value_case == LT__V1__CHECK_INTERVAL__VALUE_COUNT;
    const bool time = v && v->value_case == LT__V1__CHECK_INTERVAL__VALUE_TIME;
    const char *path = lt_check_path(c, "trainer.val_check_interval");
    const uint64_t batches = lt_plan_train_batches(c->plan);

    if (t->check_val_every_n_epoch == 0 && !count && !time)
        lt_problem_add(
            c->problems, path, "write a number of batches (100) or a time (30m)",
            "check_val_every_n_epoch: 0 counts across epochs, so a fraction of one says nothing");
    if (time && (!v->time->has_seconds || v->time->seconds <= 0))
        lt_problem_add(c->problems, path, "write a time above 0",
                       "the time between validations is 0");
    if (count && t->check_val_every_n_epoch && batches && v->count > batches &&
        lt_plan_validates(c->plan) && !t->fast_dev_run)
        lt_problem_add(
            c->problems, path,
            "write a smaller number, or check_val_every_n_epoch: 0 to count across epochs",
            "%llu batches, but an epoch has %llu: validation would never run",
            (unsigned long long)v->count, (unsigned long long)batches);
    if (v && c->plan->data && !c->plan->data->val)
        lt_problem_warn(c->problems, path, "give data.val, or remove it",
                        "there is no validation data");
}

uint64_t lt_plan_world(const Lt__V1__TrainingPlan *plan)
{
    const Lt__V1__Trainer *t = plan->trainer;
    const Lt__V1__CountOrAuto *d = t ? t->devices : NULL;
    uint64_t devices =
        d && d->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT && d->count ? d->count : 1;

    return devices * (t && t->num_nodes ? t->num_nodes : 1);
}

/* More ranks than the job's own processors. How many the node has is seen where it is placed. */
static void check_cores(const struct lt_check *c, uint64_t ranks)
{
    const Lt__V1__Resources *r = c->plan->job ? c->plan->job->resources : NULL;

    if (r && r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT &&
        r->cpus->count && r->cpus->count < ranks && !r->oversubscribe)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.devices"),
                       "give job.resources.cpus as many, or write job.resources.oversubscribe: true",
                       "%llu ranks on %llu processor%s", (unsigned long long)ranks,
                       (unsigned long long)r->cpus->count, r->cpus->count == 1 ? "" : "s");
}

static void check_devices(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    const Lt__V1__CountOrAuto *d = t->devices;
    bool count = d && d->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT;

    if (count && (d->count < 1 || d->count > LT_PLAN_RANKS_MAX))
        lt_problem_add(c->problems, lt_check_path(c, "trainer.devices"),
                       "write auto, or 1 to " LT_TEXT(LT_PLAN_RANKS_MAX),
                       d->count ? "%llu devices are out of range" : "%llu devices train nothing",
                       (unsigned long long)d->count);
    else
        check_cores(c, lt_plan_world(c->plan));
    if (d && d->value_case == LT__V1__COUNT_OR_AUTO__VALUE_AUTO && !d->auto_)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.devices"), "write a number or auto",
                       "auto is false");
    if (t->num_nodes > 1)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.num_nodes"), "write 1",
                       "%llu nodes: this version trains on one",
                       (unsigned long long)t->num_nodes);
    if (count && d->count > 1 && lt_str_eq(t->strategy, "single_device"))
        lt_problem_add(c->problems, lt_check_path(c, "trainer.strategy"), "write ddp or auto",
                       "single_device, but devices is %llu", (unsigned long long)d->count);
    check_word(c, "accelerator", t->accelerator);
    check_word(c, "strategy", t->strategy);
    check_word(c, "precision", t->precision);
}

/* Whole samples for every rank, and for every slice. */
static void check_shares(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    const Lt__V1__Data *d = c->plan->data;
    const bool elastic = t->reproducible == LT__V1__TRAINER__REPRODUCIBLE__elastic;
    const uint64_t world = lt_plan_world(c->plan),
                   shards = elastic && t->has_logical_shards ? t->logical_shards : 0,
                   all = d && d->has_global_batch_size ? d->global_batch_size : 0;

    if (elastic && d && !d->has_global_batch_size)
        lt_problem_add(c->problems, lt_check_path(c, "data.global_batch_size"),
                       "write global_batch_size instead of batch_size",
                       "trainer.reproducible: elastic needs a batch that doesn't depend on the "
                       "number of ranks");
    if (elastic && !t->has_logical_shards)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.logical_shards"),
                       "write logical_shards: a number that every number of ranks to come divides",
                       "trainer.reproducible: elastic needs it");
    if (!elastic && t->has_logical_shards)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.logical_shards"),
                       "remove it, or write reproducible: elastic",
                       "is used by reproducible: elastic alone");
    if (shards && shards % world)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.logical_shards"),
                       "make it a multiple of trainer.devices",
                       "%llu slices can't be shared out evenly over %llu ranks",
                       (unsigned long long)shards, (unsigned long long)world);
    else if (all && all % (shards ? shards : world))
        lt_problem_add(c->problems, lt_check_path(c, "data.global_batch_size"),
                       shards ? "make it a multiple of trainer.logical_shards"
                              : "make it a multiple of trainer.devices",
                       "%llu samples can't be shared out evenly over %llu %s",
                       (unsigned long long)all, (unsigned long long)(shards ? shards : world),
                       shards ? "slices" : "ranks");
}

static void check_policies(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    if (!t->enable_logger && c->plan->n_loggers)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.enable_logger"),
                       "remove loggers, or enable_logger: false",
                       "enable_logger is false, but the plan lists loggers");
    if (t->default_root_dir && !*t->default_root_dir)
        lt_problem_add(c->problems, lt_check_path(c, "trainer.default_root_dir"),
                       "write a folder, or remove it", "is empty");
}

static void check_times(const struct lt_check *c, const Lt__V1__Trainer *t)
{
    if (t->max_time && (!t->max_time->has_seconds || t->max_time->seconds == 0))
        lt_problem_add(c->problems, lt_check_path(c, "trainer.max_time"),
                       "write a time above 0, like 12:00:00", "leaves no time to train");
}

void lt_check_trainer(const struct lt_check *c)
{
    const Lt__V1__Trainer *t = c->plan->trainer;

    if (!t) {
        lt_problem_add(c->problems, lt_check_path(c, "trainer"),
                       "write `trainer: {max_epochs: 10}`", "is missing");
        return;
    }
    check_end(c, t);
    check_minima(c, t);
    check_overfit(c, t);
    check_interval(c, t);
    check_devices(c, t);
    check_shares(c, t);
    check_policies(c, t);
    check_times(c, t);
}
