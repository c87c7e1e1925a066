/* model_checkpoint.c - saves at epoch ends, validations, every n steps or some time, and keeps the
 * k best
 *
 * Differences from Lightning (docs/decisions/0010): `last` is always the newest, because every
 * trigger saves (what isn't kept here becomes the newest recovery checkpoint); a name that exists
 * gets -v1 unless it is this very checkpoint, written before a restart.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/train/callback.h"
#include "engine/train/json.h"
#include "engine/train/template.h"
#include "engine/train/topk.h"

struct saver {
    const Lt__V1__ModelCheckpoint *c;
    int index;
    char *dir;
    const char *own_dir; /* NULL: <run>/checkpoints */
    bool at_epoch_end;
    uint64_t every_n_epochs;
    struct lt_topk kept;
    uint64_t last_step; /* saved then; 0: never */
    char *last_name;    /* kept for save_last although not among the best; NULL */
    uint64_t last_ns;
    bool deferred; /* a step trigger waits for validation */
};

static bool saves_at_epoch_end(const Lt__V1__ModelCheckpoint *c, const struct lt_limits *l)
{
    if (c->has_save_on_train_epoch_end)
        return c->save_on_train_epoch_end;
    if (l->val_every_seconds > 0 || l->val_across_epochs || l->val_every_n_epoch != 1)
        return false;
    return !l->val_batches || l->val_at_epoch_end;
}

static bool by_epoch(const Lt__V1__ModelCheckpoint *c)
{
    return !c->every_n_train_steps && !c->train_time_interval;
}

static void *saver_create(const Lt__V1__Callback *config, const struct lt_callback_env *env)
{
    struct saver *s;

    if (env->limits->fast_dev_run)
        return NULL;
    s = lt_calloc(1, sizeof *s);
    s->c = config->model_checkpoint;
    s->index = env->index;
    s->own_dir = s->c->dirpath && *s->c->dirpath ? s->c->dirpath : NULL;
    s->dir = lt_strdup(s->own_dir ? s->own_dir : env->checkpoints_dir);
    s->at_epoch_end = saves_at_epoch_end(s->c, env->limits);
    s->every_n_epochs = s->c->has_every_n_epochs ? s->c->every_n_epochs : by_epoch(s->c) ? 1 : 0;
    s->kept = (struct lt_topk){.k = s->c->save_top_k,
                               .max = s->c->mode == LT__V1__MODE__MAX,
                               .scored = s->c->monitor != NULL};
    return s;
}

static void saver_destroy(void *self)
{
    struct saver *s = self;

    lt_topk_done(&s->kept);
    lt_free(s->last_name);
    lt_free(s->dir);
    lt_free(s);
}

/* Names in templates: epoch, step, every metric; one without a value yet is NaN. */
static bool lookup(void *arg, const char *name, struct lt_template_value *out)
{
    const struct lt_hook *h = arg;
    const struct lt_value_entry *e = lt_values_declared(h->values, name);

    if (e)
        *out = (struct lt_template_value){false, e->value};
    else if (!strcmp(name, "epoch"))
        *out = (struct lt_template_value){true, (double)h->epoch};
    else if (!strcmp(name, "step"))
        *out = (struct lt_template_value){true, (double)h->step};
    else
        return false;
    return true;
}

/* The template's name, with a version behind it when it is somebody else's. `free_name` may be
 * overwritten. */
static int make_name(const struct saver *s, const struct lt_hook *h, const char *free_name,
                     bool versions, char **out, struct lt_error *err)
{
    const char *template = s->c->filename && *s->c->filename ? s->c->filename : "{epoch}-{step}";
    LT_BUF_AUTO base = {0};
    LT_BUF_AUTO name = {0};
    int rc = lt_template_format(template, s->c->auto_insert_metric_name, lookup,
                                (void *)(uintptr_t)h, &base, err);

    if (rc < 0)
        return lt_error_prefix(err, "model_checkpoint: filename");
    lt_buf_str(&name, base.data);
    for (int v = 1;
         versions && !(free_name && !strcmp(name.data, free_name)) &&
         (lt_topk_has(&s->kept, name.data) || h->taken(h->arg, s->dir, name.data, s->index));
         v++) {
        lt_buf_done(&name);
        lt_buf_printf(&name, "%s-v%d", base.data, v);
    }
    *out = lt_buf_take(&name);
    return 0;
}

