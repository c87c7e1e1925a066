/* place.c - the ranks of an attempt: started, signalled, missed and given up
 *
 * Every command goes to a rank at most once per session of its node: a session that broke may have
 * lost it, and the next Hello says what the node knows. Not seen is not dead: a lost node is a
 * condition first; only after LT_NODE_DEAD_NS, and only if another node could take the job or
 * nobody wants it any more, is the rank given up. Should it live, its generation is old by then:
 * nothing it says is taken, and it is killed when its node returns.
 */
#include "daemon/core/state.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

void lt_send_signal(struct lt_turn *t, uint64_t session, const char *job, uint32_t attempt,
                    uint32_t generation, uint32_t rank, Lt__V1__RankSignal signal)
{
    Lt__V1__SignalRank s = LT__V1__SIGNAL_RANK__INIT;
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;

    s.job = (char *)job;
    LT_SET(&s, attempt, attempt);
    LT_SET(&s, generation, generation);
    LT_SET(&s, rank, rank);
    LT_SET(&s, signal, signal);
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL;
    m.signal = &s;
    lt_send(t, session, &m);
}

void lt_send_forget(struct lt_turn *t, uint64_t session, const char *job, uint32_t attempt)
{
    Lt__V1__ForgetAttempt f = LT__V1__FORGET_ATTEMPT__INIT;
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;

    f.job = (char *)job;
    LT_SET(&f, attempt, attempt);
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET;
    m.forget = &f;
    lt_send(t, session, &m);
}

static void signal_rank(struct lt_turn *t, struct lt_job *job, size_t i, uint64_t session,
                        Lt__V1__RankSignal signal)
{
    lt_send_signal(t, session, job->fold->id, job->fold->attempt, job->fold->generation,
                   job->fold->ranks[i]->rank, signal);
}

/* Without a checkpoint of its own: where the spec says. */
static const char *spec_checkpoint(const Lt__V1__JobSpec *spec, uint64_t *step)
{
    if (spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN && spec->plan->resume) {
        *step = spec->plan->resume->step;
        return spec->plan->resume->path;
    }
    return spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION ? spec->evaluation->path : NULL;
}

void lt_start_attempt(struct lt_turn *t, struct lt_job *job, const struct lt_node *node)
{
    Lt__V1__AttemptStarted a = LT__V1__ATTEMPT_STARTED__INIT;
    uint32_t n = lt_spec_ranks(job->fold->spec);
    Lt__V1__RankPlace *places = lt_calloc(n, sizeof *places);
    Lt__V1__RankPlace **list = lt_calloc(n, sizeof *list);
    Lt__V1__Event e = LT_EVENT_INIT;
    LT_BUF_AUTO path = {0};
    uint64_t step = 0;

    for (uint32_t i = 0; i < n; i++) {
        list[i] = &places[i];
        lt__v1__rank_place__init(list[i]);
        LT_SET(list[i], rank, i);
        list[i]->node = node->name;
        LT_SET(list[i], cpus, lt_rank_share(job->fold->reserved->cpus, i, n));
    }
    LT_SET(&a, generation, job->fold->generation + 1);
    a.from_checkpoint = lt_restart_point(job->fold, &path, &step)
                            ? path.data
                            : (char *)spec_checkpoint(job->fold->spec, &step);
    LT_SET(&a, from_step, step);
    a.ranks = list;
    a.n_ranks = n;
    e.type_case = LT__V1__EVENT__TYPE_ATTEMPT_STARTED;
    e.attempt_started = &a;
    LT_SET(&e, attempt, job->fold->attempt + 1);
    lt_emit(t, job->fold->id, &e);
    lt_free(places);
    lt_free(list);
}

