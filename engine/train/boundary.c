/* boundary.c - between two units of work: saves, commands, recovery checkpoints
 *
 * State is consistent here and only here. A checkpoint is copied at once (the snapshot), written by
 * the saver's thread, and exists once its record is in the journal; what it replaces is deleted
 * after that.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"
#include "sys/file.h"

#define COST_SHARE 100 /* recovery checkpoints take at most one part in so many of the time */

static uint64_t *saved_now(const struct lt_trainer *t, uint64_t at[3])
{
    at[0] = t->pos.step;
    at[1] = t->pos.total_batches;
    at[2] = t->pos.stage == LT_STAGE_VALIDATE ? t->pos.val_batch + 1 : 0;
    return at;
}

static bool is_saved(const struct lt_trainer *t)
{
    uint64_t now[3];

    return t->saved && !memcmp(saved_now(t, now), t->saved_at, sizeof now);
}

/* It begins at what this run has saved, and needn't save it once more. Where rollbacks go is a function
 * of the position, so that a plan with those takes its checkpoints whatever is there. */
void lt_trainer_begin_saved(struct lt_trainer *t)
{
    if (lt_trainer_rolls_back(t))
        return;
    saved_now(t, t->saved_at);
    t->saved = true;
    t->recovery.last_step = t->pos.step;
}

/* Name under <run>/checkpoints, recovery/NAME, or the absolute path of another folder. */
static char *event_name(const struct lt_trainer *t, const char *dir, const char *name)
{
    if (!strcmp(dir, t->checkpoints_dir))
        return lt_strdup(name);
    return lt_format("%s/%s", strcmp(dir, t->recovery_dir) ? dir : "recovery", name);
}

static int put_saved(struct lt_trainer *t, const struct lt_target *g, const char *name,
                     struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__CheckpointSaved s = LT__V1__CHECKPOINT_SAVED__INIT;

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_SAVED;
    r.checkpoint_saved = &s;
    s.name = (char *)(uintptr_t)name;
    s.has_step = s.has_epoch = s.has_recovery = s.has_bytes = s.has_best = s.has_in_epoch =
        s.has_weights_only = true;
    s.step = g->meta.step;
    s.epoch =
        g->meta.epoch - (!g->meta.in_epoch && g->meta.epoch); /* the one that was trained last */
    s.recovery = g->recovery;
    s.bytes = lt_manifest_bytes(&g->meta);
    s.best = g->save.best;
    s.in_epoch = g->meta.in_epoch;
    s.weights_only = g->meta.weights_only;
    s.monitor = g->save.monitor;
    s.has_score = g->save.has_score;
    s.score = g->save.score;
    return lt_journal_put(t->c, &r, true, err);
}

int lt_trainer_remove(struct lt_trainer *t, const char *path, bool recovery,
                      struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__CheckpointRemoved gone = LT__V1__CHECKPOINT_REMOVED__INIT;
    const char *slash = strrchr(path, '/');
    LT_AUTO(lt_free) char *dir = lt_strndup(path, (size_t)(slash - path));
    LT_AUTO(lt_free) char *name = event_name(t, dir, slash + 1);
    int rc = 0;

    if (lt_file_exists(path)) {
        r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_REMOVED;
        r.checkpoint_removed = &gone;
        gone.name = name;
        gone.has_recovery = true;
        gone.recovery = recovery;
        rc = lt_journal_put(t->c, &r, false, err);
        lt_saver_remove(t->saver, lt_strdup(path));
    }
    return rc;
}

static bool is_rollback(const struct lt_trainer *t, const char *name)
{
    const char *to = t->rollback.to;

    return to && lt_str_starts(to, "recovery/") && !strcmp(to + strlen("recovery/"), name);
}

