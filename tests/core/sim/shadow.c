/* shadow.c - what must be true, said again: a second, simpler reading of the durable log
 *
 * Shares no code with daemon/core. Each event is held against everything that was durable before
 * it, each message and reply against everything that is durable when it leaves.
 */
#include "tests/core/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define CHECKPOINTS 256

struct ckpt {
    char name[32];
    bool recovery;
    uint64_t step;
};

struct shadow { /* one job */
    char id[24];
    char request[24];
    int script;
    bool cancel, stop, time, refused, done, removed;
    bool command, early; /* early: a metric of it says that it may end */
    Lt__V1__JobResult result;
    uint32_t attempt, generation;
    uint32_t ranks;                  /* the present attempt */
    struct {
        bool done, failed;
        uint64_t at_ns;
        Lt__V1__FailureClass class;
    } exit[SIM_RANKS];
    bool exited, ended, failed;      /* exited: all of them; failed: one of them */
    bool finished;
    Lt__V1__AttemptEnded end;        /* of the last one that ended; texts are not kept */
    unsigned used_infrastructure, used_job;
    uint64_t offset;                 /* of the present attempt's newest event */
    char node[8];                    /* reserved; "": nothing is */
    uint32_t cpus, given;            /* reserved for it alone; told to use */
    uint32_t chosen;                 /* told to the attempt that chose the profile */
    uint64_t started_ns, early_ns;   /* the first attempt; `early` */
    uint64_t memory;
    char placed[8];                  /* the present attempt */
    char from[40];
    bool has_profile;
    char profile[64];
    struct ckpt ckpts[CHECKPOINTS];
    size_t n_ckpts;
};

static struct shadow *find(struct sim *s, const char *job)
{
    return job ? lt_map_get(s->shadow, job) : NULL;
}

bool shadow_done(struct sim *s, const char *job)
{
    const struct shadow *j = find(s, job);

    return j && j->done;
}

void shadow_free(struct sim *s)
{
    lt_map_free(s->shadow);
}

/* ---- events */

static void on_submitted(struct sim *s, const Lt__V1__Event *e)
{
    struct shadow *j = lt_calloc(1, sizeof *j);
    const Lt__V1__JobSpec *spec = e->submitted->spec;
    const char *id;
    void *other;

    if (find(s, e->job))
        sim_fail(s, "job %s is submitted twice", e->job);
    for (size_t i = 0; lt_map_next(s->shadow, &i, &id, &other);)
        if (strcmp(((struct shadow *)other)->request, e->submitted->request_id) == 0 &&
            !((struct shadow *)other)->removed)
            sim_fail(s, "request %s makes two jobs, %s and %s", e->submitted->request_id, id,
                     e->job);
    snprintf(j->id, sizeof j->id, "%s", e->job);
    snprintf(j->request, sizeof j->request, "%s", e->submitted->request_id);
    j->command = spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;
    j->script = sim_script_of(spec);
    lt_map_set(s->shadow, e->job, j);
}

static void check_capacity(struct sim *s, const char *node)
{
    uint64_t cpus = 0, memory = 0;
    const char *id;
    void *value;

    for (size_t i = 0; lt_map_next(s->shadow, &i, &id, &value);) {
        const struct shadow *j = value;

        if (strcmp(j->node, node) == 0) {
            cpus += j->cpus;
            memory += j->memory;
        }
    }
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, node) == 0 &&
            (cpus > sim_cpus_of(&s->nodes[i]) || memory > s->nodes[i].memory))
            sim_fail(s, "node %s has %u processors, %llu are reserved", node,
                     sim_cpus_of(&s->nodes[i]), (unsigned long long)cpus);
}

static void on_drained(struct sim *s, const Lt__V1__NodeDrained *d)
{
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, d->node) == 0)
            s->nodes[i].draining = d->active;
}