static void send_start(struct lt_turn *t, const struct lt_job *job, size_t i, uint64_t session)
{
    Lt__V1__JobFold *f = job->fold;
    Lt__V1__StartRank s = LT__V1__START_RANK__INIT;
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;

    s.job = f->id;
    s.job_name = (char *)lt_spec_name(f->spec);
    LT_SET(&s, attempt, f->attempt);
    LT_SET(&s, generation, f->generation);
    LT_SET(&s, rank, f->ranks[i]->rank);
    LT_SET(&s, world_size, (uint32_t)f->n_ranks);
    s.spec = f->spec;
    s.run_dir = f->run_dir;
    LT_SET(&s, local_rank, f->ranks[i]->rank); /* all of them are on one node */
    LT_SET(&s, local_world_size, (uint32_t)f->n_ranks);
    LT_SET(&s, cpus, f->ranks[i]->cpus ? f->ranks[i]->cpus : f->reserved->cpus);
    LT_SET(&s, shares_cpus, lt_shares_cpus(f));
    LT_SET(&s, memory_bytes, f->reserved->memory_bytes / f->n_ranks);
    s.checkpoint = f->from_checkpoint;
    s.has_profile = f->has_profile;
    s.profile = f->profile;
    s.has_fingerprint = f->has_fingerprint;
    s.fingerprint = f->fingerprint;
    LT_SET(&s, uid, f->uid);
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_START;
    m.start = &s;
    lt_send(t, session, &m);
}

static const Lt__V1__Condition *condition_of(const Lt__V1__JobFold *f,
                                             Lt__V1__Condition__Kind kind)
{
    for (size_t i = 0; i < f->n_conditions; i++)
        if (f->conditions[i]->kind == kind)
            return f->conditions[i];
    return NULL;
}

bool lt_set_condition(struct lt_turn *t, struct lt_job *job, Lt__V1__Condition__Kind kind,
                      bool active, const char *detail)
{
    const Lt__V1__Condition *now = condition_of(job->fold, kind);
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    if (active ? now && lt_str_eq(now->detail, detail) : !now)
        return false;
    LT_SET(&c, kind, kind);
    LT_SET(&c, active, active);
    c.detail = (char *)detail;
    e.type_case = LT__V1__EVENT__TYPE_CONDITION;
    e.condition = &c;
    LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
    return true;
}

void lt_rank_lost(struct lt_turn *t, struct lt_job *job, const Lt__V1__RankFold *r,
                  Lt__V1__FailureClass class, const char *reason)
{
    Lt__V1__RankExited x = LT__V1__RANK_EXITED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    LT_SET(&x, rank, r->rank);
    LT_SET(&x, class_, class);
    LT_SET(&x, status, 0);
    x.reason = (char *)reason;
    e.type_case = LT__V1__EVENT__TYPE_RANK_EXITED;
    e.rank_exited = &x;
    LT_SET(&e, attempt, job->fold->attempt);
    LT_SET(&e, rank, r->rank);
    lt_emit(t, job->fold->id, &e);
}

static bool elsewhere(const struct lt_core *core, const Lt__V1__JobFold *f, const char *lost)
{
    const char *name;
    void *node;

    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &node);)
        if (!lt_str_eq(name, lost) && lt_node_ready(core, node) && lt_node_could(f, node))
            return true;
    return false;
}

static bool miss_rank(struct lt_turn *t, struct lt_job *job, const Lt__V1__RankFold *r,
                      const struct lt_node *n)
{
    Lt__V1__JobFold *f = job->fold;
    bool unwanted =
        f->stop > LT__V1__STOP_KIND__STOP_PREEMPT || f->state == LT__V1__JOB_STATE__CLEANUP;
    LT_BUF_AUTO why = {0};

    if (t->mono_ns - n->lost_ns >= LT_NODE_DEAD_NS &&
        (unwanted || elsewhere(t->core, f, n->name))) {
        lt_buf_printf(&why, "node %s was not seen for %d s", n->name,
                      (int)(LT_NODE_DEAD_NS / LT_SECOND));
        lt_rank_lost(t, job, r, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, why.data);
        return true;
    }
    if (t->mono_ns - n->lost_ns < LT_NODE_UNKNOWN_NS ||
        condition_of(f, LT__V1__CONDITION__KIND__NODE_UNKNOWN))
        return false;
    return lt_set_condition(t, job, LT__V1__CONDITION__KIND__NODE_UNKNOWN, true, n->name);
}