/* The oldest recovery checkpoints beyond `keep` go; the one that a rollback needs stays besides. */
static int trim_recovery(struct lt_trainer *t, const char *name, struct lt_error *err)
{
    struct lt_recovery *r = &t->recovery;
    int first, rc = 0;

    LT_GROW(r->names, r->n, r->cap);
    r->names[r->n++] = lt_strdup(name);
    while (rc == 0 && r->n - (first = is_rollback(t, r->names[0])) > (int)r->keep) {
        LT_AUTO(lt_free) char *path = lt_format("%s/%s", t->recovery_dir, r->names[first]);

        rc = lt_trainer_remove(t, path, true, err);
        lt_free(r->names[first]);
        memmove(r->names + first, r->names + first + 1,
                (size_t)(--r->n - first) * sizeof *r->names);
    }
    return rc;
}

void lt_trainer_forget_recovery(struct lt_trainer *t)
{
    for (int i = 0; i < t->recovery.n; i++)
        lt_free(t->recovery.names[i]);
    lt_free(t->recovery.names);
}

/* The system's own checkpoint could not be written: training goes on, and the job says so. */
static int put_degraded(struct lt_trainer *t, const char *why, bool active, struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CONDITION;
    r.condition = &c;
    c.has_kind = c.has_active = true;
    c.kind = LT__V1__CONDITION__KIND__DEGRADED;
    c.active = active;
    c.detail = (char *)(uintptr_t)why;
    t->degraded = active;
    if (active)
        lt_trainer_say(t, "warning: recovery checkpoint failed: %s", why);
    return lt_journal_put(t->c, &r, false, err);
}

static int target_failed(struct lt_trainer *t, const struct lt_target *g, struct lt_error *err)
{
    if (g->recovery) {
        t->saved = false;
        return put_degraded(t, g->err.text, true, err);
    }
    *err = g->err;
    return lt_error_prefix(err, "checkpoint %s", g->name);
}

static void say_saved(const struct lt_trainer *t, const struct lt_target *g, const char *name)
{
    if (g->save.has_score)
        lt_trainer_say(t, "checkpoint %s  step %" PRIu64 "  %s %.4g%s", name, g->meta.step,
                       g->save.monitor, g->save.score, g->save.best ? "  best" : "");
    else
        lt_trainer_say(t, "checkpoint %s  step %" PRIu64, name, g->meta.step);
}

static int target_done(struct lt_trainer *t, const struct lt_target *g, struct lt_error *err)
{
    LT_AUTO(lt_free) char *name = event_name(t, g->dir, g->name);
    int rc = put_saved(t, g, name, err);

    if (rc < 0)
        return rc;
    say_saved(t, g, name);
    if (g->rollback) {
        lt_free(t->rollback.to);
        t->rollback.to = lt_strdup(g->last);
        t->rollback.times = g->rollback_times;
    }
    if (g->recovery && t->degraded)
        rc = put_degraded(t, "recovery checkpoints can be written again", false, err);
    if (g->recovery)
        return rc < 0 ? rc : trim_recovery(t, g->name, err);
    for (int i = 0; i < g->save.n_removed && rc == 0; i++)
        rc = lt_trainer_remove(t, g->save.removed[i], false, err);
    return rc;
}

static int complete(struct lt_trainer *t, struct lt_save_job *job, struct lt_error *err)
{
    int rc = 0;

    for (int i = 0; job && i < job->n && rc == 0; i++)
        rc = job->targets[i].rc < 0 ? target_failed(t, &job->targets[i], err)
                                    : target_done(t, &job->targets[i], err);
    lt_save_job_free(job);
    return rc;
}

int lt_trainer_finish_saves(struct lt_trainer *t, struct lt_error *err)
{
    return t->saver ? complete(t, lt_saver_wait(t->saver), err) : 0;
}

bool lt_trainer_name_taken(void *arg, const char *dir, const char *name, int index)
{
    struct lt_trainer *t = arg;
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, name);
    struct lt_manifest meta;

    if (!lt_ranks_first(&t->ranks) || !lt_file_exists(path))
        return false;
    lt_trainer_finish_saves(t, NULL); /* what is about to be deleted must not decide */
    lt_saver_drain(t->saver);
    if (!lt_file_exists(path))
        return false;
    return lt_manifest_read(path, &meta, NULL) < 0 || !lt_str_eq(meta.job, t->c->start->job) ||
           meta.step != t->pos.step || meta.callback != index;
}