static void on_reserved(struct sim *s, struct shadow *j, const Lt__V1__Event *e)
{
    if (j->node[0])
        sim_fail(s, "job %s is reserved a second place", j->id);
    snprintf(j->node, sizeof j->node, "%s", e->reserved->node);
    j->given = e->reserved->cpus;
    j->cpus = s->scripts[j->script].crowd ? 0 : e->reserved->cpus;
    j->memory = e->reserved->memory_bytes;
    check_capacity(s, j->node);
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, j->node) == 0 && s->nodes[i].draining)
            sim_fail(s, "job %s is placed on %s, which is draining", j->id, j->node);
}

static void restart_point(const struct sim *s, const struct shadow *j, char out[40])
{
    const struct ckpt *best = NULL;

    for (size_t i = 0; i < j->n_ckpts; i++)
        if (!best || j->ckpts[i].step >= best->step)
            best = &j->ckpts[i];
    snprintf(out, 40, "%s",
             s->scripts[j->script].parent[0] && !j->command ? SIM_PARENT_CHECKPOINT : "");
    if (best)
        snprintf(out, 40, "%s/%s", best->recovery ? "recovery" : "checkpoints", best->name);
}

static void check_retry(struct sim *s, struct shadow *j)
{
    Lt__V1__FailureClass class = j->end.class_;

    if (!j->ended)
        sim_fail(s, "job %s: attempt %u starts before the last one ended", j->id, j->attempt + 1);
    if (!j->end.retry)
        sim_fail(s, "job %s is started again after an attempt that was to be the last", j->id);
    if (j->end.preempted)
        return;
    if (class == LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE) {
        if (++j->used_infrastructure > (unsigned)s->scripts[j->script].infrastructure)
            sim_fail(s, "job %s: %u retries for infrastructure", j->id, j->used_infrastructure);
    } else if (class == LT__V1__FAILURE_CLASS__CLASS_JOB) {
        if (++j->used_job > (unsigned)s->scripts[j->script].job)
            sim_fail(s, "job %s: %u retries of its own", j->id, j->used_job);
    } else {
        sim_fail(s, "job %s is started again after class %d", j->id, class);
    }
}

/* Every rank of the spec once, with no more processors than are reserved. */
static void check_shares(struct sim *s, const struct shadow *j, const Lt__V1__AttemptStarted *a)
{
    const struct script *c = &s->scripts[j->script];
    uint32_t cpus = 0;

    for (size_t i = 0; i < a->n_ranks; i++) {
        cpus += a->ranks[i]->cpus;
        if (a->ranks[i]->rank != i || !a->ranks[i]->cpus)
            sim_fail(s, "job %s: place %zu is rank %u with %u processors", j->id, i,
                     a->ranks[i]->rank, a->ranks[i]->cpus);
    }
    if (a->n_ranks != c->ranks)
        sim_fail(s, "job %s starts on %zu ranks, it asked for %u", j->id, a->n_ranks, c->ranks);
    if (cpus > j->given && !c->crowd && !c->command)
        sim_fail(s, "job %s: its ranks get %u processors of %u", j->id, cpus, j->given);
}

