/* apply.c - the job machine: which event may follow which state, and what it does to the fold
 *
 * One table, [state][event]; NULL: cannot happen, -EPROTO, and a log that says otherwise is
 * damaged. Events tell what *has been decided*: nothing here looks at budgets, nodes or clocks, so
 * that logs of every release replay whatever the policy of the day is. Handlers check first and
 * change last: a refused event changes nothing. What is to be done about a state is decided in
 * due.c.
 */
#include "daemon/core/state.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "proto/plan.h"

#define S(name) LT__V1__JOB_STATE__##name
#define EVENT_FIRST LT__V1__EVENT__TYPE_SUBMITTED
#define EVENT_N (LT__V1__EVENT__TYPE_ROLLED_BACK - EVENT_FIRST + 1)
#define E(name) [LT__V1__EVENT__TYPE_##name - EVENT_FIRST]

static void move(Lt__V1__JobFold *f, Lt__V1__JobState state)
{
    LT_SET(f, state, state);
}

static int on_refused(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    f->n_problems = e->refused->n_problems;
    f->problems = LT_TAKE(e->refused->problems);
    e->refused->n_problems = 0;
    LT_SET(f, refused, 1);
    return 0;
}

static int on_checked(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (f->checked || f->refused)
        return -EPROTO;
    f->checked = LT_TAKE(e->checked);
    if (lt_spec_hold(f->spec) && !f->released)
        move(f, S(HELD_USER));
    return 0;
}

static int on_released(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    (void)e;
    LT_SET(f, released, 1);
    return 0;
}

static int on_queued(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (!f->checked)
        return -EPROTO;
    lt_fold_string(&f->queued_reason, e->queued->reason);
    LT_SET(f, queued_seq, e->seq);
    if (f->reserved)
        lt__v1__reserved__free_unpacked(LT_TAKE(f->reserved), NULL);
    move(f, S(QUEUED));
    return 0;
}

static int on_reserved(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (!e->reserved->node)
        return -EPROTO;
    f->reserved = LT_TAKE(e->reserved);
    LT_SET(f, reserved_seq, e->seq);
    if (!f->has_profile) { /* until an attempt has chosen one: then it is bound to what that had */
        LT_SET(f, first_cpus, f->reserved->cpus);
        lt_fold_string(&f->first_isa, f->reserved->isa);
        lt_fold_string(&f->first_build, f->reserved->build);
    }
    move(f, S(RESERVED));
    return 0;
}

/* A later wish replaces a weaker one; the same or a stronger one stays. */
static int ask(Lt__V1__JobFold *f, const Lt__V1__Event *e, Lt__V1__StopKind kind)
{
    if (f->stop >= kind)
        return -EPROTO;
    LT_SET(f, stop, kind);
    LT_SET(f, stop_ns, e->time_ns);
    if (f->state == S(STARTING) || f->state == S(RUNNING))
        move(f, S(STOPPING));
    return 0;
}

static int on_cancel(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    return ask(f, e, LT__V1__STOP_KIND__STOP_CANCEL);
}

static int on_stop(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    return ask(f, e, LT__V1__STOP_KIND__STOP_USER);
}

static int on_time(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    return ask(f, e, LT__V1__STOP_KIND__STOP_TIME);
}

static int on_checkpoint_requested(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    (void)e;
    LT_SET(f, checkpoint_wanted, 1);
    return 0;
}

static int on_done(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (f->state == S(CLEANUP) && (!f->ended || f->ended->retry))
        return -EPROTO;
    LT_SET(f, result, e->done->result);
    LT_SET(f, class_, e->done->class_);
    lt_fold_string(&f->reason, e->done->reason);
    LT_SET(f, ended_ns, e->time_ns);
    LT_SET(f, checkpoint_wanted, 0);
    move(f, S(DONE));
    return 0;
}

static int on_removed(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    (void)f;
    (void)e;
    return 0; /* lt_core_apply drops the job */
}

/* Told to people; nothing of the job's state follows from it. */
static int on_told(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    (void)f;
    (void)e;
    return 0;
}

/* What a running attempt tells about itself. */
#define FACTS                                                                                      \
    E(RESOLVED) = lt_apply_resolved, E(PROFILE) = lt_apply_profile,                                \
    E(FINGERPRINT) = lt_apply_fingerprint, E(CHECKPOINT_SAVED) = lt_apply_checkpoint_saved,        \
    E(CHECKPOINT_REMOVED) = lt_apply_checkpoint_removed,                                           \
    E(EARLY_STOPPED) = lt_apply_early_stopped, E(REWOUND) = lt_apply_rewound,                      \
    E(ROLLED_BACK) = on_told, E(CONDITION) = lt_apply_condition,                                   \
    E(PROGRESS_SAVED) = lt_apply_progress,                                                         \
    E(FINISHED) = lt_apply_finished, E(RANK_EXITED) = lt_apply_rank_exited
#define WISHES                                                                                     \
    E(CANCEL_REQUESTED) = on_cancel, E(STOP_REQUESTED) = on_stop, E(TIME_LIMIT_REACHED) = on_time

