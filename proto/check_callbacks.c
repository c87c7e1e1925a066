/* check_callbacks.c - what callbacks watch must exist, and no two may be the same
 *
 * A monitor that no metric feeds would be found after hours of training, or never: the metrics of a
 * plan are known before it starts, so it is refused here. Two callbacks with one key would write
 * over each other's state.
 */
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/checks.h"
#include "proto/plan.h"
#include "proto/template.h"

struct watch {
    const struct lt_check *c;
    const char *const *names; /* metrics that exist while training */
    size_t n;
};

static bool exists(const struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (!strcmp(w->names[i], name))
            return true;
    return false;
}

/* A metric that a callback needs; only_warn: the callback was told to do without. */
static bool check_metric(const struct watch *w, const char *path, const char *name, bool only_warn)
{
    const bool test = lt_str_starts(name, "test_");
    const bool val = lt_str_starts(name, "val_") && !lt_plan_validates(w->c->plan);
    const char *near;
    LT_BUF_AUTO remedy = {0};

    if (exists(w, name))
        return true;
    near = lt_suggest(name, w->names, w->n);
    if (near)
        lt_buf_printf(&remedy, "did you mean `%s`?", near);
    else
        lt_buf_str(&remedy, "write ");
    for (size_t i = 0; !near && i < w->n && i < 16; i++)
        lt_buf_printf(&remedy, "%s%s", i == 0 ? "" : i + 1 == w->n ? " or " : ", ", w->names[i]);
    (only_warn ? lt_problem_warn
               : lt_problem_add)(w->c->problems, path, remedy.data,
                                 test  ? "`%.60s`: exists only in `ltctl test`, not while training"
                                 : val ? "`%.60s`: there is no validation in this plan"
                                       : "`%.60s`: no metric of this plan",
                                 name);
    return false;
}

/* Python's rules: `d` is for whole numbers, and those have no precision unless a type for decimals
 * is asked for. */
static void check_format(const struct watch *w, const char *path, const char *name,
                         const char *format, size_t n)
{
    const bool whole = !strcmp(name, "epoch") || !strcmp(name, "step");
    const bool decimal = n && strchr("eEfFgG%", format[n - 1]);

    if (!whole && n && format[n - 1] == 'd')
        lt_problem_add(w->c->problems, path, "write a format for decimals, like :.2f",
                       "`%.60s` isn't a whole number, as the format `d` needs", name);
    if (whole && n && !decimal && memchr(format, '.', n))
        lt_problem_add(w->c->problems, path, "write a format like :02d",
                       "`%.60s` is a whole number and has no precision", name);
}

static void check_template(const struct watch *w, const char *path, const char *text)
{
    struct lt_template_part p;
    const char *at = text;
    int rc;

    if (!*text || strlen(text) > 200)
        lt_problem_add(w->c->problems, path, "write a name like model-{epoch:02d}", "is %s",
                       *text ? "too long" : "empty");
    if (*text == '.')
        lt_problem_add(w->c->problems, path, "begin with something else", "begins with a `.`");
    while ((rc = lt_template_next(&at, &p)) > 0) {
        char name[128];

        if (!p.name) {
            if (memchr(p.literal, '/', p.literal_len))
                lt_problem_add(w->c->problems, path, "write a name; `dirpath` gives the folder",
                               "holds a `/`");
            continue;
        }
        if (p.name_len >= sizeof name)
            p.name_len = sizeof name - 1;
        memcpy(name, p.name, p.name_len);
        name[p.name_len] = '\0';
        if (check_metric(w, path, name, false))
            check_format(w, path, name, p.format, p.format_len);
    }
    if (rc < 0)
        lt_problem_add(w->c->problems, path, "write {name} or {name:.2f}",
                       "braces or format can't be read at `%.40s`", at);
}

/* Set, and not switched off by 0. */
static int triggers(const Lt__V1__ModelCheckpoint *m)
{
    return (m->has_every_n_train_steps && m->every_n_train_steps) +
           (m->has_every_n_epochs && m->every_n_epochs) + (m->train_time_interval != NULL);
}

static void check_model_checkpoint(const struct watch *w, const Lt__V1__ModelCheckpoint *m,
                                   const char *path)
{
    const struct lt_check *c = w->c;

    if (m->monitor)
        check_metric(w, lt_check_path(c, "%s.monitor", path), m->monitor, false);
    if (m->filename)
        check_template(w, lt_check_path(c, "%s.filename", path), m->filename);
    if (triggers(m) > 1)
        lt_problem_add(c->problems, lt_check_path(c, "%s", path),
                       "keep one of every_n_train_steps, train_time_interval and every_n_epochs",
                       "has more than one trigger");
    if (m->train_time_interval &&
        (!m->train_time_interval->has_seconds || m->train_time_interval->seconds == 0))
        lt_problem_add(c->problems, lt_check_path(c, "%s.train_time_interval", path),
                       "write a time above 0", "is 0");
    if (!m->monitor && m->save_top_k > 1)
        lt_problem_add(c->problems, lt_check_path(c, "%s.save_top_k", path),
                       "give a `monitor`, or write -1, 0 or 1",
                       "the best %lld can't be told without a monitor", (long long)m->save_top_k);
    if (!c->plan->trainer)
        return;
    if (!c->plan->trainer->enable_checkpointing)
        lt_problem_add(c->problems, lt_check_path(c, "%s", path),
                       "remove it, or trainer.enable_checkpointing: false",
                       "trainer.enable_checkpointing is false");
}