static void on_attempt(struct sim *s, struct shadow *j, const Lt__V1__Event *e)
{
    const Lt__V1__AttemptStarted *a = e->attempt_started;
    char from[40];

    if (e->attempt != j->attempt + 1 || a->generation <= j->generation)
        sim_fail(s, "job %s: attempt %u generation %u after %u, %u", j->id, e->attempt,
                 a->generation, j->attempt, j->generation);
    if (j->cancel || j->stop || j->time || (j->command && j->early))
        sim_fail(s, "job %s is started although it was asked to end", j->id);
    for (size_t i = 0; i < a->n_ranks; i++)
        if (!j->node[0] || !lt_str_eq(j->node, a->ranks[i]->node))
            sim_fail(s, "job %s starts where nothing is reserved", j->id);
    check_shares(s, j, a);
    check_capacity(s, j->node);
    if (j->has_profile && j->given != j->chosen && !s->scripts[j->script].relaxed)
        sim_fail(s, "job %s: its profile was chosen on %u processors, it gets %u", j->id, j->chosen,
                 j->given);
    if (!j->attempt)
        j->started_ns = s->mono;
    if (j->attempt)
        check_retry(s, j);
    restart_point(s, j, from);
    if (strcmp(from, a->from_checkpoint ? a->from_checkpoint : "") != 0)
        sim_fail(s, "job %s starts from '%s', the newest is '%s'", j->id, a->from_checkpoint, from);
    j->attempt = e->attempt;
    j->generation = a->generation;
    j->exited = j->ended = j->finished = j->failed = false;
    j->ranks = (uint32_t)a->n_ranks;
    memset(j->exit, 0, sizeof j->exit);
    j->offset = 0;
    snprintf(j->placed, sizeof j->placed, "%s", a->ranks[0]->node);
    snprintf(j->from, sizeof j->from, "%s", from);
}

static void on_checkpoint(struct sim *s, struct shadow *j, const char *name, bool recovery,
                          bool saved, uint64_t step)
{
    size_t kept = 0;

    for (size_t i = 0; i < j->n_ckpts; i++)
        if (strcmp(j->ckpts[i].name, name) != 0 || j->ckpts[i].recovery != recovery)
            j->ckpts[kept++] = j->ckpts[i];
    j->n_ckpts = kept;
    if (!saved)
        return;
    if (kept == CHECKPOINTS) {
        sim_fail(s, "too many checkpoints for this model");
        return;
    }
    snprintf(j->ckpts[kept].name, sizeof j->ckpts[kept].name, "%s", name);
    j->ckpts[kept].recovery = recovery;
    j->ckpts[kept].step = step;
    j->n_ckpts++;
}

static void on_profile(struct sim *s, struct shadow *j, const Lt__V1__Profile *p)
{
    if (j->has_profile)
        sim_fail(s, "job %s: its profile changes", j->id);
    j->has_profile = true;
    j->chosen = j->given;
    snprintf(j->profile, sizeof j->profile, "%.*s", (int)p->profile.len,
             (const char *)p->profile.data);
}

static bool result_honours(const struct shadow *j, const Lt__V1__Done *d)
{
    if (d->result == LT__V1__JOB_RESULT__REFUSED)
        return j->refused;
    if (j->refused)
        return false;
    if (j->cancel)
        return d->result == LT__V1__JOB_RESULT__CANCELLED;
    if (d->result == LT__V1__JOB_RESULT__CANCELLED)
        return false;
    if (j->command && j->early)
        return d->result == LT__V1__JOB_RESULT__SUCCEEDED;
    if (j->time)
        return d->result != LT__V1__JOB_RESULT__STOPPED;
    if (j->stop)
        return d->result != LT__V1__JOB_RESULT__TIMED_OUT;
    return d->result == LT__V1__JOB_RESULT__SUCCEEDED || d->result == LT__V1__JOB_RESULT__FAILED ||
           d->result == LT__V1__JOB_RESULT__PREEMPTED;
}

static void on_done(struct sim *s, struct shadow *j, const Lt__V1__Event *e)
{
    if (!result_honours(j, e->done))
        sim_fail(s,
                 "job %s ends with result %d against what was asked (cancel %d stop %d time %d "
                 "refused %d)",
                 j->id, e->done->result, j->cancel, j->stop, j->time, j->refused);
    if (j->attempt && !j->ended)
        sim_fail(s, "job %s is done while an attempt is not", j->id);
    j->done = true;
    j->result = e->done->result;
    j->node[0] = '\0';
}

