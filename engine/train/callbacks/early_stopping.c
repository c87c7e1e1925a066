/* early_stopping.c - ends training when the monitored metric stops improving, as Lightning's
 * EarlyStopping
 *
 * A check looks at a value once: one that hasn't been set since the last check burns no patience.
 * The wish to stop is computed anew at every check, so that a metric that recovers while min_epochs
 * or min_steps holds the stop off is heard. Patience is the plan's, never a checkpoint's.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/train/callback.h"
#include "engine/train/json.h"
#include "engine/train/stopper.h"

struct stopper {
    struct lt_stopper state;
    bool at_epoch_end;
    uint64_t version; /* of the newest value looked at */
};

static void *stopper_create(const Lt__V1__Callback *config, const struct lt_callback_env *env)
{
    struct stopper *s;

    if (env->limits->fast_dev_run)
        return NULL;
    s = lt_calloc(1, sizeof *s);
    lt_stopper_init(&s->state, config->early_stopping);
    s->at_epoch_end = s->state.c->has_check_on_train_epoch_end
                          ? s->state.c->check_on_train_epoch_end
                          : env->limits->val_at_epoch_end && env->limits->val_every_n_epoch == 1 &&
                                !env->limits->val_across_epochs;
    return s;
}

static void check_value(struct stopper *s, double v)
{
    if (lt_stopper_check(&s->state, v) && s->state.c->verbose && isfinite(s->state.gain))
        printf("early_stopping: %s improved by %.3f to %.3f\n", s->state.c->monitor, s->state.gain, v);
}

static int check(struct stopper *s, const struct lt_hook *h)
{
    const struct lt_value_entry *e = lt_values_find(h->values, s->state.c->monitor);

    if (e && e->version != s->version) {
        s->version = e->version;
        check_value(s, e->value);
    }
    return 0;
}

static int stopper_on_validation_end(void *self, const struct lt_hook *h, struct lt_error *err)
{
    struct stopper *s = self;

    (void)err;
    return s->at_epoch_end ? 0 : check(s, h);
}

static int stopper_on_epoch_end(void *self, const struct lt_hook *h, struct lt_error *err)
{
    struct stopper *s = self;

    if (!s->at_epoch_end)
        return 0;
    /* By the end of an epoch that validates, or at all when nothing does, the metric must have been
     * there. */
    if (s->state.c->strict && !lt_values_find(h->values, s->state.c->monitor) &&
        lt_limits_val_epoch(h->limits, h->epoch))
        return lt_error_set(err, -EINVAL, "early_stopping: metric %s was not logged in epoch %llu",
                            s->state.c->monitor, (unsigned long long)h->epoch);
    return check(s, h);
}

static const char *stopper_wants_stop(const void *self, const char **monitor)
{
    const struct stopper *s = self;

    *monitor = s->state.c->monitor;
    return s->state.stop ? s->state.reason : NULL;
}

static cJSON *stopper_save(const void *self)
{
    const struct stopper *s = self;
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "monitor", s->state.c->monitor);
    cJSON_AddNumberToObject(o, "mode", s->state.c->mode);
    lt_json_add_u64(o, "version", s->version);
    lt_json_add_u64(o, "wait", s->state.wait);
    lt_json_add_double(o, "best", s->state.best);
    cJSON_AddBoolToObject(o, "stop", s->state.stop);
    cJSON_AddStringToObject(o, "reason", s->state.reason);
    return o;
}

/* A stop for patience is looked at again with the patience of today. */
static int stopper_load(void *self, const cJSON *o, struct lt_error *err)
{
    struct stopper *s = self;
    const char *monitor = lt_json_string(o, "monitor"), *reason = lt_json_string(o, "reason");
    uint64_t mode;

    if (!monitor || strcmp(monitor, s->state.c->monitor) || !lt_json_u64(o, "mode", &mode) ||
        mode != (uint64_t)s->state.c->mode)
        return 1;
    if (!lt_json_u64(o, "version", &s->version) || !lt_json_u64(o, "wait", &s->state.wait) ||
        !lt_json_double(o, "best", &s->state.best))
        return lt_error_set(err, -EPROTO, "checkpoint: damaged state of early_stopping");
    snprintf(s->state.reason, sizeof s->state.reason, "%s", reason ? reason : "");
    s->state.stop = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "stop")) &&
              (!s->state.wait || s->state.wait >= s->state.c->patience);
    return 0;
}

const struct lt_callback lt_callback_early_stopping = {
    .name = "early_stopping",
    .which = LT__V1__CALLBACK__CALLBACK_EARLY_STOPPING,
    .create = stopper_create,
    .destroy = lt_free,
    .on_validation_end = stopper_on_validation_end,
    .on_epoch_end = stopper_on_epoch_end,
    .wants_stop = stopper_wants_stop,
    .save = stopper_save,
    .load = stopper_load,
};