static void check_early_stopping(const struct watch *w, const Lt__V1__EarlyStopping *e,
                                 const char *path)
{
    if (e->monitor && *e->monitor)
        check_metric(w, lt_check_path(w->c, "%s.monitor", path), e->monitor, !e->strict);
}

static void check_rate_monitor(const struct watch *w, const char *path)
{
    if (w->c->plan->trainer && !w->c->plan->trainer->enable_logger)
        lt_problem_add(w->c->problems, lt_check_path(w->c, "%s", path),
                       "remove it, or trainer.enable_logger: false",
                       "has no logger to write to: trainer.enable_logger is false");
}

/* The identity under which a callback's state is saved, as in Lightning: class and these fields. */
static const char *state_key(const struct lt_check *c, const Lt__V1__Callback *cb)
{
    const Lt__V1__ModelCheckpoint *m = cb->model_checkpoint;
    const Lt__V1__EarlyStopping *e = cb->early_stopping;
    uint64_t epochs;
    const char *key = NULL;

    switch (cb->callback_case) {
    case LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT:
        epochs = m->has_every_n_epochs ? m->every_n_epochs : triggers(m) == 0;
        key = lt_arena_format(
            c->arena, "model_checkpoint %s %d %llu %llu %a", m->monitor ? m->monitor : "", m->mode,
            m->has_every_n_train_steps ? (unsigned long long)m->every_n_train_steps : 0ull,
            (unsigned long long)epochs,
            m->train_time_interval ? m->train_time_interval->seconds : 0.0);
        break;
    case LT__V1__CALLBACK__CALLBACK_EARLY_STOPPING:
        key = lt_arena_format(c->arena, "early_stopping %s %d", e->monitor ? e->monitor : "",
                              e->mode);
        break;
    case LT__V1__CALLBACK__CALLBACK_LEARNING_RATE_MONITOR:
        key = "learning_rate_monitor";
        break;
    default:
        break;
    }
    return key ? key : "";
}

static void check_keys(const struct lt_check *c)
{
    const size_t n = LT_MIN(c->plan->n_callbacks, (size_t)100);
    const char **keys = lt_arena_alloc(c->arena, (n + 1) * sizeof *keys);

    if (c->plan->n_callbacks > n)
        lt_problem_add(c->problems, lt_check_path(c, "callbacks"), "use fewer",
                       "more than 100 callbacks");
    for (size_t i = 0; keys && i < n; i++) {
        keys[i] = state_key(c, c->plan->callbacks[i]);
        for (size_t k = 0; k < i && *keys[i]; k++)
            if (!strcmp(keys[i], keys[k])) {
                lt_problem_add(
                    c->problems, lt_check_path(c, "callbacks[%zu]", i),
                    "remove one, or let them differ in monitor, mode or trigger",
                    "is the same as callbacks[%zu]: their saved states can't be told apart", k);
                break;
            }
    }
}

static void check_loggers(const struct lt_check *c)
{
    for (size_t i = 0; i < c->plan->n_loggers && i < 100; i++)
        for (size_t k = 0; k < i; k++)
            if (c->plan->loggers[i]->logger_case &&
                c->plan->loggers[i]->logger_case == c->plan->loggers[k]->logger_case)
                lt_problem_add(c->problems, lt_check_path(c, "loggers[%zu]", i), "remove one",
                               "is the same as loggers[%zu]: both would write the same files", k);
}

static struct watch watch_of(const struct lt_check *c)
{
    const char *const *all = lt_plan_metric_names(c->plan, c->arena);
    struct watch w = {.c = c};
    const char **names;
    size_t n = 0;

    while (all[n])
        n++;
    names = lt_arena_alloc(c->arena, (n + 1) * sizeof *names);
    for (size_t i = 0; names && i < n; i++)
        if (!lt_str_starts(all[i], "test_"))
            names[w.n++] = all[i];
    w.names = names;
    return w;
}

void lt_check_callbacks(const struct lt_check *c)
{
    const bool dry =
        c->plan->trainer && c->plan->trainer->fast_dev_run; /* callbacks are inactive */
    const struct lt_check here = {.arena = c->arena, .at = ""};
    struct watch w = watch_of(c);

    for (size_t i = 0; i < c->plan->n_callbacks && i < 100; i++) {
        const Lt__V1__Callback *cb = c->plan->callbacks[i];

        if (cb->callback_case == LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT && !dry)
            check_model_checkpoint(&w, cb->model_checkpoint,
                                   lt_check_path(&here, "callbacks[%zu].model_checkpoint", i));
        else if (cb->callback_case == LT__V1__CALLBACK__CALLBACK_EARLY_STOPPING && !dry)
            check_early_stopping(&w, cb->early_stopping,
                                 lt_check_path(&here, "callbacks[%zu].early_stopping", i));
        else if (cb->callback_case == LT__V1__CALLBACK__CALLBACK_LEARNING_RATE_MONITOR)
            check_rate_monitor(&w, lt_check_path(&here, "callbacks[%zu].learning_rate_monitor", i));
    }
    check_keys(c);
    check_loggers(c);
}