/* Nodes of ranks that should be there. True: it made an event. */
static bool watch_nodes(struct lt_turn *t, struct lt_job *job)
{
    bool missing = false;

    for (size_t i = 0; i < job->fold->n_ranks; i++) {
        const Lt__V1__RankFold *r = job->fold->ranks[i];
        const struct lt_node *n = lt_core_node(t->core, r->node, t->mono_ns);

        if (r->exited || n->session)
            continue;
        missing = true;
        if (miss_rank(t, job, r, n))
            return true;
    }
    return !missing &&
           lt_set_condition(t, job, LT__V1__CONDITION__KIND__NODE_UNKNOWN, false, NULL);
}

static bool is_elastic(const Lt__V1__JobSpec *spec)
{
    return spec->plan->trainer &&
           spec->plan->trainer->reproducible == LT__V1__TRAINER__REPRODUCIBLE__elastic;
}

/* Where a command's attempt begins is known when its first metric comes (record.c). */
static bool begins_behind(const struct lt_job *job)
{
    const Lt__V1__JobFold *f = job->fold;

    return f->attempt > 1 && f->spec->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND &&
           (f->reached_step > f->from_step || job->reached_step > f->from_step);
}

/* The new attempt begins behind what was reached, or on another build than the first. */
static bool tell_start(struct lt_turn *t, struct lt_job *job)
{
    Lt__V1__JobFold *f = job->fold;
    const struct lt_node *n = lt_core_node(t->core, f->reserved->node, t->mono_ns);
    Lt__V1__Rewound r = LT__V1__REWOUND__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;
    LT_BUF_AUTO why = {0};
    uint32_t parent;

    if (begins_behind(job)) {
        LT_SET(&r, to_step, f->from_step);
        e.type_case = LT__V1__EVENT__TYPE_REWOUND;
        e.rewound = &r;
        LT_SET(&e, attempt, f->attempt);
        job->reached_step = f->from_step;
        lt_emit(t, f->id, &e);
        return true;
    }
    if (condition_of(f, LT__V1__CONDITION__KIND__BITS_CHANGED))
        return false;
    if (lt_other_ranks(t->core, f, &parent) && !is_elastic(f->spec)) {
        lt_buf_printf(&why, "%u ranks; job %s ran on %u", (unsigned)f->n_ranks, f->parent, parent);
        return lt_set_condition(t, job, LT__V1__CONDITION__KIND__BITS_CHANGED, true, why.data);
    }
    return n->inventory && n->inventory->build && f->first_build &&
           !lt_str_eq(n->inventory->build, f->first_build) &&
           lt_set_condition(t, job, LT__V1__CONDITION__KIND__BITS_CHANGED, true,
                            "another build of the engine");
}

bool lt_other_ranks(const struct lt_core *core, const Lt__V1__JobFold *f, uint32_t *parents)
{
    const struct lt_job *parent = f->parent ? lt_core_job(core, f->parent) : NULL;

    if (!parent || f->spec->kind_case != LT__V1__JOB_SPEC__KIND_PLAN)
        return false;
    *parents = lt_spec_ranks(parent->fold->spec);
    return *parents != lt_spec_ranks(f->spec);
}

/* Gang start: whoever isn't there after a while, though its node is, is named. */
static bool name_missing(struct lt_turn *t, struct lt_job *job)
{
    LT_BUF_AUTO who = {0};

    if (!job->missing_at_ns)
        job->missing_at_ns = t->mono_ns + LT_START_NS;
    if (t->mono_ns < job->missing_at_ns)
        return false;
    for (size_t i = 0; i < job->fold->n_ranks; i++) {
        const Lt__V1__RankFold *r = job->fold->ranks[i];

        if (!r->started && !r->exited && lt_core_node(t->core, r->node, t->mono_ns)->session)
            lt_buf_printf(&who, "%srank %u on %s", who.len ? ", " : "", r->rank, r->node);
    }
    return who.len && lt_set_condition(t, job, LT__V1__CONDITION__KIND__MISSING, true, who.data);
}

