/* find.c - jobs and checkpoints by what people call them */
#include "daemon/core/query.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/core/state.h"

struct lt_job *lt_core_match(const struct lt_core *core, const char *job, struct lt_error *err)
{
    struct lt_job *found = lt_core_job(core, job);
    const char *id;
    void *value;

    if (found)
        return found;
    for (size_t i = 0; job[0] && lt_map_next(core->jobs, &i, &id, &value);) {
        if (!lt_str_starts(id, job))
            continue;
        if (found) {
            lt_error_set(err, -EINVAL, "%s is the beginning of several jobs: %s and %s", job,
                         found->fold->id, id);
            return NULL;
        }
        found = value;
    }
    if (!found)
        lt_error_set(err, -ENOENT, "there is no job %s", job[0] ? job : "with an empty name");
    return found;
}

int lt_core_find(const struct lt_core *core, const char *job, const Lt__V1__JobFold **out,
                 struct lt_error *err)
{
    struct lt_error why = {0};
    const struct lt_job *found = lt_core_match(core, job ? job : "", &why);

    if (!found)
        return lt_error_set(err, why.code, "%s", why.text);
    *out = found->fold;
    return 0;
}

const Lt__V1__JobFold *lt_core_next(const struct lt_core *core, size_t *cursor)
{
    const char *id;
    void *job;

    return lt_map_next(core->jobs, cursor, &id, &job) ? ((const struct lt_job *)job)->fold : NULL;
}

size_t lt_core_job_count(const struct lt_core *core)
{
    return lt_map_count(core->jobs);
}

size_t lt_core_live_count(const struct lt_core *core)
{
    return lt_map_count(core->jobs) - core->lists[LT__V1__JOB_STATE__DONE].count;
}

/* ---- checkpoints */

/* The last one that was called best by its monitor and still exists. */
static const Lt__V1__CheckpointFold *best_of(const Lt__V1__JobFold *f)
{
    for (size_t i = f->n_checkpoints; i-- > 0;)
        if (!f->checkpoints[i]->saved->recovery && f->checkpoints[i]->saved->best)
            return f->checkpoints[i];
    return NULL;
}

/* The newest one that can be continued, the system's too: where a run was stopped, or ended between two triggers. */
static const Lt__V1__CheckpointFold *last_of(const Lt__V1__JobFold *f)
{
    const Lt__V1__CheckpointFold *last = NULL;

    for (size_t i = 0; i < f->n_checkpoints; i++)
        if (!f->checkpoints[i]->saved->weights_only &&
            (!last || f->checkpoints[i]->saved->step >= last->saved->step))
            last = f->checkpoints[i];
    return last;
}

static const Lt__V1__CheckpointFold *by_name(const Lt__V1__JobFold *f, const char *name)
{
    bool recovery = lt_str_starts(name, "recovery/");
    const char *bare = recovery ? name + strlen("recovery/") : name;

    for (size_t i = 0; i < f->n_checkpoints; i++) {
        const Lt__V1__CheckpointSaved *s = f->checkpoints[i]->saved;

        if (lt_str_eq(s->name, name) || (recovery && s->recovery && lt_str_eq(s->name, bare)))
            return f->checkpoints[i];
    }
    return NULL;
}

static const char *checkpoint_path(const Lt__V1__CheckpointSaved *s, struct lt_arena *arena)
{
    LT_BUF_AUTO path = {0};

    lt_checkpoint_path(s, &path);
    return lt_arena_strdup(arena, path.data);
}

static int no_checkpoint(const Lt__V1__JobFold *f, const char *name, struct lt_error *err)
{
    LT_BUF_AUTO names = {0};

    for (size_t i = 0; i < f->n_checkpoints; i++)
        if (!f->checkpoints[i]->saved->recovery)
            lt_buf_printf(&names, "%s%s", names.len ? ", " : "", f->checkpoints[i]->saved->name);
    if (!names.len)
        return lt_error_set(err, -ENOENT, "job %s has saved no checkpoint yet", f->id);
    return lt_error_set(err, -ENOENT, "job %s has no checkpoint %s; it has %s", f->id, name,
                        names.data);
}

int lt_core_find_checkpoint(const Lt__V1__JobFold *fold, const char *name, struct lt_arena *arena,
                            const char **path, const Lt__V1__CheckpointSaved **saved,
                            struct lt_error *err)
{
    const Lt__V1__CheckpointFold *c;

    if (!name || !name[0])
        c = best_of(fold) ? best_of(fold) : last_of(fold);
    else if (strcmp(name, "best") == 0)
        c = best_of(fold);
    else if (strcmp(name, "last") == 0 && !by_name(fold, "last"))
        c = last_of(fold);
    else
        c = by_name(fold, name);
    if (!c)
        return no_checkpoint(fold, name && name[0] ? name : "best", err);
    *path = checkpoint_path(c->saved, arena);
    *saved = c->saved;
    return 0;
}

void lt_core_checkpoints(const Lt__V1__JobFold *fold, Lt__V1__ListCheckpointsResponse *out,
                         struct lt_arena *arena)
{
    const Lt__V1__CheckpointFold *best = best_of(fold), *last = last_of(fold);

    lt__v1__list_checkpoints_response__init(out);
    out->checkpoints = lt_arena_alloc(arena, fold->n_checkpoints * sizeof *out->checkpoints);
    for (size_t i = 0; i < fold->n_checkpoints; i++) {
        const Lt__V1__CheckpointFold *c = fold->checkpoints[i];
        Lt__V1__CheckpointInfo *info;

        if (c->saved->recovery && c != last)
            continue;
        info = out->checkpoints[out->n_checkpoints++] = lt_arena_alloc(arena, sizeof *info);
        lt__v1__checkpoint_info__init(info);
        info->saved = c->saved;
        LT_SET(info, attempt, c->attempt);
        LT_SET(info, best, c == best);
        LT_SET(info, last, c == last);
        info->path = (char *)checkpoint_path(c->saved, arena);
    }
}
