/* restore.c - from a checkpoint folder back into a session and a trainer
 *
 * Checksums are verified before a byte is used. The attempt's own checkpoint may be damaged: then
 * the next older one of the run is taken, and said so; a checkpoint that the user named must be
 * good.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/graph.h"
#include "engine/train/json.h"
#include "engine/train/trainer.h"
#include "sys/file.h"

static bool is_model(const struct lt_tensor_info *info)
{
    return info->kind == LT_VALUE_PARAM || info->kind == LT_VALUE_BUFFER;
}

bool lt_tensor_fits(const struct lt_tensor_info *want, const struct lt_tensor *have)
{
    size_t elements = want->bytes / lt_dtype_sizes[want->dtype];
    bool type = want->dtype == have->dtype ||
                (lt_dtype_is_float(want->dtype) && lt_dtype_is_float(have->dtype));

    return type && want->ndim == have->ndim &&
           !memcmp(want->dim, have->dim, sizeof *want->dim * (size_t)want->ndim) &&
           have->bytes == elements * lt_dtype_sizes[have->dtype];
}

/* Of another floating type than the session's. */
static int write_converted(struct lt_session *s, int i, const struct lt_tensor *t,
                           struct lt_error *err)
{
    const struct lt_tensor_info *info = lt_session_tensor(s, i);
    void *data = calloc(1, info->bytes + 1);
    int rc = data ? 0 : lt_error_set(err, -ENOMEM, "no memory to convert tensor %s", info->name);

    for (size_t k = 0; !rc && k < info->bytes / lt_dtype_sizes[info->dtype]; k++)
        lt_dtype_store(info->dtype, data, (int64_t)k,
                       lt_dtype_load(t->dtype, t->data, (int64_t)k));
    rc = rc ? rc : lt_session_write(s, i, data, err);
    free(data);
    return rc;
}

static int write_tensor(struct lt_session *s, int i, const struct lt_tensor *t, const char *path,
                        struct lt_error *err)
{
    const struct lt_tensor_info *info = lt_session_tensor(s, i);

    if (!lt_tensor_fits(info, t))
        return lt_error_set(err, -EINVAL,
                            "%s: tensor %s has another shape or type than the model's", path,
                            info->name);
    return t->dtype == info->dtype ? lt_session_write(s, i, t->data, err)
                                   : write_converted(s, i, t, err);
}

/* Pages of zeros that are only read aren't held. */
static int write_zeros(struct lt_session *s, int i, size_t bytes, struct lt_error *err)
{
    void *zeros = calloc(1, bytes + 1);
    int rc = zeros ? lt_session_write(s, i, zeros, err)
                   : lt_error_set(err, -ENOMEM, "no memory for %zu zeros", bytes);

    free(zeros);
    return rc;
}

/* Tensors of one file into the session. Accumulators that aren't there belong to a closed window:
 * zero. Returns how many, or an error. */
static int load_tensors(struct lt_session *s, const char *path, bool model, bool strict,
                        struct lt_error *err)
{
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *file = NULL;
    int n = 0, rc = lt_safetensors_open(path, &file, err);

    for (int i = 0; i < lt_session_n_tensors(s) && rc == 0; i++) {
        const struct lt_tensor_info *info = lt_session_tensor(s, i);
        const struct lt_tensor *t;

        if (is_model(info) != model)
            continue;
        t = lt_safetensors_find(file, info->name);
        if (!t && info->kind == LT_VALUE_ACCUM)
            rc = write_zeros(s, i, info->bytes, err);
        if (!t && (!strict || info->kind == LT_VALUE_ACCUM))
            continue;
        if (!t)
            rc = lt_error_set(
                err, -EINVAL,
                "%s: tensor %s is missing: it was made with another model or optimizer", path,
                info->name);
        if (rc == 0)
            rc = write_tensor(s, i, t, path, err);
        n++;
    }
    return rc < 0 ? rc : n;
}

int lt_load_model(struct lt_session *s, const char *path, bool strict, int *matched, int *total,
                  struct lt_error *err)
{
    int rc = load_tensors(s, path, true, strict, err);

    if (rc < 0)
        return rc;
    *matched = rc;
    *total = 0;
    for (int i = 0; i < lt_session_n_tensors(s); i++)
        *total += is_model(lt_session_tensor(s, i));
    return 0;
}

/* For the log: a run in another precision goes on from rounded or widened numbers. */
static void say_converted(const struct lt_trainer *t, const char *path)
{
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *file = NULL;
    const char *from = NULL, *to = NULL;
    int n = 0;

    if (lt_safetensors_open(path, &file, NULL) < 0)
        return;
    for (int i = 0; i < lt_session_n_tensors(t->session); i++) {
        const struct lt_tensor_info *info = lt_session_tensor(t->session, i);
        const struct lt_tensor *have = lt_safetensors_find(file, info->name);

        if (!have || have->dtype == info->dtype)
            continue;
        from = lt_dtype_names[have->dtype];
        to = lt_dtype_names[info->dtype];
        n++;
    }
    if (n)
        lt_trainer_say(t, "%s: %d tensors converted from %s to %s", path, n, from, to);
}

