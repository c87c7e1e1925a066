/* due.c - what the fold of a job says must happen next
 *
 * One function per state; each does at most one thing and says whether it made an event. Called
 * until nobody has anything left to do, after every input that touches the job and once for every
 * job after a restart. Whatever looks as if it were done twice isn't: what is done is either an
 * event, which changes the state, or a message, which is sent once per session.
 */
#include "daemon/core/state.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define S(name) LT__V1__JOB_STATE__##name

uint64_t lt_left_ns(uint64_t whole_ns, uint64_t since_wall_ns, uint64_t wall_ns)
{
    uint64_t gone = wall_ns > since_wall_ns ? wall_ns - since_wall_ns : 0;

    return gone < whole_ns ? whole_ns - gone : 0;
}

static void emit_done(struct lt_turn *t, struct lt_job *job, struct lt_verdict v)
{
    Lt__V1__Done done = LT__V1__DONE__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    LT_SET(&done, result, v.result);
    LT_SET(&done, class_, v.class);
    done.reason = (char *)v.reason;
    e.type_case = LT__V1__EVENT__TYPE_DONE;
    e.done = &done;
    if (job->fold->attempt)
        LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
}

static void emit_queued(struct lt_turn *t, struct lt_job *job, const char *reason)
{
    Lt__V1__Queued queued = LT__V1__QUEUED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    queued.reason = (char *)reason;
    e.type_case = LT__V1__EVENT__TYPE_QUEUED;
    e.queued = &queued;
    if (job->fold->attempt)
        LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
}

/* Without a rank nothing has to be stopped first. */
static bool end_if_unwanted(struct lt_turn *t, struct lt_job *job)
{
    if (job->fold->stop <= LT__V1__STOP_KIND__STOP_PREEMPT)
        return false;
    emit_done(t, job, lt_wished(job->fold->stop));
    return true;
}

static bool due_checking(struct lt_turn *t, struct lt_job *job)
{
    if (job->fold->refused) {
        emit_done(t, job,
                  (struct lt_verdict){.result = LT__V1__JOB_RESULT__REFUSED,
                                      .class = LT__V1__FAILURE_CLASS__CLASS_PLAN,
                                      .reason = "the plan was refused"});
        return true;
    }
    if (end_if_unwanted(t, job))
        return true;
    if (!job->fold->checked)
        return false; /* check.c asks a node */
    emit_queued(t, job, NULL);
    return true;
}

static bool due_held(struct lt_turn *t, struct lt_job *job)
{
    if (end_if_unwanted(t, job))
        return true;
    if (!job->fold->released)
        return false;
    emit_queued(t, job, "released");
    return true;
}

static bool due_queued(struct lt_turn *t, struct lt_job *job)
{
    return end_if_unwanted(t, job) || lt_time_is_up(t, job); /* sched.c finds a place */
}

/* With a reservation and no rank: start there, wait for the node a little, or look for another. */
static bool start_or_requeue(struct lt_turn *t, struct lt_job *job)
{
    struct lt_node *n = lt_core_node(t->core, job->fold->reserved->node, t->mono_ns);
    LT_BUF_AUTO why = {0};

    if (lt_node_ready(t->core, n) && lt_place_holds(t->core, job->fold, n)) {
        lt_start_attempt(t, job, n);
        return true;
    }
    if (!n->session && t->mono_ns - n->lost_ns < LT_NODE_UNKNOWN_NS)
        return false;
    lt_buf_printf(&why, "node %s %s", n->name,
                  !n->session                          ? "is not connected"
                  : lt_core_draining(t->core, n->name) ? "is draining"
                                                       : "no longer has what it needs");
    emit_queued(t, job, why.data);
    return true;
}

static bool due_reserved(struct lt_turn *t, struct lt_job *job)
{
    return end_if_unwanted(t, job) || lt_time_is_up(t, job) || start_or_requeue(t, job);
}

static bool due_recovering(struct lt_turn *t, struct lt_job *job)
{
    const Lt__V1__AttemptEnded *ended = job->fold->ended;

    if (end_if_unwanted(t, job) || lt_time_is_up(t, job))
        return true;
    if (ended->preempted) {
        emit_queued(t, job, "it made room for another job");
        return true;
    }
    if (!job->retry_at_ns)
        job->retry_at_ns = t->mono_ns + lt_left_ns(ended->delay_ms * (LT_SECOND / 1000),
                                                   job->fold->attempt_ended_ns, t->wall_ns);
    return t->mono_ns >= job->retry_at_ns && start_or_requeue(t, job);
}