/* A folder that goes once the new one is durable, unless the new one took its name. */
static void drop(const struct saver *s, struct lt_save *save, char *name)
{
    if (name && strcmp(name, save->name))
        save->removed[save->n_removed++] = lt_format("%s/%s", s->dir, name);
    lt_free(name);
}

static void drop_last(struct saver *s, struct lt_save *save)
{
    if (s->last_name && !lt_topk_has(&s->kept, s->last_name))
        drop(s, save, LT_TAKE(s->last_name));
    lt_free(LT_TAKE(s->last_name));
}

static int keep(struct saver *s, const struct lt_hook *h, struct lt_save *save, bool among_best,
                bool versions, struct lt_error *err)
{
    int v = among_best ? lt_topk_victim(&s->kept) : -1;
    const char *free_name = v >= 0 ? s->kept.items[v].name : among_best ? NULL : s->last_name;
    int rc = make_name(s, h, free_name, versions, &save->name, err);

    if (rc < 0)
        return rc;
    save->dir = s->own_dir ? lt_strdup(s->own_dir) : NULL;
    save->weights_only = s->c->save_weights_only;
    save->best = among_best && s->kept.scored && lt_topk_is_best(&s->kept, save->score);
    if (among_best) {
        char *gone = lt_topk_add(&s->kept, save->name, save->score);
        bool still_last = gone && s->last_name && !strcmp(gone, s->last_name);

        drop(s, save, gone);
        if (still_last)
            lt_free(LT_TAKE(s->last_name));
    }
    drop_last(s, save);
    if (s->c->save_last != LT__V1__MODEL_CHECKPOINT__SAVE_LAST__off && !among_best)
        s->last_name = lt_strdup(save->name);
    return 0;
}

/* A monitored value that was set; epoch and step always are. */
static bool has_score(const struct saver *s, const struct lt_hook *h, struct lt_template_value *v)
{
    const char *m = s->c->monitor;

    if (!m)
        return true;
    return (lt_values_find(h->values, m) || !strcmp(m, "epoch") || !strcmp(m, "step")) &&
           lookup((void *)(uintptr_t)h, m, v);
}

static int save_now(struct saver *s, const struct lt_hook *h, bool versions, struct lt_error *err)
{
    struct lt_template_value v = {false, 0};
    bool have = has_score(s, h, &v);
    struct lt_save *save;
    bool wants;

    if (h->step == s->last_step || h->requests->n_saves == LT_SAVES_MAX)
        return 0;
    save = &h->requests->saves[h->requests->n_saves++];
    *save = (struct lt_save){.callback = s->index,
                             .verbose = s->c->verbose,
                             .timed = s->c->train_time_interval || h->limits->val_every_seconds > 0,
                             .has_score = have && s->c->monitor,
                             .score = v.value};
    save->monitor = s->c->monitor ? lt_strdup(s->c->monitor) : NULL;
    s->deferred = false;
    s->last_step = h->step;
    s->last_ns = h->now_ns;
    wants = have && lt_topk_wants(&s->kept, v.value);
    if (wants || s->c->save_last != LT__V1__MODEL_CHECKPOINT__SAVE_LAST__off)
        return keep(s, h, save, wants, versions && s->c->enable_version_counter, err);
    return 0;
}

static int saver_on_step(void *self, const struct lt_hook *h, struct lt_error *err)
{
    struct saver *s = self;
    const Lt__V1__ModelCheckpoint *c = s->c;
    struct lt_template_value v;
    bool due = c->every_n_train_steps && h->step % c->every_n_train_steps == 0;

    if (c->train_time_interval) {
        if (!s->last_ns)
            s->last_ns = h->now_ns;
        due = (double)(h->now_ns - s->last_ns) * 1e-9 >= c->train_time_interval->seconds;
    }
    if (!due)
        return 0;
    if (c->monitor && (h->val_follows || !has_score(s, h, &v))) {
        s->deferred = true;
        return 0;
    }
    return save_now(s, h, true, err);
}