static int read_state(const char *dir, cJSON **out, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/trainer.json", dir);
    LT_BUF_AUTO text = {0};
    int rc = lt_file_read(path, LT_TRAINER_JSON_MAX, &text, err);

    if (rc < 0)
        return rc;
    *out = cJSON_ParseWithLength(text.data ? text.data : "", text.len);
    return *out ? 0 : lt_error_set(err, -EPROTO, "%s: not JSON", path);
}

/* Everything a folder holds; *state is the caller's. */
static int load_folder(struct lt_trainer *t, const char *dir, cJSON **state, struct lt_error *err)
{
    LT_AUTO(lt_free) char *model = lt_format("%s/model.safetensors", dir);
    LT_AUTO(lt_free) char *optimizer = lt_format("%s/optimizer.safetensors", dir);
    int rc = read_state(dir, state, err);

    if (rc < 0)
        return rc;
    rc = load_tensors(t->session, model, true, true, err);
    if (rc >= 0)
        rc = load_tensors(t->session, optimizer, false, true, err);
    if (rc >= 0 && !lt_ranks_first(&t->ranks))
        lt_session_clear(t->session); /* an open window was saved as rank 0's */
    if (rc < 0)
        return rc;
    say_converted(t, model);
    say_converted(t, optimizer);
    return 0;
}

/* Verified and complete, or why not. */
static int usable(const char *dir, struct lt_manifest *meta, struct lt_error *err)
{
    int rc = lt_manifest_verify(dir, meta, err);

    if (rc == 0 && meta->weights_only)
        rc = lt_error_set(err, -EINVAL, "%s holds weights only: nothing can be continued from it",
                          dir);
    return rc;
}

static char *absolute(const struct lt_trainer *t, const char *name)
{
    return name[0] == '/' ? lt_strdup(name) : lt_format("%s/%s", t->c->start->run_dir, name);
}

/* The newest usable one of the run besides `bad`, up to a step; NULL: none. */
static char *older_one(const struct lt_trainer *t, const char *bad, uint64_t step_max)
{
    struct lt_checkpoint_list l = {0};
    struct lt_manifest meta;
    char *found = NULL;

    lt_checkpoint_list_add(&l, t->checkpoints_dir);
    lt_checkpoint_list_add(&l, t->recovery_dir);
    lt_checkpoint_list_sort(&l);
    for (int i = 0; i < l.n && !found; i++)
        if (strcmp(l.items[i].path, bad) &&
            !strcmp(l.items[i].meta.job, t->c->start->job ? t->c->start->job : "") &&
            l.items[i].meta.step <= step_max &&
            usable(l.items[i].path, &meta, NULL) == 0)
            found = lt_strdup(l.items[i].path);
    lt_checkpoint_list_done(&l);
    return found;
}

/* The folder this attempt begins from; NULL with 0: the plan's own start. */
static int choose_here(struct lt_trainer *t, char **out, struct lt_error *err)
{
    const char *given = t->c->start->checkpoint,
               *resume = t->plan->resume ? t->plan->resume->path : NULL;
    struct lt_manifest meta;
    struct lt_error why = {0};

    *out = NULL;
    if (given && *given) {
        *out = absolute(t, given);
        if (usable(*out, &meta, &why) == 0)
            return 0;
        lt_trainer_say(t, "checkpoint %s cannot be used: %s", given, why.text);
        LT_AUTO(lt_free) char *bad = *out;
        *out = older_one(t, bad, UINT64_MAX);
        lt_trainer_say(t, "going back to %s", *out ? *out : "the start");
        if (*out)
            return 0;
    }
    if (!resume || !*resume)
        return 0;
    *out = lt_strdup(resume);
    if (usable(*out, &meta, err) == 0)
        return 0;
    lt_free(LT_TAKE(*out));
    return lt_error_prefix(err, "resume");
}

/* Rank 0 looks, since what is there changes while it does. */
static int choose(struct lt_trainer *t, char **out, struct lt_error *err)
{
    int rc;

    *out = NULL;
    rc = lt_ranks_first(&t->ranks) ? choose_here(t, out, err) : 0;
    return rc < 0 ? rc : lt_ranks_tell(t, out, err);
}

static int same_data(const struct lt_trainer *t, const cJSON *state, struct lt_error *err)
{
    const char *data = lt_json_string(state, "data");

    if (!data || !*data || !t->fingerprint || !strcmp(data, t->fingerprint))
        return 0;
    return lt_error_set(err, -ESTALE,
                        "the data are not what the checkpoint was trained on; then: %s now: %s",
                        data, t->fingerprint);
}