/* Facts belong to the present attempt, come before its end, and each record makes one event. */
static void check_fact(struct sim *s, struct shadow *j, const Lt__V1__Event *e)
{
    if (!e->has_journal_offset)
        return;
    if (e->rank != 0)
        sim_fail(s, "job %s: a record of rank %u makes an event", j->id, e->rank);
    if (e->attempt != j->attempt || j->exit[0].done)
        sim_fail(s, "job %s: an event of attempt %u while %u is%s the present one", j->id,
                 e->attempt, j->attempt, j->exit[0].done ? " no longer" : "");
    if (e->journal_offset <= j->offset)
        sim_fail(s, "job %s: the record before %llu makes a second event", j->id,
                 (unsigned long long)e->journal_offset);
    j->offset = e->journal_offset;
}

static const struct life *life_of(const struct sim *s, uint32_t pid)
{
    return pid > FIRST_PID && pid - FIRST_PID <= s->n_lives ? &s->lives[pid - FIRST_PID - 1] : NULL;
}

/* A process of an older generation, or of another rank, is never taken for one of this attempt. */
static void on_running(struct sim *s, const struct shadow *j, const Lt__V1__Running *r)
{
    for (size_t i = 0; i < r->n_ranks; i++) {
        const struct life *l = life_of(s, r->ranks[i]->pid);

        if (r->ranks[i]->pid &&
            (!l || strcmp(l->job, j->id) != 0 || l->attempt != j->attempt ||
             l->generation != j->generation || l->rank != r->ranks[i]->rank))
            sim_fail(s, "job %s: process %u runs as rank %u of generation %u, which it isn't", j->id,
                     r->ranks[i]->pid, r->ranks[i]->rank, j->generation);
    }
}

/* Not seen is not dead, for a long while. (What was decided at its end may become durable behind
 * the next hello.) */
static void check_given_up(struct sim *s, const struct shadow *j, const Lt__V1__RankExited *x)
{
    if (!x->reason || !strstr(x->reason, "was not seen for"))
        return;
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, j->placed) == 0 &&
            s->mono - s->nodes[i].heard_ns < 300 * SEC &&
            s->mono - s->nodes[i].silence_over_ns > SEC)
            sim_fail(s, "job %s: rank %u is given up, and its node was heard of", j->id, x->rank);
}

static bool really_died(const struct sim *s, const struct shadow *j, const Lt__V1__RankExited *x)
{
    for (size_t i = 0; i < s->n_lives; i++) {
        const struct life *l = &s->lives[i];

        if (strcmp(l->job, j->id) == 0 && l->attempt == j->attempt && l->rank == x->rank &&
            l->generation == j->generation && l->died_ns == x->at_ns)
            return true;
    }
    return false;
}

static void on_exited(struct sim *s, struct shadow *j, const Lt__V1__RankExited *x)
{
    if (x->rank >= j->ranks || j->exit[x->rank].done) {
        sim_fail(s, "job %s: rank %u exits twice, or isn't there", j->id, x->rank);
        return;
    }
    if (x->at_ns && !really_died(s, j, x))
        sim_fail(s, "job %s: rank %u of attempt %u is said to have died, which it hasn't", j->id,
                 x->rank, j->attempt);
    check_given_up(s, j, x);
    j->exit[x->rank].done = true;
    j->exit[x->rank].at_ns = x->at_ns;
    j->exit[x->rank].class = x->class_;
    j->exit[x->rank].failed =
        x->class_ != LT__V1__FAILURE_CLASS__CLASS_NONE ||
        x->result == LT__V1__JOB_RESULT__RESULT_NONE || x->result == LT__V1__JOB_RESULT__FAILED;
    j->failed = j->failed || j->exit[x->rank].failed;
    j->exited = true;
    for (uint32_t i = 0; i < j->ranks; i++)
        j->exited = j->exited && j->exit[i].done;
}

