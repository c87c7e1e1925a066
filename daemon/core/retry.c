/* retry.c - how an attempt ended, whether another follows, and from where
 *
 * What the worker said last (`finished`) goes before what the node saw of its process. Budgets are
 * per class; out of memory, plan, data and non-finite losses never retry: the next attempt would
 * end alike. The first restart is at once, later ones 1, 2, 4 … 60 s apart as long as no attempt
 * saves a new checkpoint: a broken node must not burn the budget in a second.
 */
#include "daemon/core/state.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"

#define R(name) LT__V1__JOB_RESULT__##name
#define C(name) LT__V1__FAILURE_CLASS__CLASS_##name
#define ENDED_BY_SIGTERM (128 + 15) /* as a shell counts it */

/* By the clock of their node; without one, or on different nodes, by who was heard of first. */
static bool failed_before(const Lt__V1__RankFold *a, const Lt__V1__RankFold *b)
{
    if (a->exited->at_ns && b->exited->at_ns && lt_str_eq(a->node, b->node))
        return a->exited->at_ns < b->exited->at_ns;
    return a->exit_order < b->exit_order;
}

/* The rank that speaks for the attempt: the first that failed (the others were killed for it, or
 * died because their peer was gone), else the first one. */
static const Lt__V1__RankFold *spokesman(const Lt__V1__JobFold *f)
{
    const Lt__V1__RankFold *first = NULL;

    for (size_t i = 0; i < f->n_ranks; i++) {
        const Lt__V1__RankFold *r = f->ranks[i];

        if (r->exited && lt_exit_failed(r->exited) && (!first || failed_before(r, first)))
            first = r;
    }
    return first ? first : f->n_ranks && f->ranks[0]->exited ? f->ranks[0] : NULL;
}

/* What rank 0 wrote last: that it had failed holds for itself only, everything else for the attempt
 * (it comes behind a barrier that all ranks passed). */
static bool finished_decides(const Lt__V1__JobFold *f, const Lt__V1__RankFold *speaks)
{
    return f->finished &&
           (f->finished->result != R(FAILED) || !speaks || speaks->rank == 0);
}

/* A failure has a class, an end a result. */
static struct lt_verdict complete(struct lt_verdict v)
{
    if (v.result == R(RESULT_NONE))
        v.result = R(FAILED);
    if (v.result == R(FAILED) && v.class == C(NONE))
        v.class = C(JOB);
    return v;
}

/* As if nobody had wished anything. */
static struct lt_verdict by_itself(const Lt__V1__JobFold *f)
{
    const Lt__V1__RankFold *speaks = spokesman(f);
    const Lt__V1__RankExited *x = speaks ? speaks->exited : NULL;
    bool command = f->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;

    if (command && f->early_stopped) /* we asked it to end; how it did is its own affair */
        return (struct lt_verdict){.result = R(SUCCEEDED)};
    if (finished_decides(f, speaks))
        return complete((struct lt_verdict){.result = f->finished->result,
                                            .class = f->finished->class_,
                                            .reason = f->finished->reason});
    if (x && x->has_result && x->result != R(RESULT_NONE))
        return complete(
            (struct lt_verdict){.result = x->result, .class = x->class_, .reason = x->reason});
    if (x && x->class_ != C(NONE))
        return (struct lt_verdict){.result = R(FAILED), .class = x->class_, .reason = x->reason};
    if (x && x->status != 0)
        return (struct lt_verdict){.result = R(FAILED), .class = C(JOB), .reason = x->reason};
    if (command)
        return (struct lt_verdict){.result = R(SUCCEEDED)};
    return (struct lt_verdict){.result = R(FAILED),
                               .class = C(INFRASTRUCTURE),
                               .reason = x && x->reason ? x->reason
                                                        : "the worker ended without saying how"};
}

/* A command's exit code 0 is how a polite one answers to SIGTERM: it doesn't say that it was through. */
static bool through(const Lt__V1__JobFold *f)
{
    return f->spec->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND || f->early_stopped;
}