bool lt_due_starting(struct lt_turn *t, struct lt_job *job)
{
    if (tell_start(t, job) || watch_nodes(t, job) || lt_time_is_up(t, job) || name_missing(t, job))
        return true;
    for (size_t i = 0; i < job->fold->n_ranks; i++) {
        uint64_t session = lt_core_node(t->core, job->fold->ranks[i]->node, t->mono_ns)->session;

        if (!session || job->fold->ranks[i]->started || job->fold->ranks[i]->exited ||
            job->ranks[i].start_session == session)
            continue;
        send_start(t, job, i, session);
        job->ranks[i].start_session = session;
    }
    return false;
}

static void signal_all(struct lt_turn *t, struct lt_job *job, Lt__V1__RankSignal want)
{
    for (size_t i = 0; i < job->fold->n_ranks; i++) {
        struct lt_rank *r = &job->ranks[i];
        uint64_t session = lt_core_node(t->core, job->fold->ranks[i]->node, t->mono_ns)->session;

        if (!session || job->fold->ranks[i]->exited ||
            (r->signal_session == session && r->signal == want))
            continue;
        signal_rank(t, job, i, session, want);
        r->signal_session = session;
        r->signal = want;
    }
}

/* Our own workers stop by themselves; what isn't ours only says that it would be time. */
static bool has_stopped_early(const Lt__V1__JobFold *f)
{
    return f->early_stopped && f->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;
}

bool lt_due_running(struct lt_turn *t, struct lt_job *job)
{
    if (lt_set_condition(t, job, LT__V1__CONDITION__KIND__MISSING, false, NULL) ||
        watch_nodes(t, job) || lt_time_is_up(t, job))
        return true;
    if (has_stopped_early(job->fold))
        signal_all(t, job, LT__V1__RANK_SIGNAL__SIGNAL_STOP);
    for (size_t i = 0; job->fold->checkpoint_wanted && i < job->fold->n_ranks; i++) {
        uint64_t session = lt_core_node(t->core, job->fold->ranks[i]->node, t->mono_ns)->session;

        if (!session || job->ranks[i].checkpoint_session == session)
            continue;
        signal_rank(t, job, i, session, LT__V1__RANK_SIGNAL__SIGNAL_CHECKPOINT);
        job->ranks[i].checkpoint_session = session;
    }
    return false;
}

/* A node that is connected and neither told of a rank nor was told to start it doesn't have it. */
static bool never_started(struct lt_turn *t, struct lt_job *job)
{
    for (size_t i = 0; i < job->fold->n_ranks; i++) {
        const Lt__V1__RankFold *r = job->fold->ranks[i];
        uint64_t session = lt_core_node(t->core, r->node, t->mono_ns)->session;

        if (r->exited || r->started || !session || job->ranks[i].start_session == session)
            continue;
        lt_rank_lost(t, job, r, LT__V1__FAILURE_CLASS__CLASS_NONE, "it had not started");
        return true;
    }
    return false;
}

/* Politely first, but a time limit is a limit; what the kill ladder does is the node's. */
bool lt_due_stopping(struct lt_turn *t, struct lt_job *job)
{
    Lt__V1__RankSignal want = LT__V1__RANK_SIGNAL__SIGNAL_STOP;

    if (watch_nodes(t, job) || never_started(t, job) || lt_time_is_up(t, job))
        return true;
    if (job->fold->stop == LT__V1__STOP_KIND__STOP_TIME && !job->grace_at_ns)
        job->grace_at_ns =
            t->mono_ns + lt_left_ns(lt_spec_grace_ns(job->fold->spec), job->fold->stop_ns, t->wall_ns);
    if (job->fold->stop == LT__V1__STOP_KIND__STOP_CANCEL ||
        (job->grace_at_ns && t->mono_ns >= job->grace_at_ns))
        want = LT__V1__RANK_SIGNAL__SIGNAL_CANCEL;
    signal_all(t, job, want);
    return false;
}

bool lt_kill_rest(struct lt_turn *t, struct lt_job *job)
{
    if (watch_nodes(t, job) || never_started(t, job))
        return true;
    signal_all(t, job, LT__V1__RANK_SIGNAL__SIGNAL_KILL);
    return false;
}