/* Where every failure has its time, the earliest is the attempt's. */
static void check_first_failure(struct sim *s, const struct shadow *j, Lt__V1__FailureClass class)
{
    uint64_t first = UINT64_MAX;
    Lt__V1__FailureClass of = LT__V1__FAILURE_CLASS__CLASS_NONE;

    for (uint32_t i = 0; i < j->ranks; i++) {
        if (!j->exit[i].failed)
            continue;
        if (!j->exit[i].at_ns)
            return;
        if (j->exit[i].at_ns < first) {
            first = j->exit[i].at_ns;
            of = j->exit[i].class;
        }
    }
    if (first == UINT64_MAX || of == LT__V1__FAILURE_CLASS__CLASS_NONE || j->finished ||
        j->cancel || j->stop || j->time || (j->command && j->early))
        return;
    if (class != of)
        sim_fail(s, "job %s: attempt %u ended with class %d, its first failure was of class %d",
                 j->id, j->attempt, class, of);
}

static void on_attempt_ended(struct sim *s, struct shadow *j, const Lt__V1__AttemptEnded *ended)
{
    if (!j->exited || j->ended)
        sim_fail(s, "job %s: attempt %u ends %s", j->id, j->attempt,
                 j->ended ? "twice" : "before its ranks");
    check_first_failure(s, j, ended->class_);
    j->ended = true;
    j->end = *ended;
    j->end.reason = NULL;
}

static void check_attempt(struct sim *s, const struct shadow *j, const Lt__V1__Event *e)
{
    if (e->attempt != j->attempt && e->type_case != LT__V1__EVENT__TYPE_ATTEMPT_STARTED &&
        e->type_case != LT__V1__EVENT__TYPE_REMOVED)
        sim_fail(s, "job %s: event type %d is of attempt %u, the present one is %u", j->id,
                 e->type_case, e->attempt, j->attempt);
}

/* What an event says of its job is kept, and held against what was known. */
static void take(struct sim *s, struct shadow *j, const Lt__V1__Event *e)
{
    switch (e->type_case) {
    case LT__V1__EVENT__TYPE_REFUSED:
        j->refused = true;
        break;
    case LT__V1__EVENT__TYPE_QUEUED:
        j->node[0] = '\0';
        break;
    case LT__V1__EVENT__TYPE_RESERVED:
        on_reserved(s, j, e);
        break;
    case LT__V1__EVENT__TYPE_CANCEL_REQUESTED:
        j->cancel = true;
        break;
    case LT__V1__EVENT__TYPE_STOP_REQUESTED:
        j->stop = true;
        break;
    case LT__V1__EVENT__TYPE_TIME_LIMIT_REACHED:
        j->time = true;
        break;
    case LT__V1__EVENT__TYPE_EARLY_STOPPED:
        j->early = true;
        j->early_ns = s->mono;
        break;
    case LT__V1__EVENT__TYPE_ATTEMPT_STARTED:
        on_attempt(s, j, e);
        break;
    case LT__V1__EVENT__TYPE_CHECKPOINT_SAVED:
        on_checkpoint(s, j, e->checkpoint_saved->name, e->checkpoint_saved->recovery, true,
                      e->checkpoint_saved->step);
        break;
    case LT__V1__EVENT__TYPE_CHECKPOINT_REMOVED:
        on_checkpoint(s, j, e->checkpoint_removed->name, e->checkpoint_removed->recovery, false, 0);
        break;
    case LT__V1__EVENT__TYPE_PROFILE:
        on_profile(s, j, e->profile);
        break;
    case LT__V1__EVENT__TYPE_FINISHED:
        j->finished = true;
        break;
    case LT__V1__EVENT__TYPE_RUNNING:
        on_running(s, j, e->running);
        break;
    case LT__V1__EVENT__TYPE_RANK_EXITED:
        on_exited(s, j, e->rank_exited);
        break;
    case LT__V1__EVENT__TYPE_ATTEMPT_ENDED:
        on_attempt_ended(s, j, e->attempt_ended);
        break;
    case LT__V1__EVENT__TYPE_DONE:
        on_done(s, j, e);
        break;
    case LT__V1__EVENT__TYPE_REMOVED:
        j->removed = true;
        break;
    default:
        break;
    }
}

