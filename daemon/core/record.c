/* record.c - records of a rank's journal: which become events
 *
 * Each event carries the position behind its record, so that after a crash the fold says which
 * records are known; the acknowledgement follows the events. A record makes at most one event:
 * otherwise a crash between two of them would lose one. An agent of an earlier version sends them
 * one by one.
 *
 * Rank 0 speaks for the job: what other ranks write shows that they run, and how they end comes
 * with their exit.
 */
#include "daemon/core/state.h"

#include "base/mem.h"
#include "base/str.h"

struct taken {
    Lt__V1__Event event;
    Lt__V1__Rewound rewound;
};
/* True: the event is to be emitted. */
typedef bool record_fn(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to);

#define FACT(name, TYPE)                                                                           \
    static bool take_##name(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)  \
    {                                                                                              \
        (void)job;                                                                                 \
        to->event.type_case = LT__V1__EVENT__TYPE_##TYPE;                                          \
        to->event.name = r->name;                                                                  \
        return true;                                                                               \
    }
FACT(early_stopped, EARLY_STOPPED)
FACT(finished, FINISHED)
FACT(condition, CONDITION)
FACT(rolled_back, ROLLED_BACK)

static bool take_checkpoint_removed(struct lt_job *job, const Lt__V1__JournalRecord *r,
                                    struct taken *to)
{
    (void)job;
    to->event.type_case = LT__V1__EVENT__TYPE_CHECKPOINT_REMOVED;
    to->event.checkpoint_removed = r->checkpoint_removed;
    return r->checkpoint_removed->name != NULL;
}

static bool take_checkpoint_saved(struct lt_job *job, const Lt__V1__JournalRecord *r,
                                  struct taken *to)
{
    if (!r->checkpoint_saved->name || !r->checkpoint_saved->name[0])
        return false;
    job->reached_step = LT_MAX(job->reached_step, r->checkpoint_saved->step);
    to->event.type_case = LT__V1__EVENT__TYPE_CHECKPOINT_SAVED;
    to->event.checkpoint_saved = r->checkpoint_saved;
    return true;
}

static bool take_resolved(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)
{
    for (size_t i = 0; i < job->fold->n_resolved; i++)
        if (lt_str_eq(job->fold->resolved[i]->field, r->resolved->field) &&
            lt_str_eq(job->fold->resolved[i]->value, r->resolved->value))
            return false;
    to->event.type_case = LT__V1__EVENT__TYPE_RESOLVED;
    to->event.resolved = r->resolved;
    return true;
}

/* Chosen at the first attempt; later ones repeat what they were given. */
static bool take_profile(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)
{
    to->event.type_case = LT__V1__EVENT__TYPE_PROFILE;
    to->event.profile = r->profile;
    return !job->fold->has_profile;
}

static bool take_fingerprint(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)
{
    to->event.type_case = LT__V1__EVENT__TYPE_FINGERPRINT;
    to->event.fingerprint = r->fingerprint;
    return !job->fold->has_fingerprint;
}

/* It may begin earlier than told, when the checkpoint it was given could not be read. The first
 * attempt of a resumed job begins where its parent's checkpoint was. */
static bool take_started(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)
{
    if (job->fold->attempt < 2 ||
        r->started->step >= LT_MAX(job->fold->reached_step, job->reached_step))
        return false;
    lt__v1__rewound__init(&to->rewound);
    LT_SET(&to->rewound, to_step, r->started->step);
    job->reached_step = r->started->step;
    to->event.type_case = LT__V1__EVENT__TYPE_REWOUND;
    to->event.rewound = &to->rewound;
    return true;
}

static bool take_nothing(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)
{
    (void)job;
    (void)r;
    (void)to;
    return false;
}

static bool take_metrics(struct lt_job *job, const Lt__V1__JournalRecord *r, struct taken *to)
{
    (void)to;
    job->reached_step =
        LT_MAX(job->reached_step, r->metrics->step + 1); /* index of the update → updates */
    return false;
}

#define T(name) [LT__V1__JOURNAL_RECORD__TYPE_##name]
static record_fn *const takers[] = {
    T(PHASE) = take_nothing,
    T(METRICS) = take_metrics,
    T(CHECKPOINT_SAVED) = take_checkpoint_saved,
    T(CHECKPOINT_REMOVED) = take_checkpoint_removed,
    T(EARLY_STOPPED) = take_early_stopped,
    T(RESOLVED) = take_resolved,
    T(PROFILE) = take_profile,
    T(FINGERPRINT) = take_fingerprint,
    T(STARTED) = take_started,
    T(FINISHED) = take_finished,
    T(CONDITION) = take_condition,
    T(ROLLED_BACK) = take_rolled_back,
};

