/* agent.c - what agents say of ranks
 *
 * Only the present generation of an attempt is heard, and only from the node it was placed on.
 * Whatever an older one says is answered so that its node can be done with it: running ranks are
 * killed, records are acknowledged unread, ended attempts are forgotten.
 */
#include "daemon/core/state.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define S(name) LT__V1__JOB_STATE__##name

bool lt_find_rank(const struct lt_core *core, const struct lt_node *node, const char *id,
                  uint32_t attempt, uint32_t generation, uint32_t rank, struct lt_job **job,
                  size_t *index)
{
    const Lt__V1__JobFold *f;

    *job = id ? lt_core_job(core, id) : NULL;
    if (!*job)
        return false;
    f = (*job)->fold;
    if (f->attempt != attempt || f->generation != generation)
        return false;
    if (f->state != S(STARTING) && f->state != S(RUNNING) && f->state != S(STOPPING) &&
        f->state != S(CLEANUP))
        return false;
    for (*index = 0; *index < f->n_ranks; ++*index)
        if (f->ranks[*index]->rank == rank)
            return lt_str_eq(f->ranks[*index]->node, node->name);
    return false;
}

void lt_rank_runs(struct lt_turn *t, struct lt_job *job, size_t i, uint32_t pid)
{
    Lt__V1__Running running = LT__V1__RUNNING__INIT;
    Lt__V1__RankPlace place = LT__V1__RANK_PLACE__INIT, *places[] = {&place};
    Lt__V1__RankFold *r = job->fold->ranks[i];
    Lt__V1__Event e = LT_EVENT_INIT;

    if (r->exited || job->fold->state == S(CLEANUP) || (r->started && (!pid || r->pid == pid)))
        return;
    LT_SET(&place, rank, r->rank);
    place.node = r->node;
    if (pid)
        LT_SET(&place, pid, pid);
    running.ranks = places;
    running.n_ranks = 1;
    e.type_case = LT__V1__EVENT__TYPE_RUNNING;
    e.running = &running;
    LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
}

static void on_rank_started(struct lt_turn *t, struct lt_node *node, const Lt__V1__RankStarted *m)
{
    struct lt_job *job;
    size_t i;

    if (!lt_find_rank(t->core, node, m->job, m->attempt, m->generation, m->rank, &job, &i)) {
        lt_send_signal(t, node->session, m->job, m->attempt, m->generation, m->rank,
                       LT__V1__RANK_SIGNAL__SIGNAL_KILL);
        return;
    }
    lt_rank_runs(t, job, i, m->pid);
    lt_job_advance(t, job);
}

static void on_start_failed(struct lt_turn *t, struct lt_node *node, const Lt__V1__StartFailed *m)
{
    struct lt_job *job;
    size_t i;

    if (!lt_find_rank(t->core, node, m->job, m->attempt, m->generation, m->rank, &job, &i)) {
        lt_send_forget(t, node->session, m->job, m->attempt);
        return;
    }
    if (!job->fold->ranks[i]->exited)
        lt_rank_lost(t, job, job->fold->ranks[i],
                     m->has_class_ ? m->class_ : LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE,
                     m->reason ? m->reason : "the rank could not be started");
    lt_job_advance(t, job);
}

static void emit_progress_saved(struct lt_turn *t, struct lt_job *job, size_t i,
                                Lt__V1__ProgressSaved *p)
{
    const Lt__V1__Sample *s = job->ranks[i].sample;
    Lt__V1__Event e = LT_EVENT_INIT;

    if (s) {
        LT_SET(p, step_ms, s->step_ms);
        LT_SET(p, memory_bytes, s->memory_bytes);
        LT_SET(p, total_steps, s->total_steps);
        LT_SET(p, total_epochs, s->total_epochs);
    }
    e.type_case = LT__V1__EVENT__TYPE_PROGRESS_SAVED;
    e.progress_saved = p;
    LT_SET(&e, attempt, job->fold->attempt);
    if (i != 0)
        LT_SET(&e, rank, job->fold->ranks[i]->rank);
    lt_emit(t, job->fold->id, &e);
}

/* Kept as an event when the rank ends, so that an ended job still says how far it came: rank 0 for
 * the job, the others for themselves. */
static void emit_progress(struct lt_turn *t, struct lt_job *job, size_t i)
{
    Lt__V1__ProgressSaved p = LT__V1__PROGRESS_SAVED__INIT;
    const Lt__V1__Sample *s = job->ranks[i].sample;
    const Lt__V1__Finished *f = i == 0 ? job->fold->finished : NULL;
    uint64_t reached = i == 0 ? job->reached_step : 0;

    if (!s && !f && !reached)
        return;
    LT_SET(&p, epoch, f && f->has_epoch ? f->epoch : s ? s->epoch : 0);
    LT_SET(&p, step,
           f && f->has_step ? f->step
           : s              ? LT_MAX(s->step, reached)
                            : reached);
    emit_progress_saved(t, job, i, &p);
}