void shadow_append(struct sim *s, const Lt__V1__Event *e)
{
    struct shadow *j = find(s, e->job);

    if (e->job)
        sim_trace(s, "event %llu: job %s attempt %u type %d", (unsigned long long)e->seq, e->job,
                  e->attempt, e->type_case);
    if (e->type_case == LT__V1__EVENT__TYPE_NODE_DRAINED) {
        on_drained(s, e->node_drained);
        return;
    }
    if (e->type_case == LT__V1__EVENT__TYPE_SUBMITTED) {
        on_submitted(s, e);
        return;
    }
    if (!j || j->removed || (j->done && e->type_case != LT__V1__EVENT__TYPE_REMOVED)) {
        sim_fail(s, "event type %d for job %s, which is %s", e->type_case, e->job,
                 j ? "done" : "unknown");
        return;
    }
    check_fact(s, j, e);
    check_attempt(s, j, e);
    take(s, j, e);
}

/* ---- what leaves */

static bool is_present(const struct shadow *j, uint32_t attempt)
{
    return j && !j->done && j->attempt == attempt && !j->exited;
}

static void check_start(struct sim *s, const struct link *l, const Lt__V1__StartRank *m)
{
    const struct shadow *j = find(s, m->job);

    if (!is_present(j, m->attempt) || j->generation != m->generation || m->rank >= j->ranks ||
        j->exit[m->rank].done || m->world_size != j->ranks || m->local_world_size != j->ranks ||
        m->local_rank != m->rank ||
        strcmp(j->placed, l->node->name) != 0) {
        sim_fail(s, "attempt %u of %s is started on %s before it is durable, or after its end",
                 m->attempt, m->job, l->node->name);
        return;
    }
    if (strcmp(j->from, m->checkpoint ? m->checkpoint : "") != 0)
        sim_fail(s, "attempt %u of %s is told to start from %s", m->attempt, m->job, m->checkpoint);
    if (j->has_profile != m->has_profile ||
        (j->has_profile && strncmp(j->profile, (const char *)m->profile.data, m->profile.len) != 0))
        sim_fail(s, "attempt %u of %s is not given the first one's profile", m->attempt, m->job);
}

static void check_ack(struct sim *s, struct link *l, const Lt__V1__RecordAck *m)
{
    const struct shadow *j = find(s, m->job);
    const struct attempt *a = node_attempt(l->node, m->job, m->attempt, m->rank);

    if (!a || !is_present(j, m->attempt) || m->rank != 0 || j->exit[0].done || strcmp(j->placed, l->node->name) != 0)
        return; /* fenced: read by nobody */
    for (size_t i = 0; i < a->n_records; i++)
        if (a->records[i].makes_event && a->records[i].end_offset <= m->offset &&
            a->records[i].end_offset > j->offset)
            sim_fail(s, "%s: record at %llu is acknowledged and not durable", m->job,
                     (unsigned long long)a->records[i].end_offset);
}

static void check_signal(struct sim *s, const Lt__V1__SignalRank *m)
{
    const struct shadow *j = find(s, m->job);

    if (m->signal == LT__V1__RANK_SIGNAL__SIGNAL_CANCEL && is_present(j, m->attempt) &&
        !j->cancel && !j->time)
        sim_fail(s, "%s is cancelled before that is durable", m->job);
    if (m->signal == LT__V1__RANK_SIGNAL__SIGNAL_STOP && is_present(j, m->attempt) && !j->stop &&
        !j->time && !(j->command && j->early))
        sim_fail(s, "%s is stopped before that is durable", m->job);
    if (m->signal == LT__V1__RANK_SIGNAL__SIGNAL_KILL && is_present(j, m->attempt) &&
        j->generation == m->generation && !j->failed)
        sim_fail(s, "the present attempt of %s is killed", m->job);
}