static void acknowledge(struct lt_turn *t, uint64_t session, const Lt__V1__Records *m,
                        uint64_t offset)
{
    Lt__V1__RecordAck a = LT__V1__RECORD_ACK__INIT;
    Lt__V1__CoordinatorMessage c = LT__V1__COORDINATOR_MESSAGE__INIT;

    a.job = m->job;
    LT_SET(&a, attempt, m->attempt);
    LT_SET(&a, rank, m->rank);
    LT_SET(&a, offset, offset);
    c.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_RECORD_ACK;
    c.record_ack = &a;
    lt_send(t, session, &c);
}

static void pass_metrics(struct lt_turn *t, const Lt__V1__Records *m,
                         const Lt__V1__Records__Item *item)
{
    struct lt_action *a = lt_action_add(t, LT_DO_METRICS, m->job);

    a->attempt = m->attempt;
    a->rank = m->rank;
    a->end_offset = item->end_offset;
    a->metrics = (Lt__V1__MetricValues *)lt_message_clone(&item->record->metrics->base);
}

static void take_record(struct lt_turn *t, struct lt_job *job, size_t i, const Lt__V1__Records *m,
                        const Lt__V1__Records__Item *item)
{
    const Lt__V1__JournalRecord *r = item->record;
    struct taken to = {.event = LT_EVENT_INIT};
    unsigned type = r ? (unsigned)r->type_case : 0;

    lt_rank_runs(t, job, i, 0); /* it writes: it runs, whatever message of it was lost */
    if (m->rank != 0)
        return;
    if (type >= sizeof takers / sizeof takers[0] || !takers[type] || !takers[type](job, r, &to))
        return; /* a newer engine's record: not for us */
    LT_SET(&to.event, attempt, m->attempt);
    LT_SET(&to.event, rank, m->rank);
    LT_SET(&to.event, journal_offset, item->end_offset);
    lt_emit(t, job->fold->id, &to.event);
}

/* Metrics are passed on though they are known: their database may have lost them, and asked for
 * them (hello.c). */
static void take_item(struct lt_turn *t, struct lt_job *job, size_t i, const Lt__V1__Records *m,
                      const Lt__V1__Records__Item *item)
{
    struct lt_rank *rank = &job->ranks[i];

    if (m->rank == 0 && item->record &&
        item->record->type_case == LT__V1__JOURNAL_RECORD__TYPE_METRICS)
        pass_metrics(t, m, item);
    rank->seen_offset =
        LT_MAX(rank->seen_offset, job->fold->ranks[i]->journal_offset); /* after a replay */
    if (item->end_offset > rank->seen_offset) {
        rank->seen_offset = item->end_offset;
        take_record(t, job, i, m, item);
    }
}

void lt_on_records(struct lt_turn *t, struct lt_node *node, const Lt__V1__Records *m)
{
    struct lt_job *job;
    size_t i;

    if (m->n_items == 0)
        return;
    if (!lt_find_rank(t->core, node, m->job, m->attempt, m->generation, m->rank, &job, &i) ||
        job->fold->ranks[i]->exited) {
        acknowledge(t, node->session, m,
                    m->items[m->n_items - 1]->end_offset); /* so that RankGone can follow */
        return;
    }
    for (size_t k = 0; k < m->n_items; k++)
        take_item(t, job, i, m, m->items[k]);
    acknowledge(t, node->session, m, job->ranks[i].seen_offset);
    lt_job_advance(t, job);
}

void lt_on_record(struct lt_turn *t, struct lt_node *node, const Lt__V1__Record *m)
{
    Lt__V1__Records__Item item = LT__V1__RECORDS__ITEM__INIT, *items[] = {&item};
    Lt__V1__Records all = LT__V1__RECORDS__INIT;

    item.end_offset = m->end_offset;
    item.record = m->record;
    all.job = m->job;
    all.attempt = m->attempt;
    all.generation = m->generation;
    all.rank = m->rank;
    all.items = items;
    all.n_items = 1;
    lt_on_records(t, node, &all);
}