static bool epoch_due(const struct saver *s, const struct lt_hook *h)
{
    return s->every_n_epochs && (h->epoch + 1) % s->every_n_epochs == 0;
}

static int saver_on_validation_end(void *self, const struct lt_hook *h, struct lt_error *err)
{
    struct saver *s = self;

    return s->deferred || (!s->at_epoch_end && epoch_due(s, h)) ? save_now(s, h, true, err) : 0;
}

static int saver_on_epoch_end(void *self, const struct lt_hook *h, struct lt_error *err)
{
    struct saver *s = self;

    return s->at_epoch_end && epoch_due(s, h) ? save_now(s, h, true, err) : 0;
}

static int saver_on_exception(void *self, const struct lt_hook *h, struct lt_error *err)
{
    struct saver *s = self;

    return s->c->save_on_exception ? save_now(s, h, false, err) : 0;
}

static cJSON *saver_save(const void *self)
{
    const struct saver *s = self;
    cJSON *o = cJSON_CreateObject(), *kept = cJSON_AddArrayToObject(o, "kept");

    cJSON_AddStringToObject(o, "monitor", s->c->monitor ? s->c->monitor : "");
    cJSON_AddNumberToObject(o, "mode", s->c->mode);
    cJSON_AddStringToObject(o, "dir", s->dir);
    lt_json_add_u64(o, "last_step", s->last_step);
    cJSON_AddBoolToObject(o, "deferred", s->deferred);
    if (s->last_name)
        cJSON_AddStringToObject(o, "last_name", s->last_name);
    for (int i = 0; i < s->kept.n; i++) {
        cJSON *e = cJSON_CreateObject();

        cJSON_AddStringToObject(e, "name", s->kept.items[i].name);
        lt_json_add_double(e, "score", s->kept.items[i].score);
        cJSON_AddItemToArray(kept, e);
    }
    return o;
}

static int load_kept(struct saver *s, const cJSON *kept, struct lt_error *err)
{
    const cJSON *e;

    cJSON_ArrayForEach(e, kept)
    {
        const char *name = lt_json_string(e, "name");
        double score;

        if (!name || !lt_json_double(e, "score", &score))
            return lt_error_set(err, -EPROTO, "checkpoint: damaged state of model_checkpoint");
        LT_GROW(s->kept.items, s->kept.n, s->kept.cap);
        s->kept.items[s->kept.n++] = (struct lt_kept){lt_strdup(name), score};
    }
    return 0;
}

/* What another folder holds stays there: a run that continues another one never deletes its files.
 */
static int saver_load(void *self, const cJSON *o, struct lt_error *err)
{
    struct saver *s = self;
    const char *monitor = lt_json_string(o, "monitor"), *dir = lt_json_string(o, "dir"),
               *last = lt_json_string(o, "last_name");
    uint64_t mode;

    if (!monitor || strcmp(monitor, s->c->monitor ? s->c->monitor : "") ||
        !lt_json_u64(o, "mode", &mode) || mode != (uint64_t)s->c->mode)
        return 1;
    if (!lt_json_u64(o, "last_step", &s->last_step))
        return lt_error_set(err, -EPROTO, "checkpoint: damaged state of model_checkpoint");
    s->deferred = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "deferred"));
    if (!dir || strcmp(dir, s->dir))
        return 0;
    s->last_name = last ? lt_strdup(last) : NULL;
    return load_kept(s, cJSON_GetObjectItemCaseSensitive(o, "kept"), err);
}

const struct lt_callback lt_callback_model_checkpoint = {
    .name = "model_checkpoint",
    .which = LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT,
    .last = true,
    .create = saver_create,
    .destroy = saver_destroy,
    .on_step = saver_on_step,
    .on_validation_end = saver_on_validation_end,
    .on_epoch_end = saver_on_epoch_end,
    .on_exception = saver_on_exception,
    .save = saver_save,
    .load = saver_load,
};
