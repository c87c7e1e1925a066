/* hooks.c - opens callbacks and loggers, and runs hooks in the order of the list, the `last` ones
 * behind */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/train/json.h"
#include "engine/train/trainer.h"

typedef int hook_fn(void *self, const struct lt_hook *h, struct lt_error *err);

static hook_fn *hook_of(const struct lt_callback *c, enum lt_hook_kind kind)
{
    hook_fn *const table[LT_HOOK_N] = {
        [LT_HOOK_EPOCH_START] = c->on_epoch_start,
        [LT_HOOK_WINDOW_START] = c->on_window_start,
        [LT_HOOK_STEP] = c->on_step,
        [LT_HOOK_VALIDATION_END] = c->on_validation_end,
        [LT_HOOK_EPOCH_END] = c->on_epoch_end,
        [LT_HOOK_EXCEPTION] = c->on_exception,
    };

    return table[kind];
}

/* What the callbacks asked to be logged becomes one record. */
static int log_requests(struct lt_trainer *t, uint64_t x, struct lt_error *err)
{
    struct lt_recorded values[LT_LOGS_MAX];
    int n = t->requests.n_logs;

    for (int i = 0; i < n; i++) {
        values[i] = (struct lt_recorded){t->requests.logs[i].name, t->requests.logs[i].value, true};
        lt_values_set(&t->values, values[i].name, values[i].value, x);
    }
    t->requests.n_logs = 0;
    return lt_trainer_record(t, x, values, n, err);
}

int lt_trainer_hook(struct lt_trainer *t, enum lt_hook_kind kind, bool should_log, bool val_follows,
                    struct lt_error *err)
{
    bool starts = kind == LT_HOOK_EPOCH_START || kind == LT_HOOK_WINDOW_START;
    struct lt_hook h = {
        .limits = &t->limits,
        .schedule = &t->schedule,
        .values = &t->values,
        .epoch = t->pos.epoch,
        .step = t->pos.step,
        .x = starts ? t->pos.step : lt_trainer_x(t),
        .should_log = should_log,
        .val_follows = val_follows,
        .now_ns = t->now_ns,
        .requests = &t->requests,
        .taken = lt_trainer_name_taken,
        .arg = t,
    };
    int rc = 0;

    for (int last = 0; last < 2; last++)
        for (int i = 0; i < t->n_callbacks && rc == 0; i++) {
            const struct lt_active_callback *c = &t->callbacks[i];
            hook_fn *fn = c->type->last == (last == 1) ? hook_of(c->type, kind) : NULL;

            if (fn)
                rc = fn(c->self, &h, err);
        }
    return rc < 0 ? rc : log_requests(t, h.x, err);
}

static void add_callback(struct lt_trainer *t, const Lt__V1__Callback *config, int index)
{
    const struct lt_callback *type = lt_callback_find(config->callback_case);
    struct lt_callback_env env = {t->plan, &t->limits, index, t->checkpoints_dir};
    void *self;

    if (!type || t->n_callbacks == LT_CALLBACKS_MAX)
        return;
    if (config->callback_case == LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT &&
        !t->t->enable_checkpointing)
        return;
    self = type->create(config, &env);
    if (self)
        t->callbacks[t->n_callbacks++] = (struct lt_active_callback){type, self, index};
}

/* Everything that monitors and file names may speak of, before it has a value. */
static void declare_values(struct lt_trainer *t)
{
    const char *names[8];

    for (int i = 0; i < t->metrics.n; i++)
        for (int s = LT_TRAIN_STAGE; s <= LT_VAL_STAGE; s++) {
            lt_values_declare(&t->values, t->metrics.q[i].step_key[s]);
            lt_values_declare(&t->values, t->metrics.q[i].epoch_key[s]);
            lt_values_declare(&t->values, t->metrics.q[i].bare_key[s]);
        }
    for (int i = 0; i < t->n_callbacks; i++) {
        const struct lt_active_callback *c = &t->callbacks[i];
        int n = c->type->columns ? c->type->columns(c->self, names, (int)LT_ARRAY_LEN(names)) : 0;

        for (int k = 0; k < n; k++)
            lt_values_declare(&t->values, names[k]);
    }
}

int lt_trainer_open_callbacks(struct lt_trainer *t, struct lt_error *err)
{
    bool saves = false;

    if (t->plan->n_callbacks > LT_CALLBACKS_MAX - 1)
        return lt_error_set(err, -E2BIG, "more than %d callbacks", LT_CALLBACKS_MAX - 1);
    for (size_t i = 0; i < t->plan->n_callbacks; i++) {
        add_callback(t, t->plan->callbacks[i], (int)i);
        saves |=
            t->plan->callbacks[i]->callback_case == LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT;
    }
    if (!saves && t->t->enable_checkpointing) { /* as Lightning: the newest epoch's */
        lt__v1__model_checkpoint__init(&t->default_checkpoint);
        lt__v1__callback__init(&t->default_callback);
        t->default_callback.callback_case = LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT;
        t->default_callback.model_checkpoint = &t->default_checkpoint;
        add_callback(t, &t->default_callback, -1);
    }
    declare_values(t);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every name that will ever reach a logger, sorted. */
static int columns(const struct lt_trainer *t, const char **names, int max)
{
    int n = 0;

    for (int i = 0; i < t->metrics.n; i++)
        for (int s = LT_TRAIN_STAGE; s <= LT_VAL_STAGE && t->metrics.q[i].logger; s++) {
            if (s == LT_VAL_STAGE && !t->limits.val_batches)
                continue;
            if (t->metrics.q[i].step_key[s] && n < max)
                names[n++] = t->metrics.q[i].step_key[s];
            if (t->metrics.q[i].epoch_key[s] && n < max)
                names[n++] = t->metrics.q[i].epoch_key[s];
        }
    for (int i = 0; i < t->n_callbacks; i++)
        if (t->callbacks[i].type->columns)
            n += t->callbacks[i].type->columns(t->callbacks[i].self, names + n, max - n);
    qsort(names, (size_t)n, sizeof *names, by_text);
    for (int i = 1; i < n;) { /* two monitors log the same */
        if (strcmp(names[i - 1], names[i])) {
            i++;
            continue;
        }
        memmove(names + i, names + i + 1, (size_t)(n - i - 1) * sizeof *names);
        n--;
    }
    return n;
}

int lt_trainer_open_loggers(struct lt_trainer *t, const cJSON *states, struct lt_error *err)
{
    const char *names[4 * LT_QUANTITIES_MAX];
    struct lt_logger_config c = {
        .run_dir = t->c->start->run_dir, .columns = names, .attempt = t->c->start->attempt};
    int rc = 0;

    if (!t->t->enable_logger || t->limits.fast_dev_run || !lt_ranks_first(&t->ranks))
        return 0;
    c.n_columns = columns(t, names, (int)LT_ARRAY_LEN(names));
    for (size_t i = 0; i < t->plan->n_loggers && rc == 0 && t->n_loggers < LT_LOGGERS_MAX; i++) {
        struct lt_active_logger *l = &t->loggers[t->n_loggers];

        l->type = lt_logger_find(t->plan->loggers[i]->logger_case);
        if (!l->type)
            continue;
        c.state = cJSON_GetObjectItemCaseSensitive(states, l->type->name);
        rc = l->type->open(&c, &l->self, err);
        t->n_loggers += rc == 0;
    }
    return rc;
}
