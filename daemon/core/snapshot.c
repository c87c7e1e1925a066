/* snapshot.c - the fold from the log, and to and from one message
 *
 * The same events give the same bytes: a snapshot is the packed fold, the fold is changed by events
 * alone, and nothing soft is in it.
 */
#include "daemon/core/state.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"

#define FOLD_VERSION 1

uint64_t lt_core_last_seq(const struct lt_core *core)
{
    return core->last_seq;
}

int lt_core_replay(struct lt_core *core, const void *data, size_t len, struct lt_error *err)
{
    Lt__V1__Event *e = lt__v1__event__unpack(NULL, len, data);
    int rc;

    if (!e)
        return lt_error_set(err, -EPROTO, "event %llu: not an event",
                            (unsigned long long)core->last_seq + 1);
    rc = lt_core_apply(core, e, err);
    lt__v1__event__free_unpacked(e, NULL);
    return rc;
}

void lt_core_snapshot(const struct lt_core *core, uint8_t **data, size_t *len)
{
    Lt__V1__Fold f = LT__V1__FOLD__INIT;
    const char *id;
    void *job;

    LT_SET(&f, version, FOLD_VERSION);
    LT_SET(&f, last_seq, core->last_seq);
    f.jobs = lt_calloc(lt_map_count(core->jobs), sizeof *f.jobs);
    for (size_t i = 0; lt_map_next(core->jobs, &i, &id, &job);)
        f.jobs[f.n_jobs++] = ((struct lt_job *)job)->fold;
    f.draining = core->draining;
    f.n_draining = core->n_draining;
    *len = lt__v1__fold__get_packed_size(&f);
    *data = lt_malloc(*len);
    lt__v1__fold__pack(&f, *data);
    lt_free(f.jobs);
}

static bool fold_valid(const Lt__V1__Fold *f)
{
    if (f->version != FOLD_VERSION)
        return false;
    for (size_t i = 0; i < f->n_jobs; i++)
        if (!f->jobs[i]->id || !f->jobs[i]->spec || (unsigned)f->jobs[i]->state >= LT_STATE_N)
            return false;
    return true;
}

/* The `done` list is in order of ending, which the order of submission doesn't tell. */
static int by_end(const void *a, const void *b)
{
    const Lt__V1__JobFold *x = *(Lt__V1__JobFold *const *)a, *y = *(Lt__V1__JobFold *const *)b;

    return x->ended_ns < y->ended_ns ? -1 : x->ended_ns > y->ended_ns;
}

static void relist_done(struct lt_core *core)
{
    struct lt_list *l = &core->lists[LT__V1__JOB_STATE__DONE];
    size_t n = l->count;
    Lt__V1__JobFold **folds = lt_calloc(n, sizeof *folds);

    for (size_t i = 0; i < n; i++) {
        folds[i] = l->first->fold;
        lt_list_remove(core, l, l->first);
    }
    qsort(folds, n, sizeof *folds, by_end);
    for (size_t i = 0; i < n; i++)
        lt_list_add(core, lt_core_job(core, folds[i]->id));
    lt_free(folds);
}

int lt_core_restore(struct lt_core *core, const void *data, size_t len, struct lt_error *err)
{
    Lt__V1__Fold *f = lt__v1__fold__unpack(NULL, len, data);

    if (!f || !fold_valid(f) || core->last_seq || lt_map_count(core->jobs)) {
        if (f)
            lt__v1__fold__free_unpacked(f, NULL);
        return lt_error_set(err, -EPROTO, "not a snapshot of version %d", FOLD_VERSION);
    }
    for (size_t i = 0; i < f->n_jobs; i++)
        lt_core_add(core, f->jobs[i]);
    f->n_jobs = 0;
    relist_done(core);
    for (size_t i = 0; i < f->n_draining; i++)
        lt_core_set_draining(core, f->draining[i], true);
    core->last_seq = f->last_seq;
    lt__v1__fold__free_unpacked(f, NULL);
    return 0;
}
