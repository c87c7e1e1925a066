/* worker.c - a rank: it writes its journal whether or not anybody listens, and ends in every way
 * there is
 *
 * The ranks of an attempt step together: none is a step ahead of another, the first step waits for
 * all, and so does the end. A rank whose peer is gone waits for ever, or dies of it. Those of a
 * command do what they like, each for itself; of it there are metrics alone, and what was made of
 * them. */
#include "tests/core/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define STEPS_PER_TICK 10

static void write_record(struct attempt *a, Lt__V1__JournalRecord *r, bool makes_event)
{
    struct record *to;

    LT_GROW(a->records, a->n_records, a->cap_records);
    to = &a->records[a->n_records];
    to->data = blob_of(&r->base);
    to->end_offset =
        (a->n_records ? a->records[a->n_records - 1].end_offset : 8) + 8 + to->data.len;
    to->makes_event = makes_event && a->rank == 0; /* it speaks for all */
    a->n_records++;
}

static void write_checkpoint(struct attempt *a, uint64_t step, bool recovery)
{
    Lt__V1__CheckpointSaved c = LT__V1__CHECKPOINT_SAVED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    char name[32];

    snprintf(name, sizeof name, "%s%llu", recovery ? "r" : "u", (unsigned long long)step);
    c.name = name;
    c.has_step = c.has_recovery = 1;
    c.step = step;
    c.recovery = recovery;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_SAVED;
    r.checkpoint_saved = &c;
    write_record(a, &r, true);
}

static void remove_checkpoint(struct attempt *a, uint64_t step)
{
    Lt__V1__CheckpointRemoved c = LT__V1__CHECKPOINT_REMOVED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    char name[32];

    snprintf(name, sizeof name, "r%llu", (unsigned long long)step);
    c.name = name;
    c.has_recovery = 1;
    c.recovery = 1;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_REMOVED;
    r.checkpoint_removed = &c;
    write_record(a, &r, true);
}

/* Keeps two. */
static void write_recovery(struct attempt *a)
{
    if (a->step == a->ckpt_step)
        return;
    write_checkpoint(a, a->step, true);
    if (a->ckpt_before)
        remove_checkpoint(a, a->ckpt_before);
    a->ckpt_before = a->ckpt_step;
    a->ckpt_step = a->step;
}

static void write_finished(struct attempt *a, Lt__V1__JobResult result, Lt__V1__FailureClass class)
{
    Lt__V1__Finished f = LT__V1__FINISHED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    f.has_result = f.has_class_ = f.has_step = 1;
    f.result = result;
    f.class_ = class;
    f.step = a->step;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
    r.finished = &f;
    write_record(a, &r, true);
    a->result = result;
}

/* Of a command its node says how it ended. */
static void finish(struct sim *s, struct attempt *a, Lt__V1__JobResult result,
                   Lt__V1__FailureClass class)
{
    if (!s->scripts[a->script].command)
        write_finished(a, result, class);
    else if (result == LT__V1__JOB_RESULT__SUCCEEDED)
        a->result = result;
}

static void write_metrics(struct attempt *a)
{
    Lt__V1__MetricValues v = LT__V1__METRIC_VALUES__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    v.has_step = 1;
    v.step = a->step - 1;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    r.metrics = &v;
    write_record(a, &r, false);
}

