/* callback.h - hooks around the training loop
 *
 * A callback is one file engine/train/callbacks/NAME.c, one word in the list, and its config
 * message in proto/. Hooks see where training is and the newest values; what they want done goes
 * into the requests, which the loop carries out at the next boundary, in their order. A hook that
 * is NULL is skipped. State goes into every checkpoint.
 */
#ifndef LT_TRAIN_CALLBACK_H
#define LT_TRAIN_CALLBACK_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/train/limits.h"
#include "engine/train/metrics.h"
#include "engine/train/schedule.h"
#include "lt/v1/plan.pb-c.h"

struct cJSON;
struct lt_error;

#define LT_SAVES_MAX 16
#define LT_LOGS_MAX 16

/* A checkpoint that a callback wants. The loop owns and frees the strings. */
struct lt_save {
    char *dir;    /* absolute folder; NULL: <run>/checkpoints */
    char *name;   /* NULL: don't keep one among the user's, only let `last` be current */
    int callback; /* index of the callback */
    bool weights_only, best, has_score, verbose;
    bool timed; /* a clock chose the moment: another run of the same plan has it elsewhere */
    char *monitor;
    double score;
    char *removed[4]; /* folders (as dir/name) to delete once this one is durable */
    int n_removed;
};

struct lt_requests {
    struct lt_save saves[LT_SAVES_MAX];
    int n_saves;
    struct {
        const char *name; /* lives as long as the callback */
        double value;
    } logs[LT_LOGS_MAX];
    int n_logs;
};

struct lt_hook {
    const struct lt_limits *limits;
    const struct lt_schedule *schedule;
    const struct lt_values *values;
    uint64_t epoch, step; /* running epoch, 0-based; completed updates */
    uint64_t x;           /* the loggers' axis now */
    bool should_log;      /* step records are due at the update that begins */
    bool val_follows;     /* validation runs right after this batch */
    uint64_t now_ns;      /* monotonic */
    struct lt_requests *requests;
    /* Does a folder of this name belong to someone else than (this job, this step, callback
     * `index`)? */
    bool (*taken)(void *arg, const char *dir, const char *name, int index);
    void *arg;
};

struct lt_callback_env {
    const Lt__V1__TrainingPlan *plan;
    const struct lt_limits *limits;
    int index; /* in the plan's list */
    const char *checkpoints_dir;
};

struct lt_callback {
    const char *name; /* as in the plan */
    Lt__V1__Callback__CallbackCase which;
    bool last; /* runs behind the others: it must see what they did */
    void *(*create)(const Lt__V1__Callback *config, const struct lt_callback_env *env);
    void (*destroy)(void *self);
    int (*on_epoch_start)(void *self, const struct lt_hook *h, struct lt_error *err);
    int (*on_window_start)(void *self, const struct lt_hook *h,
                           struct lt_error *err); /* before an update's first batch */
    int (*on_step)(void *self, const struct lt_hook *h, struct lt_error *err); /* after an update */
    int (*on_validation_end)(void *self, const struct lt_hook *h, struct lt_error *err);
    int (*on_epoch_end)(void *self, const struct lt_hook *h, struct lt_error *err);
    int (*on_exception)(void *self, const struct lt_hook *h, struct lt_error *err);
    /* Wants training to end now: a text for people, else NULL. Asked after every hook; min_epochs
     * and min_steps may veto. */
    const char *(*wants_stop)(const void *self, const char **monitor);
    /* Names it will log. */
    int (*columns)(const void *self, const char **names, int max);
    struct cJSON *(*save)(const void *self);
    int (*load)(void *self, const struct cJSON *state, struct lt_error *err);
};

const struct lt_callback *lt_callback_find(Lt__V1__Callback__CallbackCase which); /* NULL */
void lt_save_done(struct lt_save *s);

#endif
