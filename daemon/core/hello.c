/* hello.c - a node comes or comes back: what it knows against what we know
 *
 * After any crash, of either side, this is where both meet again. Hello lists every attempt that
 * the node has not been told to forget:
 *
 *   we expect it, it runs         adopted; its records follow
 *   we expect it, it ended        its last records and RankGone follow by themselves; it is
 *                                 forgotten with the other ranks of its attempt
 *   we expect it, the node        it ran: lost, as by a crash; it had not started: StartRank,
 *     knows nothing of it           again
 *   we don't expect it            killed if it runs, else forgotten
 *
 * What was acknowledged has done what it means, and isn't taken again though it may be sent again.
 */
#include "daemon/core/state.h"

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#define S(name) LT__V1__JOB_STATE__##name

/* Of the attempts that we expect, those whose metrics aren't stored as far as they were
 * acknowledged: their database was lost, or is behind. */
static size_t fill_stored(const struct lt_turn *t, const struct lt_node *n, const Lt__V1__Hello *m,
                          const uint64_t *stored, Lt__V1__RecordAck *list)
{
    size_t count = 0;

    for (size_t k = 0; stored && k < m->n_attempts; k++) {
        const Lt__V1__KnownAttempt *a = m->attempts[k];
        struct lt_job *job;
        size_t i;

        if (a->rank != 0 || stored[k] >= a->journal_offset || /* rank 0 has the metrics */
            !lt_find_rank(t->core, n, a->job, a->attempt, a->generation, a->rank, &job, &i) ||
            job->fold->ranks[i]->exited)
            continue;
        lt__v1__record_ack__init(&list[count]);
        list[count].job = a->job;
        LT_SET(&list[count], attempt, a->attempt);
        LT_SET(&list[count], rank, a->rank);
        LT_SET(&list[count], offset, stored[k]);
        count++;
    }
    return count;
}

static void send_welcome(struct lt_turn *t, const struct lt_node *n, const Lt__V1__Hello *m,
                         const uint64_t *stored)
{
    Lt__V1__RecordAck *list = lt_calloc(m->n_attempts + 1, sizeof *list);
    Lt__V1__RecordAck **again = lt_calloc(m->n_attempts + 1, sizeof *again);
    Lt__V1__Welcome w = LT__V1__WELCOME__INIT;
    Lt__V1__CoordinatorMessage c = LT__V1__COORDINATOR_MESSAGE__INIT;
    char version[] = LT_VERSION;

    w.version = version;
    LT_SET(&w, takes_records, 1);
    w.n_stored = fill_stored(t, n, m, stored, list);
    for (size_t i = 0; i < w.n_stored; i++)
        again[i] = &list[i];
    w.stored = again;
    c.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_WELCOME;
    c.welcome = &w;
    lt_send(t, n->session, &c);
    lt_free(again);
    lt_free(list);
}

static void forget_checks(struct lt_turn *t, uint64_t session)
{
    for (struct lt_job *job = t->core->lists[S(HELD_CHECKING)].first; job; job = job->next)
        if (job->check_session == session) {
            job->check_session = 0;
            lt_fold_string(&job->check_text, NULL);
        }
}

static void lose_session(struct lt_turn *t, struct lt_node *n)
{
    forget_checks(t, n->session);
    n->session = 0;
    n->checks = 0;
    n->lost_ns = t->mono_ns;
}

void lt_on_inventory(struct lt_node *n, const Lt__V1__Inventory *m)
{
    if (n->inventory)
        lt__v1__inventory__free_unpacked(n->inventory, NULL);
    n->inventory = (Lt__V1__Inventory *)lt_message_clone(&m->base);
}

static void meet_attempt(struct lt_turn *t, struct lt_node *n, const Lt__V1__KnownAttempt *k)
{
    struct lt_job *job;
    size_t i;

    if (lt_find_rank(t->core, n, k->job, k->attempt, k->generation, k->rank, &job, &i)) {
        job->ranks[i].start_session = n->session;
        job->ranks[i].seen_offset = LT_MAX(job->ranks[i].seen_offset, k->journal_offset);
        if (k->running && !job->fold->ranks[i]->exited)
            lt_rank_runs(t, job, i, k->pid);
        else if (k->running) /* it was given up meanwhile */
            lt_send_signal(t, n->session, k->job, k->attempt, k->generation, k->rank,
                           LT__V1__RANK_SIGNAL__SIGNAL_KILL);
        return;
    }
    if (k->running)
        lt_send_signal(t, n->session, k->job, k->attempt, k->generation, k->rank,
                       LT__V1__RANK_SIGNAL__SIGNAL_KILL);
    else
        lt_send_forget(t, n->session, k->job, k->attempt);
}

static void miss_attempt(struct lt_turn *t, const struct lt_node *n, struct lt_job *job)
{
    for (size_t i = 0; i < job->fold->n_ranks; i++) {
        const Lt__V1__RankFold *r = job->fold->ranks[i];

        if (!r->exited && r->started && lt_str_eq(r->node, n->name) &&
            job->ranks[i].start_session != n->session)
            lt_rank_lost(t, job, r, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE,
                         "its node no longer knows the rank");
    }
}

void lt_on_hello(struct lt_turn *t, uint64_t session, const Lt__V1__Hello *m,
                 const uint64_t *stored)
{
    struct lt_node *n = lt_core_node(t->core, m->node, t->mono_ns);
    static const Lt__V1__JobState ranked[] = {S(STARTING), S(RUNNING), S(STOPPING), S(CLEANUP)};

    if (n->session)
        lose_session(t, n);
    n->session = session;
    lt_on_inventory(n, m->inventory);
    lt_fold_string(&n->version, m->version);
    send_welcome(t, n, m, stored);
    for (size_t i = 0; i < m->n_attempts; i++)
        meet_attempt(t, n, m->attempts[i]);
    for (size_t s = 0; s < LT_ARRAY_LEN(ranked); s++)
        for (struct lt_job *job = t->core->lists[ranked[s]].first, *next; job; job = next) {
            next = job->next;
            miss_attempt(t, n, job);
        }
    lt_advance_active(t);
    t->core->reschedule = true;
}

void lt_on_agent_lost(struct lt_turn *t, const struct lt_core_input *in)
{
    struct lt_node *n = lt_core_node_of_session(t->core, in->session);

    if (n)
        lose_session(t, n);
}