static void write_start(struct attempt *a, const Lt__V1__StartRank *start)
{
    Lt__V1__Started st = LT__V1__STARTED__INIT;
    Lt__V1__Profile p = LT__V1__PROFILE__INIT;
    Lt__V1__Fingerprint fp = LT__V1__FINGERPRINT__INIT;
    Lt__V1__PhaseChanged phase = LT__V1__PHASE_CHANGED__INIT;
    Lt__V1__Resolved d = LT__V1__RESOLVED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    char chosen[32];

    if (start->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND)
        return;
    d.field = (char *)"trainer.devices";
    d.value = (char *)"1";
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_RESOLVED;
    r.resolved = &d;
    write_record(a, &r, false);
    snprintf(chosen, sizeof chosen, "profile %llu", (unsigned long long)a->uid);
    p.has_profile = 1;
    p.profile.data = start->has_profile ? start->profile.data : (uint8_t *)chosen;
    p.profile.len = start->has_profile ? start->profile.len : strlen(chosen);
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_PROFILE;
    r.profile = &p;
    write_record(a, &r, false);
    fp.has_fingerprint = 1;
    fp.fingerprint = p.profile;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINGERPRINT;
    r.fingerprint = &fp;
    write_record(a, &r, false);
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_PHASE;
    r.phase = &phase;
    write_record(a, &r, false);
    st.has_step = 1;
    st.step = a->step;
    st.checkpoint = start->checkpoint;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_STARTED;
    r.started = &st;
    write_record(a, &r, false);
}

static void write_condition(struct attempt *a, bool active)
{
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    c.has_kind = c.has_active = 1;
    c.kind = LT__V1__CONDITION__KIND__CHECKPOINTING;
    c.active = active;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CONDITION;
    r.condition = &c;
    write_record(a, &r, true);
}

static void write_early_stop(struct attempt *a)
{
    Lt__V1__EarlyStopped e = LT__V1__EARLY_STOPPED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    e.monitor = (char *)"val_loss";
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_EARLY_STOPPED;
    r.early_stopped = &e;
    write_record(a, &r, true);
}

/* ---- ends */

void worker_die(struct sim *s, struct node *node, struct attempt *a, Lt__V1__FailureClass class,
                int status, const char *reason)
{
    if (!a->running)
        return;
    sim_trace(s, "%s: attempt %u rank %u of %s ends: %s", node->name, a->attempt, a->rank, a->job,
              reason);
    a->running = false;
    a->stalled = false;
    lt__v1__rank_exited__init(&a->exited);
    snprintf(a->reason, sizeof a->reason, "%s", reason);
    a->exited.has_rank = a->exited.has_class_ = a->exited.has_status = a->exited.has_at_ns = 1;
    a->exited.rank = a->rank;
    a->exited.at_ns = s->mono + a->uid % 1000; /* no two at the same moment */
    s->lives[a->uid - 1].died_ns = a->exited.at_ns;
    a->exited.class_ = class;
    a->exited.status = status;
    a->exited.reason = a->reason;
    if (a->result) {
        a->exited.has_result = 1;
        a->exited.result = a->result;
    }
    node_pump(s, node, a);
}

static void fail_somehow(struct sim *s, struct node *node, struct attempt *a)
{
    switch (sim_below(s, 10)) {
    case 0:
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_OOM, 137, "out of memory");
        break;
    case 1:
        finish(s, a, LT__V1__JOB_RESULT__FAILED, LT__V1__FAILURE_CLASS__CLASS_JOB);
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_JOB, 1, "job error");
        break;
    case 2:
        finish(s, a, LT__V1__JOB_RESULT__FAILED, LT__V1__FAILURE_CLASS__CLASS_NONFINITE);
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONFINITE, 1, "loss is NaN");
        break;
    case 3:
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 0, "exit 0 without a word");
        break;
    case 4:
        finish(s, a, LT__V1__JOB_RESULT__PREEMPTED, LT__V1__FAILURE_CLASS__CLASS_NONE);
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 0, "preempted");
        break;
    default:
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 137, "crash");
    }
}

/* All ranks of the attempt are there (or through), and none is behind. */
static bool together(struct node *node, const struct attempt *a)
{
    for (uint32_t rank = 0; rank < a->world; rank++) {
        const struct attempt *peer = node_attempt(node, a->job, a->attempt, rank);

        if (!peer || (!peer->running && !peer->result) || (peer->running && peer->step < a->step))
            return false;
    }
    return true;
}

