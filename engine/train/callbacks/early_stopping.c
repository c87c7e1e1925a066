/* early_stopping.c - ends training when the monitored metric stops improving, as Lightning's
 * EarlyStopping
 *
 * A check looks at a value once: one that hasn't been set since the last check burns no patience.
 * The wish to stop is computed anew at every check, so that a metric that recovers while min_epochs
 * or min_steps holds the stop off is heard. Order: finite, stopping threshold, divergence
 * threshold, improvement, patience. Patience is the plan's, never a checkpoint's.
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

struct stopper {
    const Lt__V1__EarlyStopping *c;
    bool at_epoch_end;
    uint64_t version; /* of the newest value looked at */
    uint64_t wait;
    double best;
    bool stop;
    char reason[240];
};

static bool is_max(const struct stopper *s)
{
    return s->c->mode == LT__V1__MODE__MAX;
}

static void *stopper_create(const Lt__V1__Callback *config, const struct lt_callback_env *env)
{
    struct stopper *s;

    if (env->limits->fast_dev_run)
        return NULL;
    s = lt_calloc(1, sizeof *s);
    s->c = config->early_stopping;
    s->best = is_max(s) ? -(double)INFINITY : (double)INFINITY;
    s->at_epoch_end = s->c->has_check_on_train_epoch_end
                          ? s->c->check_on_train_epoch_end
                          : env->limits->val_at_epoch_end && env->limits->val_every_n_epoch == 1 &&
                                !env->limits->val_across_epochs;
    return s;
}

/* Is a strictly better than b? */
static bool better(const struct stopper *s, double a, double b)
{
    return is_max(s) ? a > b : a < b;
}

static bool improved(const struct stopper *s, double v)
{
    return better(s, is_max(s) ? v - s->c->min_delta : v + s->c->min_delta, s->best);
}

static const char *limits_passed(struct stopper *s, double v)
{
    const Lt__V1__EarlyStopping *c = s->c;

    if (c->check_finite && !isfinite(v))
        snprintf(s->reason, sizeof s->reason, "%s is %f, not finite (best %.3f)", c->monitor, v,
                 s->best);
    else if (c->has_stopping_threshold && better(s, v, c->stopping_threshold))
        snprintf(s->reason, sizeof s->reason, "%s reached its goal: %.3f, threshold %.3f",
                 c->monitor, v, c->stopping_threshold);
    else if (c->has_divergence_threshold && better(s, c->divergence_threshold, v))
        snprintf(s->reason, sizeof s->reason, "%s diverged: %.3f, threshold %.3f", c->monitor, v,
                 c->divergence_threshold);
    else
        return NULL;
    return s->reason;
}

static void say_patience(struct stopper *s)
{
    snprintf(s->reason, sizeof s->reason, "%s did not improve in the last %llu checks (best %.3f)",
             s->c->monitor, (unsigned long long)s->wait, s->best);
}

static void check_value(struct stopper *s, double v)
{
    s->stop = false;
    if (limits_passed(s, v)) {
        s->stop = true;
        return;
    }
    if (improved(s, v)) {
        if (s->c->verbose && isfinite(s->best))
            printf("early_stopping: %s improved by %.3f to %.3f\n", s->c->monitor,
                   fabs(v - s->best), v);
        s->best = v;
        s->wait = 0;
    } else if (++s->wait >= s->c->patience) {
        say_patience(s);
        s->stop = true;
    }
}

static int check(struct stopper *s, const struct lt_hook *h)
{
    const struct lt_value_entry *e = lt_values_find(h->values, s->c->monitor);

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
    if (s->c->strict && !lt_values_find(h->values, s->c->monitor) &&
        lt_limits_val_epoch(h->limits, h->epoch))
        return lt_error_set(err, -EINVAL, "early_stopping: metric %s was not logged in epoch %llu",
                            s->c->monitor, (unsigned long long)h->epoch);
    return check(s, h);
}

static const char *stopper_wants_stop(const void *self, const char **monitor)
{
    const struct stopper *s = self;

    *monitor = s->c->monitor;
    return s->stop ? s->reason : NULL;
}

static cJSON *stopper_save(const void *self)
{
    const struct stopper *s = self;
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "monitor", s->c->monitor);
    cJSON_AddNumberToObject(o, "mode", s->c->mode);
    lt_json_add_u64(o, "version", s->version);
    lt_json_add_u64(o, "wait", s->wait);
    lt_json_add_double(o, "best", s->best);
    cJSON_AddBoolToObject(o, "stop", s->stop);
    cJSON_AddStringToObject(o, "reason", s->reason);
    return o;
}

/* A stop for patience is looked at again with the patience of today. */
static int stopper_load(void *self, const cJSON *o, struct lt_error *err)
{
    struct stopper *s = self;
    const char *monitor = lt_json_string(o, "monitor"), *reason = lt_json_string(o, "reason");
    uint64_t mode;

    if (!monitor || strcmp(monitor, s->c->monitor) || !lt_json_u64(o, "mode", &mode) ||
        mode != (uint64_t)s->c->mode)
        return 1;
    if (!lt_json_u64(o, "version", &s->version) || !lt_json_u64(o, "wait", &s->wait) ||
        !lt_json_double(o, "best", &s->best))
        return lt_error_set(err, -EPROTO, "checkpoint: damaged state of early_stopping");
    snprintf(s->reason, sizeof s->reason, "%s", reason ? reason : "");
    s->stop = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "stop")) &&
              (!s->wait || s->wait >= s->c->patience);
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