static lt_apply_fn *const table[LT_STATE_N][EVENT_N] = {
    [S(HELD_CHECKING)] = {E(REFUSED) = on_refused, E(CHECKED) = on_checked,
                          E(RELEASED) = on_released, E(QUEUED) = on_queued, WISHES,
                          E(DONE) = on_done},
    [S(HELD_USER)] = {E(RELEASED) = on_released, E(QUEUED) = on_queued, WISHES, E(DONE) = on_done},
    [S(QUEUED)] = {E(RESERVED) = on_reserved, WISHES, E(DONE) = on_done},
    [S(RESERVED)] = {E(ATTEMPT_STARTED) = lt_apply_attempt_started, E(QUEUED) = on_queued,
                     E(CONDITION) = lt_apply_condition, WISHES, E(DONE) = on_done},
    [S(STARTING)] = {E(RUNNING) = lt_apply_running, FACTS, WISHES},
    [S(RUNNING)] = {E(RUNNING) = lt_apply_running, FACTS, WISHES,
                    E(CHECKPOINT_REQUESTED) = on_checkpoint_requested},
    [S(STOPPING)] = {E(RUNNING) = lt_apply_running, FACTS, WISHES},
    [S(CLEANUP)] = {FACTS, WISHES, E(ATTEMPT_ENDED) = lt_apply_attempt_ended, E(DONE) = on_done},
    [S(RECOVERING)] = {E(ATTEMPT_STARTED) = lt_apply_attempt_started, E(QUEUED) = on_queued,
                       E(CONDITION) = lt_apply_condition, WISHES, E(DONE) = on_done},
    [S(DONE)] = {E(REMOVED) = on_removed},
};

/* Records up to the journal position that the event came from are known from now on. */
static void note_offset(Lt__V1__JobFold *f, const Lt__V1__Event *e)
{
    for (size_t i = 0; e->has_journal_offset && i < f->n_ranks; i++)
        if (f->ranks[i]->rank == e->rank && e->journal_offset > f->ranks[i]->journal_offset)
            LT_SET(f->ranks[i], journal_offset, e->journal_offset);
}

int lt_job_apply(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    unsigned event = (unsigned)e->type_case - EVENT_FIRST;
    lt_apply_fn *fn = event < EVENT_N ? table[f->state][event] : NULL;
    int rc = fn ? fn(f, e) : -EPROTO;

    if (rc == 0)
        note_offset(f, e);
    return rc;
}

/* `new` is the moment inside this function: a submitted job is durable, and its plan is being
 * checked. */
static int apply_submitted(struct lt_core *core, Lt__V1__Event *e)
{
    Lt__V1__Submitted *s = e->submitted;
    Lt__V1__JobFold *f;

    if (!s->spec || !s->request_id || lt_core_job(core, e->job))
        return -EPROTO;
    f = lt_fold_new();
    lt_fold_string(&f->id, e->job);
    LT_SET(f, uid, s->uid);
    f->request_id = LT_TAKE(s->request_id);
    f->spec = LT_TAKE(s->spec);
    f->spec_hash = LT_TAKE(s->spec_hash);
    f->parent = LT_TAKE(s->parent);
    f->run_dir = LT_TAKE(s->run_dir);
    LT_SET(f, submitted_seq, e->seq);
    LT_SET(f, submitted_ns, e->time_ns);
    move(f, S(HELD_CHECKING));
    lt_core_add(core, f);
    return 0;
}

static int apply_to_job(struct lt_core *core, Lt__V1__Event *e)
{
    struct lt_job *job = lt_core_job(core, e->job);
    Lt__V1__JobState before;
    uint32_t attempt;
    int rc;

    if (!job)
        return -EPROTO;
    before = job->fold->state;
    attempt = job->fold->attempt;
    rc = lt_job_apply(job->fold, e);
    if (rc < 0)
        return rc;
    job->changed = true;
    if (job->fold->attempt != attempt)
        lt_job_reset_ranks(job);
    if (e->type_case == LT__V1__EVENT__TYPE_REMOVED)
        lt_core_drop(core, job);
    else
        lt_core_relist(core, job, before);
    return 0;
}

int lt_core_apply(struct lt_core *core, Lt__V1__Event *e, struct lt_error *err)
{
    int rc;

    if (!e->has_seq || e->seq != core->last_seq + 1)
        return lt_error_set(err, -EPROTO, "event %llu follows event %llu",
                            (unsigned long long)e->seq, (unsigned long long)core->last_seq);
    if (e->type_case == LT__V1__EVENT__TYPE_NODE_DRAINED) {
        lt_core_set_draining(core, e->node_drained->node ? e->node_drained->node : "",
                             e->node_drained->active);
        rc = 0;
    } else if (e->type_case == LT__V1__EVENT__TYPE__NOT_SET && !e->job) {
        rc = 0; /* of a removed job; only its place in the log is left */
    } else if (!e->job) {
        rc = -EPROTO;
    } else {
        rc = e->type_case == LT__V1__EVENT__TYPE_SUBMITTED ? apply_submitted(core, e)
                                                           : apply_to_job(core, e);
    }
    if (rc < 0)
        return lt_error_set(err, rc, "event %llu: %s does not fit job %s",
                            (unsigned long long)e->seq, lt_event_type_name(e),
                            e->job ? e->job : "(none)");
    core->last_seq = e->seq;
    return 0;
}