static const struct attempt *dead_peer(struct node *node, const struct attempt *a)
{
    for (uint32_t rank = 0; rank < a->world; rank++) {
        const struct attempt *peer = node_attempt(node, a->job, a->attempt, rank);

        if (peer && !peer->running && !peer->result)
            return peer;
    }
    return NULL;
}

static bool all_arrived(struct node *node, const struct attempt *a)
{
    for (uint32_t rank = 0; rank < a->world; rank++) {
        const struct attempt *peer = node_attempt(node, a->job, a->attempt, rank);

        if (!peer || !(peer->running ? peer->arrived : peer->result != 0))
            return false;
    }
    return true;
}

static void stop_now(struct sim *s, void *arg, uint64_t uid)
{
    struct node *node = arg;
    struct attempt *a = node_attempt_by_uid(node, uid);

    if (!a || !a->running)
        return;
    if (sim_fault(s, 100)) {
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 137,
                   "crash while stopping");
        return;
    }
    a->stopping = true; /* the others see it at their next step */
    if (!together(node, a))
        return;
    write_checkpoint(a, a->step, false);
    finish(s, a, LT__V1__JOB_RESULT__STOPPED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 107, "stopped");
}

/* SIGTERM: each rank answers as it likes; behind the grace there is none. */
static void command_ends(struct sim *s, void *arg, uint64_t uid)
{
    struct node *node = arg;
    struct attempt *a = node_attempt_by_uid(node, uid);

    if (!a || !a->running)
        return;
    if (sim_chance(s, 300)) {
        a->result = LT__V1__JOB_RESULT__SUCCEEDED;
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 0, "terminated, politely");
    } else if (sim_chance(s, 500)) {
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_JOB, 1, "terminated");
    } else {
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 137,
                   "killed behind its grace");
    }
}

static void stop(struct sim *s, struct node *node, struct attempt *a)
{
    if (s->scripts[a->script].command)
        sim_at(s, sim_between(s, 10 * MS, 30 * SEC), command_ends, node, a->uid);
    else if (a->rank == 0 && !s->scripts[a->script].deaf) /* which decides when */
        sim_at(s, sim_between(s, 10 * MS, 90 * SEC), stop_now, node, a->uid);
}

static void cancel_now(struct sim *s, void *arg, uint64_t uid)
{
    struct node *node = arg;
    struct attempt *a = node_attempt_by_uid(node, uid);

    if (a)
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 143, "cancelled");
}

void worker_signal(struct sim *s, struct node *node, struct attempt *a, Lt__V1__RankSignal signal)
{
    if (!a->running)
        return;
    switch (signal) {
    case LT__V1__RANK_SIGNAL__SIGNAL_STOP:
        stop(s, node, a);
        break;
    case LT__V1__RANK_SIGNAL__SIGNAL_CANCEL:
        sim_at(s, sim_between(s, 10 * MS, 10 * SEC), cancel_now, node, a->uid);
        break;
    case LT__V1__RANK_SIGNAL__SIGNAL_CHECKPOINT:
        if (a->rank == 0)
            write_checkpoint(a, a->step, false);
        node_pump(s, node, a);
        break;
    default:
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 137,
                   "killed on request");
    }
}

/* ---- life */

static void send_sample(struct sim *s, struct node *node, struct attempt *a)
{
    Lt__V1__Sample sample = LT__V1__SAMPLE__INIT, *list[] = {&sample};
    Lt__V1__Samples samples = LT__V1__SAMPLES__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    if (!node->up || !node->link)
        return;
    sample.job = a->job;
    sample.has_attempt = sample.has_step = sample.has_rank = 1;
    sample.attempt = a->attempt;
    sample.rank = a->rank;
    sample.step = a->step;
    samples.samples = list;
    samples.n_samples = 1;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES;
    m.samples = &samples;
    link_send(s, node->link, false, blob_of(&m.base));
}