static struct lt_target *add_target(struct lt_trainer *t, struct lt_save_job *job, const char *dir,
                                    char *name, int callback)
{
    struct lt_target *g = &job->targets[job->n++];

    *g = (struct lt_target){.dir = lt_strdup(dir), .name = name};
    g->meta = (struct lt_manifest){.step = t->pos.step,
                                   .epoch = t->pos.epoch,
                                   .sequence = ++t->sequence,
                                   .callback = callback};
    g->meta.in_epoch = t->pos.stage != LT_STAGE_EPOCH_START;
    snprintf(g->meta.job, sizeof g->meta.job, "%s", t->c->start->job ? t->c->start->job : "");
    return g;
}

static char *recovery_name(const struct lt_trainer *t)
{
    char *name = lt_format("step-%08" PRIu64, t->pos.step);

    for (int v = 1;; v++) {
        LT_AUTO(lt_free) char *path = lt_format("%s/%s", t->recovery_dir, name);

        if (!lt_file_exists(path))
            return name;
        lt_free(name);
        name = lt_format("step-%08" PRIu64 "-v%d", t->pos.step, v);
    }
}

static void add_recovery(struct lt_trainer *t, struct lt_save_job *job)
{
    struct lt_target *g = add_target(t, job, t->recovery_dir, recovery_name(t), -1);

    g->recovery = true;
    g->last = lt_format("recovery/%s", g->name);
}

/* One that a callback keeps among the user's. */
static struct lt_target *add_wish(struct lt_trainer *t, struct lt_save_job *job,
                                  const struct lt_save *s)
{
    struct lt_target *g =
        add_target(t, job, s->dir ? s->dir : t->checkpoints_dir, lt_strdup(s->name), s->callback);

    g->save = *s;
    g->meta.weights_only = s->weights_only;
    if (!s->weights_only)
        g->last =
            s->dir ? lt_format("%s/%s", s->dir, s->name) : lt_format("checkpoints/%s", s->name);
    return g;
}

/* Is a recovery checkpoint due here by the plan alone? */
static bool due_by_step(const struct lt_trainer *t)
{
    const struct lt_recovery *r = &t->recovery;

    return r->every_n_steps && t->pos.step && t->pos.step % r->every_n_steps == 0 &&
           t->pos.step != r->last_step && !lt_trainer_window_open(t);
}

/* Callbacks' wishes become targets; one without a name, or with weights alone, leaves `last` to a
 * recovery checkpoint. Where a rollback goes has to be a folder that no wish by time deletes. */
static void add_targets(struct lt_trainer *t, struct lt_save_job *job, enum lt_save_kind kind)
{
    bool full = false, fixed = lt_trainer_rolls_back(t) && due_by_step(t), any = false;
    struct lt_target *back = NULL;

    for (int i = 0; i < t->requests.n_saves; i++) {
        struct lt_save *s = &t->requests.saves[i];
        struct lt_target *g;

        any = true;
        fixed |= !s->timed;
        if (!s->name) {
            lt_save_done(s);
            continue;
        }
        g = add_wish(t, job, s);
        full |= g->last != NULL;
        if (g->last && !s->timed && !back)
            back = g;
    }
    t->requests.n_saves = 0;
    fixed = fixed && lt_trainer_rolls_back(t);
    if (kind != LT_SAVE_REQUESTS || (any && !full) || (fixed && !back)) {
        add_recovery(t, job);
        if (!back)
            back = &job->targets[job->n - 1];
    }
    if (fixed) {
        back->rollback = true;
        back->rollback_times = lt_trainer_rollback_times(t);
    }
}