void shadow_send(struct sim *s, struct link *l, const Lt__V1__CoordinatorMessage *m)
{
    switch (m->message_case) {
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK:
        if (!find(s, m->check->job))
            sim_fail(s, "%s is checked before it is durable", m->check->job);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_START:
        check_start(s, l, m->start);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL:
        check_signal(s, m->signal);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_RECORD_ACK:
        check_ack(s, l, m->record_ack);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET:
        if (is_present(find(s, m->forget->job), m->forget->attempt))
            sim_fail(s, "the present attempt of %s is forgotten", m->forget->job);
        break;
    default:
        break;
    }
}

void shadow_metrics(struct sim *s, const struct lt_action *a)
{
    const struct shadow *j = find(s, a->job);

    if (!a->metrics && (!j || j->attempt != a->attempt || !j->ended))
        sim_fail(s, "attempt %u of %s is over before that is durable", a->attempt, a->job);
    if (a->metrics && (!is_present(j, a->attempt) || a->rank != 0))
        sim_fail(s, "metrics of attempt %u of %s are taken, which is not the present one",
                 a->attempt, a->job);
}

void shadow_reply(struct sim *s, struct request *r, const char *job)
{
    const struct shadow *j = find(s, job);

    if (!j || strcmp(j->request, r->id) != 0)
        sim_fail(s, "request %s is acknowledged as job %s, which is not durable", r->id, job);
}

/* ---- the end */

static void check_request(struct sim *s, const struct request *r)
{
    const struct shadow *j = find(s, r->job);

    if (!r->acked || !j)
        sim_fail(s, "request %s never became a job", r->id);
    else if (!j->done)
        sim_fail(s, "job %s is stuck: attempt %u, exited %d, ended %d", j->id, j->attempt,
                 j->exited, j->ended);
    else if (r->cancelled && strcmp(j->request, r->id) == 0 &&
             j->result != LT__V1__JOB_RESULT__CANCELLED)
        sim_fail(s, "job %s was cancelled, and ended with %d", j->id, j->result);
}

bool shadow_ends(struct sim *s, const char *job)
{
    const struct shadow *j = find(s, job);

    return j && j->attempt && ((j->command && j->early) || s->scripts[j->script].limit_s > 0);
}

#define LIMIT_SLACK (400 * SEC) /* a polite stop, its grace, the kill ladder, messages that are late */
/* Once nothing breaks any more time limits and early stops of commands are kept. */
void shadow_overdue(struct sim *s)
{
    const char *id;
    void *value;

    for (size_t i = 0; lt_map_next(s->shadow, &i, &id, &value);) {
        const struct shadow *j = value;
        double limit_s = s->scripts[j->script].limit_s;
        uint64_t since = j->started_ns > s->quiet_ns ? j->started_ns : s->quiet_ns;

        if (!j->done && j->started_ns && limit_s > 0 &&
            s->mono > since + (uint64_t)(limit_s * (double)SEC) + LIMIT_SLACK)
            sim_fail(s, "job %s goes on long after its time limit of %g s", j->id, limit_s);
        since = j->early_ns > s->quiet_ns ? j->early_ns : s->quiet_ns;
        if (!j->done && j->command && j->early && s->mono > since + LIMIT_SLACK)
            sim_fail(s, "job %s goes on long after its metrics said that it may end", j->id);
    }
}

void shadow_end(struct sim *s)
{
    for (size_t i = 0; i < s->n_requests; i++)
        check_request(s, &s->requests[i]);
    for (int i = 0; i < SIM_NODES; i++)
        for (size_t k = 0; k < s->nodes[i].n_attempts; k++)
            sim_fail(s, "%s still has attempt %u of %s", s->nodes[i].name,
                     s->nodes[i].attempts[k]->attempt, s->nodes[i].attempts[k]->job);
}
