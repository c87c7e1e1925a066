/* apply_run.c - what an attempt's events do to the fold: ranks, checkpoints, progress, the end */
#include "daemon/core/state.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#define S(name) LT__V1__JOB_STATE__##name

static Lt__V1__RankFold *find_rank(const Lt__V1__JobFold *f, uint32_t rank)
{
    for (size_t i = 0; i < f->n_ranks; i++)
        if (f->ranks[i]->rank == rank)
            return f->ranks[i];
    return NULL;
}

static void raise_step(Lt__V1__JobFold *f, uint64_t step)
{
    if (step > f->reached_step)
        LT_SET(f, reached_step, step);
}

static void clear_attempt(Lt__V1__JobFold *f)
{
    for (size_t i = 0; i < f->n_ranks; i++)
        lt__v1__rank_fold__free_unpacked(f->ranks[i], NULL);
    lt_free(f->ranks);
    f->ranks = NULL;
    f->n_ranks = 0;
    for (size_t i = 0; i < f->n_conditions; i++)
        lt__v1__condition__free_unpacked(f->conditions[i], NULL);
    lt_free(f->conditions);
    f->conditions = NULL;
    f->n_conditions = 0;
    if (f->finished)
        lt__v1__finished__free_unpacked(LT_TAKE(f->finished), NULL);
    if (f->ended)
        lt__v1__attempt_ended__free_unpacked(LT_TAKE(f->ended), NULL);
    if (f->early_stopped)
        lt__v1__early_stopped__free_unpacked(LT_TAKE(f->early_stopped), NULL);
    LT_SET(f, advanced, 0);
    LT_SET(f, checkpoint_wanted, 0);
}

int lt_apply_attempt_started(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    const Lt__V1__AttemptStarted *a = e->attempt_started;

    if (!f->reserved || e->attempt != f->attempt + 1 || a->generation <= f->generation ||
        a->n_ranks == 0)
        return -EPROTO;
    clear_attempt(f);
    LT_SET(f, attempt, e->attempt);
    LT_SET(f, generation, a->generation);
    LT_SET(f, from_step, a->from_step);
    lt_fold_string(&f->from_checkpoint, a->from_checkpoint);
    f->ranks = lt_calloc(a->n_ranks, sizeof *f->ranks);
    for (; f->n_ranks < a->n_ranks; f->n_ranks++) {
        Lt__V1__RankFold *r = f->ranks[f->n_ranks] = lt_malloc(sizeof *r);

        lt__v1__rank_fold__init(r);
        LT_SET(r, rank, a->ranks[f->n_ranks]->rank);
        lt_fold_string(&r->node, a->ranks[f->n_ranks]->node ? a->ranks[f->n_ranks]->node : "");
        if (a->ranks[f->n_ranks]->has_cpus)
            LT_SET(r, cpus, a->ranks[f->n_ranks]->cpus);
    }
    if (!f->has_started_ns)
        LT_SET(f, started_ns, e->time_ns);
    LT_SET(f, state, S(STARTING));
    return 0;
}

/* Tells the process ids that are known; the state moves when the last rank is there. */
int lt_apply_running(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    bool all = true;

    for (size_t i = 0; i < e->running->n_ranks; i++) {
        Lt__V1__RankFold *r = find_rank(f, e->running->ranks[i]->rank);

        if (!r)
            return -EPROTO;
        LT_SET(r, started, 1);
        if (e->running->ranks[i]->pid)
            LT_SET(r, pid, e->running->ranks[i]->pid);
    }
    for (size_t i = 0; i < f->n_ranks; i++)
        all = all && f->ranks[i]->started;
    if (all && f->state == S(STARTING))
        LT_SET(f, state, S(RUNNING));
    return 0;
}

/* One that had not started, or said nothing, is missed by the others as one that crashed. */
bool lt_exit_failed(const Lt__V1__RankExited *x)
{
    return x->class_ != LT__V1__FAILURE_CLASS__CLASS_NONE || !x->has_result ||
           x->result == LT__V1__JOB_RESULT__RESULT_NONE ||
           x->result == LT__V1__JOB_RESULT__FAILED;
}

/* A program that was told to end does so as it likes: its ranks are waited for. */
static bool ends_all(const Lt__V1__JobFold *f, const Lt__V1__RankExited *x)
{
    bool told = f->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND &&
                (f->state == S(STOPPING) || f->early_stopped);

    return lt_exit_failed(x) && !told;
}

/* One failed rank ends the attempt; without one it is over with the last rank. */
int lt_apply_rank_exited(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    Lt__V1__RankFold *r = find_rank(f, e->rank_exited->rank);
    uint32_t before = 0;

    if (!r || r->exited)
        return -EPROTO;
    for (size_t i = 0; i < f->n_ranks; i++)
        before += f->ranks[i]->exited != NULL;
    r->exited = LT_TAKE(e->rank_exited);
    LT_SET(r, exit_order, before + 1);
    if (before + 1 == f->n_ranks || ends_all(f, r->exited))
        LT_SET(f, state, S(CLEANUP));
    return 0;
}

static void count_retry(Lt__V1__JobFold *f, const Lt__V1__AttemptEnded *a)
{
    LT_SET(f, fruitless, f->advanced ? 0 : f->fruitless + 1);
    if (a->preempted)
        LT_SET(f, preemption_used, f->preemption_used + 1);
    else if (a->class_ == LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE)
        LT_SET(f, infrastructure_used, f->infrastructure_used + 1);
    else
        LT_SET(f, job_used, f->job_used + 1);
}