int lt_trainer_save(struct lt_trainer *t, enum lt_save_kind kind, struct lt_error *err)
{
    struct lt_save_job *job;
    uint64_t start = lt_clock_mono_ns();
    int rc = lt_trainer_finish_saves(t, err);

    if (rc == 0)
        rc = lt_snapshot_take(t->snapshot, lt_trainer_window_open(t), err);
    if (rc < 0)
        return rc;
    job = lt_calloc(1, sizeof *job);
    add_targets(t, job, kind);
    lt_snapshot_content(t->snapshot, &job->content);
    job->trainer_json = lt_trainer_state(t, job);
    saved_now(t, t->saved_at);
    t->saved = true;
    lt_saver_submit(t->saver, job);
    t->recovery.cost_ns = lt_clock_mono_ns() - start;
    t->recovery.last_step = t->pos.step;
    t->recovery.due_ns =
        t->now_ns + LT_MAX((uint64_t)(t->recovery.every_s * 1e9), COST_SHARE * t->recovery.cost_ns);
    return 0;
}

static bool due_by_time(const struct lt_trainer *t)
{
    const struct lt_recovery *r = &t->recovery;

    if (t->ranks.many && lt_trainer_window_open(t))
        return false; /* the other ranks' part of it isn't here */
    return !r->every_n_steps && r->every_s > 0 && t->now_ns >= r->due_ns &&
           !lt_saver_busy(t->saver) && !is_saved(t);
}

int lt_trainer_final_save(struct lt_trainer *t, struct lt_error *err)
{
    int rc = t->saver ? lt_trainer_finish_saves(t, err) : 0;

    if (rc < 0 || !t->saver || is_saved(t) || (!t->pos.total_batches && !t->pos.epoch))
        return rc;
    lt_trainer_phase(t, LT_PHASE_CHECKPOINTING);
    rc = lt_trainer_save(t, LT_SAVE_NOW, err);
    return rc < 0 ? rc : lt_trainer_finish_saves(t, err);
}

static void end_with(struct lt_trainer *t, Lt__V1__JobResult result, const char *reason)
{
    t->done = true;
    t->result->result = result;
    snprintf(t->result->reason, sizeof t->result->reason, "%s", reason);
}

static int obey(struct lt_trainer *t, struct lt_error *err)
{
    uint32_t command = lt_ranks_commands(t);

    if (command & LT_COMMAND_CANCEL) {
        end_with(t, LT__V1__JOB_RESULT__CANCELLED, "cancelled");
    } else if (command & LT_COMMAND_STOP) {
        end_with(t, LT__V1__JOB_RESULT__STOPPED, "stopped on request");
        lt_trainer_say(t, "stopped on request after step %" PRIu64, t->pos.step);
    } else if (command & LT_COMMAND_CHECKPOINT) {
        if (t->c->page)
            atomic_fetch_and(&t->c->page->command, ~(uint32_t)LT_COMMAND_CHECKPOINT);
        return t->saver ? lt_trainer_save(t, LT_SAVE_NOW, err) : 0;
    }
    return 0;
}

/* Rank 0 saves for all. */
static void drop_requests(struct lt_trainer *t)
{
    for (int i = 0; i < t->requests.n_saves; i++)
        lt_save_done(&t->requests.saves[i]);
    t->requests.n_saves = 0;
}

int lt_trainer_boundary(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_page *page = t->c->page;
    int rc = 0;

    t->now_ns = lt_clock_mono_ns();
    if (page)
        atomic_store_explicit(&page->heartbeat_ns, t->now_ns, memory_order_relaxed);
    if (!lt_ranks_first(&t->ranks))
        drop_requests(t);
    if (t->saver) {
        rc = complete(t, lt_saver_poll(t->saver), err);
        if (rc == 0 && t->requests.n_saves)
            rc = lt_trainer_save(t, LT_SAVE_REQUESTS, err);
        else if (rc == 0 && due_by_step(t)) /* waits for the one before, if it must */
            rc = lt_trainer_save(t, LT_SAVE_BY_STEP, err);
        else if (rc == 0 && due_by_time(t))
            rc = lt_trainer_save(t, LT_SAVE_NOW, err);
    }
    return rc < 0 || t->done ? rc : obey(t, err);
}