static void emit_attempt_ended(struct lt_turn *t, struct lt_job *job)
{
    Lt__V1__AttemptEnded ended = LT__V1__ATTEMPT_ENDED__INIT;
    struct lt_verdict v = lt_judge(job->fold);
    Lt__V1__Event e = LT_EVENT_INIT;

    LT_SET(&ended, class_, v.class);
    ended.reason = (char *)v.reason;
    LT_SET(&ended, retry, v.retry);
    if (v.delay_ms)
        LT_SET(&ended, delay_ms, v.delay_ms);
    if (v.preempted)
        LT_SET(&ended, preempted, 1);
    e.type_case = LT__V1__EVENT__TYPE_ATTEMPT_ENDED;
    e.attempt_ended = &ended;
    LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
    lt_action_add(t, LT_DO_METRICS, job->fold->id)->attempt = job->fold->attempt;
    for (size_t i = 0; i < job->fold->n_ranks; i++) { /* once to each node: ranks lie together */
        const char *name = job->fold->ranks[i]->node;
        const struct lt_node *n = lt_core_node(t->core, name, t->mono_ns);

        if (n->session && (i == 0 || !lt_str_eq(name, job->fold->ranks[i - 1]->node)))
            lt_send_forget(t, n->session, job->fold->id, job->fold->attempt);
    }
}

/* An end that more retries would have put off says how many there were. */
static void emit_done_for_good(struct lt_turn *t, struct lt_job *job)
{
    struct lt_verdict v = lt_judge(job->fold);
    uint32_t used = v.class == LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE
                        ? job->fold->infrastructure_used
                    : v.class == LT__V1__FAILURE_CLASS__CLASS_JOB ? job->fold->job_used
                                                                  : 0;
    LT_AUTO(lt_free) char *reason = NULL;

    if (v.result == LT__V1__JOB_RESULT__FAILED && used > 0)
        v.reason = reason = lt_format("%s; its %u retr%s used up", v.reason ? v.reason : "failed",
                                      used, used == 1 ? "y is" : "ies are");
    emit_done(t, job, v);
}

static bool due_cleanup(struct lt_turn *t, struct lt_job *job)
{
    if (job->fold->ended) {
        emit_done_for_good(t, job);
        return true;
    }
    if (lt_kill_rest(t, job))
        return true;
    for (size_t i = 0; i < job->fold->n_ranks; i++)
        if (!job->fold->ranks[i]->exited)
            return false;
    emit_attempt_ended(t, job);
    return true;
}

static bool (*const due[LT_STATE_N])(struct lt_turn *, struct lt_job *) = {
    [S(HELD_CHECKING)] = due_checking, [S(HELD_USER)] = due_held,
    [S(QUEUED)] = due_queued,          [S(RESERVED)] = due_reserved,
    [S(STARTING)] = lt_due_starting,   [S(RUNNING)] = lt_due_running,
    [S(STOPPING)] = lt_due_stopping,   [S(CLEANUP)] = due_cleanup,
    [S(RECOVERING)] = due_recovering,
};

void lt_job_advance(struct lt_turn *t, struct lt_job *job)
{
    while (due[job->fold->state] && due[job->fold->state](t, job))
        ;
}

/* Lists change while jobs advance: walk a copy. Advancing never removes a job. */
static void advance_list(struct lt_turn *t, const struct lt_list *l)
{
    size_t n = 0;
    struct lt_job **jobs = lt_calloc(l->count, sizeof *jobs);

    for (struct lt_job *job = l->first; job; job = job->next)
        jobs[n++] = job;
    for (size_t i = 0; i < n; i++)
        lt_job_advance(t, jobs[i]);
    lt_free(jobs);
}

void lt_advance_active(struct lt_turn *t)
{
    if (t->core->limited) /* queued again while their time runs: few, but anywhere in the queue */
        advance_list(t, &t->core->lists[S(QUEUED)]);
    for (int s = S(RESERVED); s < S(DONE); s++)
        if (t->core->lists[s].count)
            advance_list(t, &t->core->lists[s]);
}

void lt_advance_all(struct lt_turn *t)
{
    for (int s = S(HELD_CHECKING); s < S(RESERVED); s++)
        advance_list(t, &t->core->lists[s]);
    lt_advance_active(t);
}

static uint64_t limit_at(struct lt_turn *t, struct lt_job *job)
{
    double seconds = lt_spec_time_limit_s(job->fold->spec);
    uint64_t limit_ns;

    if (!(seconds > 0) || seconds > 1e9)
        return LT_NEVER;
    limit_ns = (uint64_t)(seconds * (double)LT_SECOND);
    return t->mono_ns + lt_left_ns(limit_ns, job->fold->started_ns, t->wall_ns);
}

/* The limit counts from the first start: later waits in the queue are part of it, the first isn't. */
bool lt_time_is_up(struct lt_turn *t, struct lt_job *job)
{
    Lt__V1__TimeLimitReached reached = LT__V1__TIME_LIMIT_REACHED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    if (!job->limit_at_ns && job->fold->has_started_ns)
        job->limit_at_ns = limit_at(t, job);
    if (!job->limit_at_ns || t->mono_ns < job->limit_at_ns ||
        job->fold->stop >= LT__V1__STOP_KIND__STOP_TIME)
        return false;
    e.type_case = LT__V1__EVENT__TYPE_TIME_LIMIT_REACHED;
    e.time_limit_reached = &reached;
    LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
    return true;
}
