/* timer.c - what is due by the clock, and when to look again */
#include "daemon/core/state.h"

#include "base/mem.h"

#define S(name) LT__V1__JOB_STATE__##name

static void expire_done(struct lt_turn *t)
{
    struct lt_job *job;

    while ((job = t->core->lists[S(DONE)].first) &&
           lt_left_ns(LT_DONE_KEPT_NS, job->fold->ended_ns, t->wall_ns) == 0) {
        Lt__V1__Removed removed = LT__V1__REMOVED__INIT;
        Lt__V1__Event e = LT_EVENT_INIT;
        char *id = lt_strdup(job->fold->id);

        LT_SET(&removed, expired, 1);
        e.type_case = LT__V1__EVENT__TYPE_REMOVED;
        e.removed = &removed;
        lt_emit(t, id, &e);
        lt_free(id);
    }
}

void lt_on_timer(struct lt_turn *t, const struct lt_core_input *in)
{
    (void)in;
    if (t->core->looked)
        lt_advance_active(t);
    else
        lt_advance_all(t); /* once after a restart: finish what was cut short */
    t->core->looked = true;
    expire_done(t);
}

static void sooner(uint64_t *deadline, uint64_t at, uint64_t now)
{
    if (at > now && at < *deadline)
        *deadline = at;
}

static void node_deadlines(struct lt_core *core, const struct lt_job *job, uint64_t now,
                           uint64_t *deadline)
{
    const Lt__V1__JobFold *f = job->fold;

    for (size_t i = 0; i < f->n_ranks; i++) {
        const struct lt_node *n = lt_core_node(core, f->ranks[i]->node, now);

        if (f->ranks[i]->exited || n->session)
            continue;
        sooner(deadline, n->lost_ns + LT_NODE_UNKNOWN_NS, now);
        sooner(deadline, n->lost_ns + LT_NODE_DEAD_NS, now);
    }
}

static void reservation_deadline(struct lt_core *core, const struct lt_job *job, uint64_t now,
                                 uint64_t *deadline)
{
    const struct lt_node *n = lt_core_node(core, job->fold->reserved->node, now);

    if (!n->session)
        sooner(deadline, n->lost_ns + LT_NODE_UNKNOWN_NS, now);
}

uint64_t lt_next_deadline(struct lt_core *core, uint64_t wall_ns, uint64_t mono_ns)
{
    const struct lt_job *oldest = core->lists[S(DONE)].first;
    uint64_t deadline = LT_NEVER;

    for (const struct lt_job *job = core->limited ? core->lists[S(QUEUED)].first : NULL; job;
         job = job->next)
        if (job->limit_at_ns)
            sooner(&deadline, job->limit_at_ns, mono_ns);
    for (int s = S(RESERVED); s < S(DONE); s++)
        for (const struct lt_job *job = core->lists[s].first; job; job = job->next) {
            sooner(&deadline, job->retry_at_ns, mono_ns);
            if (job->limit_at_ns)
                sooner(&deadline, job->limit_at_ns, mono_ns);
            sooner(&deadline, job->grace_at_ns, mono_ns);
            sooner(&deadline, job->missing_at_ns, mono_ns);
            node_deadlines(core, job, mono_ns, &deadline);
            if (s == S(RESERVED) || s == S(RECOVERING))
                reservation_deadline(core, job, mono_ns, &deadline);
        }
    if (oldest)
        sooner(&deadline, mono_ns + lt_left_ns(LT_DONE_KEPT_NS, oldest->fold->ended_ns, wall_ns),
               mono_ns);
    return deadline;
}