/* SIGTERM is how a program is asked: that it ended by it says nothing that the wish doesn't. */
static bool ended_as_asked(const Lt__V1__JobFold *f)
{
    const Lt__V1__RankFold *r = spokesman(f);

    return r && r->exited->status == ENDED_BY_SIGTERM;
}

struct lt_verdict lt_wished(Lt__V1__StopKind stop)
{
    static const struct lt_verdict wished[] = {
        [LT__V1__STOP_KIND__STOP_USER] = {.result = R(STOPPED)},
        [LT__V1__STOP_KIND__STOP_TIME] = {.result = R(TIMED_OUT),
                                          .reason = "the job's time limit is over"},
        [LT__V1__STOP_KIND__STOP_CANCEL] = {.result = R(CANCELLED)},
    };

    return wished[stop];
}

/* A wish that was acknowledged is kept: nothing starts again, and the result says what was asked
 * for, unless the job was through, or failed for a reason of its own. */
static struct lt_verdict as_wished(const Lt__V1__JobFold *f, struct lt_verdict v)
{
    struct lt_verdict wished = lt_wished(f->stop);
    /* A non-zero exit alone is how programs answer to a signal. */
    bool own_fault =
        v.result == R(FAILED) && v.class != C(INFRASTRUCTURE) && (v.class != C(JOB) || f->finished);

    if (f->stop == LT__V1__STOP_KIND__STOP_CANCEL)
        return wished;
    if ((v.result == R(SUCCEEDED) && through(f)) || own_fault)
        return v;
    if (v.result == R(FAILED) && !ended_as_asked(f))
        wished.reason = v.reason;
    return wished;
}

static int64_t budget_left(const Lt__V1__JobFold *f, struct lt_verdict v)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);
    Lt__V1__Retries defaults = LT__V1__RETRIES__INIT;
    const Lt__V1__Retries *r = job && job->retries ? job->retries : &defaults;
    int64_t budget = 0;
    uint32_t used = 0;

    if (v.result == R(PREEMPTED)) {
        budget = r->preemption;
        used = f->preemption_used;
    } else if (v.class == C(INFRASTRUCTURE)) {
        budget = r->infrastructure;
        used = f->infrastructure_used;
    } else if (v.class == C(JOB)) {
        budget = r->job;
        used = f->job_used;
    }
    return budget < 0 ? 1 : budget - used;
}

static uint64_t delay_ms(const Lt__V1__JobFold *f)
{
    uint32_t fruitless = f->advanced ? 0 : f->fruitless + 1;
    uint64_t seconds;

    if (fruitless < 2)
        return 0;
    seconds = fruitless > 8 ? LT_RETRY_DELAY_MAX_S : UINT64_C(1) << (fruitless - 2);
    return 1000 * LT_MIN(seconds, LT_RETRY_DELAY_MAX_S);
}

struct lt_verdict lt_judge(const Lt__V1__JobFold *f)
{
    struct lt_verdict v = by_itself(f);

    if (f->stop > LT__V1__STOP_KIND__STOP_PREEMPT)
        return as_wished(f, v);
    v.preempted = v.result == R(PREEMPTED);
    v.retry = (v.result == R(FAILED) || v.preempted) && budget_left(f, v) > 0;
    v.delay_ms = v.retry && !v.preempted ? delay_ms(f) : 0;
    return v;
}

/* A callback may save into a folder of its own: then the name is the whole path. */
void lt_checkpoint_path(const Lt__V1__CheckpointSaved *s, struct lt_buf *path)
{
    if (s->name[0] != '/' && !lt_str_starts(s->name, "recovery/"))
        lt_buf_str(path, s->recovery ? "recovery/" : "checkpoints/");
    lt_buf_str(path, s->name);
}

bool lt_restart_point(const Lt__V1__JobFold *f, struct lt_buf *path, uint64_t *step)
{
    const Lt__V1__CheckpointSaved *best = NULL;

    for (size_t i = 0; i < f->n_checkpoints; i++) {
        const Lt__V1__CheckpointSaved *s = f->checkpoints[i]->saved;

        if (!s->weights_only && (!best || s->step >= best->step))
            best = s;
    }
    if (!best)
        return false;
    lt_checkpoint_path(best, path);
    *step = best->step;
    return true;
}