static void on_rank_gone(struct lt_turn *t, struct lt_node *node, const Lt__V1__RankGone *m)
{
    Lt__V1__RankExited x = LT__V1__RANK_EXITED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;
    struct lt_job *job;
    size_t i;

    if (m->exited)
        x = *m->exited;
    if (!lt_find_rank(t->core, node, m->job, m->attempt, m->generation, x.rank, &job, &i)) {
        lt_send_forget(t, node->session, m->job, m->attempt);
        return;
    }
    if (!job->fold->ranks[i]->exited) {
        if (!lt_exit_failed(&x))
            lt_rank_runs(t, job, i, 0); /* it did, whatever message of it was lost */
        emit_progress(t, job, i);
        LT_SET(&x, rank, x.rank);
        e.type_case = LT__V1__EVENT__TYPE_RANK_EXITED;
        e.rank_exited = &x;
        LT_SET(&e, attempt, job->fold->attempt);
        LT_SET(&e, rank, x.rank);
        lt_emit(t, job->fold->id, &e);
    }
    lt_job_advance(t, job);
}

static void on_samples(struct lt_turn *t, struct lt_node *node, const Lt__V1__Samples *m)
{
    for (size_t k = 0; k < m->n_samples; k++) {
        const Lt__V1__Sample *s = m->samples[k];
        struct lt_job *job = s->job ? lt_core_job(t->core, s->job) : NULL;
        Lt__V1__Sample **slot;
        size_t i;

        if (!job || !lt_find_rank(t->core, node, s->job, s->attempt, job->fold->generation, s->rank,
                                  &job, &i))
            continue;
        slot = &job->ranks[i].sample;
        if (*slot)
            lt__v1__sample__free_unpacked(*slot, NULL);
        *slot = (Lt__V1__Sample *)lt_message_clone(&s->base);
        if (s->rank == 0 && s->step > job->reached_step)
            job->reached_step = s->step;
        job->changed = true;
        lt_core_notify(t, job);
    }
}

static void on_rank_condition(struct lt_turn *t, struct lt_node *node,
                              const Lt__V1__RankCondition *m)
{
    const Lt__V1__Condition *c = m->condition;
    struct lt_job *job;
    size_t i;

    if (c && lt_find_rank(t->core, node, m->job, m->attempt, m->generation, m->rank, &job, &i) &&
        !job->fold->ranks[i]->exited)
        lt_set_condition(t, job, c->kind, c->active, c->detail);
}

static void close_session(struct lt_turn *t, uint64_t session, const char *why)
{
    struct lt_action *a = lt_action_add(t, LT_DO_CLOSE, NULL);

    a->session = session;
    a->text = lt_strdup(why);
}

/* node: who has said hello on this session before, or NULL. */
static void on_hello(struct lt_turn *t, const struct lt_core_input *in, const struct lt_node *node)
{
    const Lt__V1__Hello *m = in->message->hello;
    LT_BUF_AUTO why = {0};

    if (!m->node || !m->node[0] || !m->inventory) {
        close_session(t, in->session, "a hello without node or inventory");
    } else if (node && !lt_str_eq(node->name, m->node)) {
        lt_buf_printf(&why, "it is node %s, and says that it is %s", node->name, m->node);
        close_session(t, in->session, why.data);
    } else {
        lt_on_hello(t, in->session, m, in->stored);
    }
}

void lt_on_agent(struct lt_turn *t, const struct lt_core_input *in)
{
    const Lt__V1__AgentMessage *m = in->message;
    struct lt_node *node = lt_core_node_of_session(t->core, in->session);

    if (m->message_case == LT__V1__AGENT_MESSAGE__MESSAGE_HELLO) {
        on_hello(t, in, node);
        return;
    }
    if (!node) { /* said nothing yet, or its node came back over another session */
        close_session(t, in->session, "no hello on this session, or a newer one replaced it");
        return;
    }
    switch (m->message_case) {
    case LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE:
        lt_on_check_done(t, node, m->check_done);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_PROGRESS:
        lt_on_check_progress(t, node, m->check_progress);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED:
        on_rank_started(t, node, m->rank_started);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED:
        on_start_failed(t, node, m->start_failed);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RECORD:
        lt_on_record(t, node, m->record);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RECORDS:
        lt_on_records(t, node, m->records);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE:
        on_rank_gone(t, node, m->rank_gone);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_CONDITION:
        on_rank_condition(t, node, m->rank_condition);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_INVENTORY:
        lt_on_inventory(node, m->inventory);
        t->core->reschedule = true;
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES:
        on_samples(t, node, m->samples);
        break;
    default: /* read replies are the caller's; what a newer agent says beyond this is not for us */
        break;
    }
}