static int load_weights(struct lt_trainer *t, bool told, struct lt_error *err)
{
    const char *file = t->plan->model->weights;
    LT_AUTO(lt_free) char *path = file && *file ? lt_train_file(file, t->c->blobs) : NULL;
    int matched, total, rc;

    if (!file || !*file)
        return 0;
    if (!path)
        return lt_error_set(err, -ENOENT, "%s: this process has no folder of blobs", file);
    rc = lt_load_model(t->session, path, false, &matched, &total, err);
    if (rc == 0 && !matched)
        rc = lt_error_set(err, -EINVAL, "%s: no tensor of it has the name of one of the model's",
                          path);
    if (rc < 0)
        lt_train_file_named(err, path, file);
    if (rc < 0 || told)
        return rc;
    say_converted(t, path);
    LT_AUTO(lt_free) char *text = lt_format("%d of %d tensors matched", matched, total);
    lt_trainer_say(t, "weights %s: %s", file, text);
    return lt_trainer_resolved(t, "model.weights", text, err);
}

int lt_trainer_restore(struct lt_trainer *t, cJSON **state, bool *same_run, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = NULL;
    const char *run;
    int rc = lt_session_init(t->session, err);

    *state = NULL;
    *same_run = false;
    if (rc == 0)
        rc = choose(t, &dir, err);
    if (rc < 0)
        return rc;
    if (!dir)
        return load_weights(t, false, err);
    rc = load_folder(t, dir, state, err);
    if (rc == 0)
        rc = same_data(t, *state, err);
    if (rc == 0)
        rc = lt_trainer_set_state(t, *state, err);
    if (rc < 0)
        return rc;
    run = lt_json_string(*state, "run_dir");
    *same_run = lt_str_eq(run, t->c->start->run_dir);
    t->checkpoint_name = lt_strdup(lt_str_starts(dir, t->c->start->run_dir) &&
                                           dir[strlen(t->c->start->run_dir)] == '/'
                                       ? dir + strlen(t->c->start->run_dir) + 1
                                       : dir);
    return 0;
}

/* The folder a rollback takes: the one that was set, else an older one of the run, else where the
 * job began (NULL: not in a checkpoint). */
static char *rollback_folder(const struct lt_trainer *t)
{
    const char *resume = t->plan->resume ? t->plan->resume->path : NULL;
    struct lt_manifest meta;
    struct lt_error why = {0};
    char *found;

    if (t->rollback.to) {
        LT_AUTO(lt_free) char *dir = absolute(t, t->rollback.to);

        if (usable(dir, &meta, &why) == 0 && meta.step <= t->pos.step)
            return LT_TAKE(dir);
        if (!why.text[0]) /* its name was used again, by an attempt that went further */
            lt_error_set(&why, -ESTALE, "it is of step %" PRIu64, meta.step);
        found = older_one(t, dir, t->pos.step);
        lt_trainer_say(t, "checkpoint %s cannot be used: %s; going back to %s", t->rollback.to,
                       why.text, found ? found : "the start");
        if (found)
            return found;
    }
    return resume && *resume ? lt_strdup(resume) : NULL;
}

/* Behind an update the window is closed; the checkpoint may have been taken in an open one. */
static int close_window(struct lt_session *s, struct lt_error *err)
{
    int rc = 0;

    for (int i = 0; i < lt_session_n_tensors(s) && rc == 0; i++)
        if (lt_session_tensor(s, i)->kind == LT_VALUE_ACCUM)
            rc = write_zeros(s, i, lt_session_tensor(s, i)->bytes, err);
    return rc;
}

/* As its checkpoint_saved named it. */
static char *told_name(const struct lt_trainer *t, const char *dir)
{
    size_t n = strlen(t->checkpoints_dir);

    if (lt_str_starts(dir, t->checkpoints_dir) && dir[n] == '/')
        return lt_strdup(dir + n + 1);
    n = strlen(t->c->start->run_dir);
    return lt_strdup(lt_str_starts(dir, t->c->start->run_dir) && dir[n] == '/' ? dir + n + 1 : dir);
}

int lt_trainer_rollback(struct lt_trainer *t, char **from, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = lt_ranks_first(&t->ranks) ? rollback_folder(t) : NULL;
    struct lt_manifest meta;
    cJSON *state = NULL;
    int rc = lt_ranks_tell(t, &dir, err);

    if (rc < 0)
        return rc;
    if (!dir) {
        rc = lt_session_init(t->session, err);
        t->pos.updates = 0;
        return rc < 0 ? rc : load_weights(t, true, err);
    }
    rc = usable(dir, &meta, err);
    if (rc == 0)
        rc = load_folder(t, dir, &state, err);
    if (rc == 0 && !lt_json_u64(cJSON_GetObjectItemCaseSensitive(state, "position"), "updates",
                                &t->pos.updates))
        rc = lt_error_set(err, -EPROTO, "%s/trainer.json is damaged", dir);
    cJSON_Delete(state);
    if (rc == 0)
        rc = close_window(t->session, err);
    if (rc == 0 && lt_ranks_first(&t->ranks))
        *from = told_name(t, dir);
    return rc;
}