static void write_facts(struct sim *s, struct attempt *a)
{
    if (s->scripts[a->script].evaluation)
        return;
    if (s->scripts[a->script].command) {
        if (!a->early && sim_chance(s, 20)) {
            a->early = true; /* it is told to stop, and goes on until then */
            write_early_stop(a);
        }
        return;
    }
    if (sim_chance(s, 300))
        write_recovery(a);
    if (sim_chance(s, 100)) {
        write_condition(a, true);
        write_checkpoint(a, a->step, false);
        write_condition(a, false);
    }
}

static void end_well(struct sim *s, struct node *node, struct attempt *a)
{
    if (a->rank == 0 && !s->scripts[a->script].command && sim_chance(s, 300))
        write_early_stop(a);
    finish(s, a, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 0, "succeeded");
}

/* True: not yet. It may end here: with rank 0's stop, at the last barrier, of a dead peer. */
static bool wait_for_peers(struct sim *s, struct node *node, struct attempt *a)
{
    const struct attempt *lead = node_attempt(node, a->job, a->attempt, 0);

    if (s->scripts[a->script].command)
        return false;
    if (a->arrived && all_arrived(node, a)) {
        end_well(s, node, a);
        return false;
    }
    if (lead && lead != a && lead->result == LT__V1__JOB_RESULT__STOPPED) {
        finish(s, a, LT__V1__JOB_RESULT__STOPPED, LT__V1__FAILURE_CLASS__CLASS_NONE);
        worker_die(s, node, a, LT__V1__FAILURE_CLASS__CLASS_NONE, 107, "stopped");
        return false;
    }
    if (lead == a && a->stopping && together(node, a)) {
        stop_now(s, node, a->uid);
        return a->running;
    }
    if (dead_peer(node, a) && sim_chance(s, 300)) {
        worker_die(s, node, a, sim_chance(s, 500) ? LT__V1__FAILURE_CLASS__CLASS_JOB
                                                  : LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE,
                   134, "its peer is gone");
        return false;
    }
    return a->arrived || !together(node, a);
}

static void tick(struct sim *s, void *arg, uint64_t uid)
{
    struct node *node = arg;
    struct attempt *a = node_attempt_by_uid(node, uid);
    const struct script *script;

    if (!a || !a->running)
        return;
    script = &s->scripts[a->script];
    if (sim_fault(s, script->crashes / a->world)) {
        fail_somehow(s, node, a);
        return;
    }
    if (a->stalled || sim_fault(s, 20))
        node_say_condition(s, node, a, !a->stalled);
    if (wait_for_peers(s, node, a)) {
        sim_at(s, sim_between(s, 100 * MS, 5 * SEC), tick, node, uid);
        return;
    }
    if (!a->running)
        return;
    a->step += STEPS_PER_TICK;
    write_metrics(a);
    if (a->rank == 0)
        write_facts(s, a);
    if (script->ticks && a->step >= (uint64_t)script->ticks * STEPS_PER_TICK)
        a->arrived = true;
    if (a->arrived && (script->command || all_arrived(node, a))) {
        end_well(s, node, a);
        return;
    }
    if (sim_chance(s, 300))
        send_sample(s, node, a);
    node_pump(s, node, a);
    sim_at(s, sim_between(s, SEC, 40 * SEC), tick, node, uid);
}

void worker_start(struct sim *s, struct node *node, struct attempt *a,
                  const Lt__V1__StartRank *start)
{
    unsigned long long step = 0;
    char kind;

    sscanf(start->job_name, "s%d", &a->script);
    if (start->checkpoint)
        sscanf(strchr(start->checkpoint, '/') + 1, "%c%llu", &kind, &step);
    a->step = step;
    a->ckpt_step = step;
    sim_trace(s, "%s: attempt %u rank %u of %s starts at step %llu", node->name, a->attempt, a->rank,
              a->job, step);
    write_start(a, start);
    sim_at(s, sim_between(s, SEC, 20 * SEC), tick, node, a->uid);
}