/* Takes conditions of these kinds out. */
static void drop_conditions(Lt__V1__JobFold *f, const Lt__V1__Condition__Kind *kinds, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->n_conditions; i++) {
        bool drop = false;

        for (size_t k = 0; k < n; k++)
            drop |= f->conditions[i]->kind == kinds[k];
        if (drop)
            lt__v1__condition__free_unpacked(f->conditions[i], NULL);
        else
            f->conditions[kept++] = f->conditions[i];
    }
    f->n_conditions = kept;
}

/* What is said of ranks, or of where they are, ends with them. */
static const Lt__V1__Condition__Kind of_ranks[] = {
    LT__V1__CONDITION__KIND__CHECKPOINTING, LT__V1__CONDITION__KIND__STALLED,
    LT__V1__CONDITION__KIND__NODE_UNKNOWN, LT__V1__CONDITION__KIND__MISSING};

int lt_apply_attempt_ended(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (f->ended)
        return -EPROTO;
    for (size_t i = 0; i < f->n_ranks; i++)
        if (!f->ranks[i]->exited)
            return -EPROTO;
    f->ended = LT_TAKE(e->attempt_ended);
    LT_SET(f, attempt_ended_ns, e->time_ns);
    drop_conditions(f, of_ranks, LT_ARRAY_LEN(of_ranks));
    if (f->ended->retry) {
        count_retry(f, f->ended);
        LT_SET(f, state, S(RECOVERING));
    }
    return 0;
}

int lt_apply_resolved(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    for (size_t i = 0; i < f->n_resolved; i++)
        if (lt_str_eq(f->resolved[i]->field, e->resolved->field)) {
            lt_fold_string(&f->resolved[i]->value, e->resolved->value);
            return 0;
        }
    f->resolved = lt_realloc(f->resolved, f->n_resolved + 1, sizeof *f->resolved);
    f->resolved[f->n_resolved++] = LT_TAKE(e->resolved);
    return 0;
}

static void take_bytes(ProtobufCBinaryData *to, protobuf_c_boolean *has, ProtobufCBinaryData *from)
{
    lt_free(to->data);
    *to = *from;
    *has = 1;
    from->data = NULL;
    from->len = 0;
}

int lt_apply_profile(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    take_bytes(&f->profile, &f->has_profile, &e->profile->profile);
    return 0;
}

int lt_apply_fingerprint(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    take_bytes(&f->fingerprint, &f->has_fingerprint, &e->fingerprint->fingerprint);
    return 0;
}

static void drop_checkpoint(Lt__V1__JobFold *f, const char *name, bool recovery)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->n_checkpoints; i++) {
        Lt__V1__CheckpointFold *c = f->checkpoints[i];

        if (lt_str_eq(c->saved->name, name) && !c->saved->recovery == !recovery)
            lt__v1__checkpoint_fold__free_unpacked(c, NULL);
        else
            f->checkpoints[kept++] = c;
    }
    f->n_checkpoints = kept;
}

int lt_apply_checkpoint_saved(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    Lt__V1__CheckpointSaved *s = e->checkpoint_saved;
    Lt__V1__CheckpointFold *c;

    if (!s->name)
        return -EPROTO;
    drop_checkpoint(f, s->name, s->recovery); /* written over */
    c = lt_malloc(sizeof *c);
    lt__v1__checkpoint_fold__init(c);
    c->saved = LT_TAKE(e->checkpoint_saved);
    LT_SET(c, attempt, f->attempt);
    f->checkpoints = lt_realloc(f->checkpoints, f->n_checkpoints + 1, sizeof *f->checkpoints);
    f->checkpoints[f->n_checkpoints++] = c;
    raise_step(f, s->step);
    LT_SET(f, advanced, 1);
    if (!s->recovery)
        LT_SET(f, checkpoint_wanted, 0);
    return 0;
}

int lt_apply_checkpoint_removed(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (!e->checkpoint_removed->name)
        return -EPROTO;
    drop_checkpoint(f, e->checkpoint_removed->name, e->checkpoint_removed->recovery);
    return 0;
}

int lt_apply_early_stopped(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (f->early_stopped)
        lt__v1__early_stopped__free_unpacked(f->early_stopped, NULL);
    f->early_stopped = LT_TAKE(e->early_stopped);
    return 0;
}

int lt_apply_rewound(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    LT_SET(f, reached_step, e->rewound->to_step);
    return 0;
}

/* At most one of a kind; inactive ones are not kept. */
int lt_apply_condition(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    drop_conditions(f, &e->condition->kind, 1);
    if (e->condition->active) {
        f->conditions =
            lt_realloc(f->conditions, f->n_conditions + 1, sizeof *f->conditions);
        f->conditions[f->n_conditions++] = LT_TAKE(e->condition);
    }
    return 0;
}

static int apply_rank_progress(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    for (size_t i = 0; i < f->n_ranks; i++) {
        Lt__V1__RankFold *r = f->ranks[i];

        if (r->rank != e->rank)
            continue;
        if (r->progress)
            lt__v1__progress_saved__free_unpacked(r->progress, NULL);
        r->progress = LT_TAKE(e->progress_saved);
        return 0;
    }
    return -EPROTO;
}

int lt_apply_progress(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (e->has_rank && e->rank != 0)
        return apply_rank_progress(f, e);
    if (f->progress)
        lt__v1__progress_saved__free_unpacked(f->progress, NULL);
    f->progress = LT_TAKE(e->progress_saved);
    raise_step(f, f->progress->step);
    return 0;
}

int lt_apply_finished(Lt__V1__JobFold *f, Lt__V1__Event *e)
{
    if (f->finished)
        lt__v1__finished__free_unpacked(f->finished, NULL);
    f->finished = LT_TAKE(e->finished);
    raise_step(f, f->finished->step);
    return 0;
}
