/* trace.c - see trace.h */
#include "tests/core/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "proto/plan.h"

static const char *const signal_names[] = {"stop", "cancel", "checkpoint", "kill"};

void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->core = lt_core_new();
    w->mono_ns = 1000 * SECOND;
    w->wall_ns = UINT64_C(1700000000) * SECOND;
    wait_s(w, 0);
}

void world_done(struct world *w)
{
    lt_core_free(w->core);
    lt_actions_done(&w->log);
    lt_buf_done(&w->text);
}

int world_begin(void **state)
{
    static struct world w;

    world_init(&w);
    *state = &w;
    return 0;
}

int world_end(void **state)
{
    world_done(*state);
    return 0;
}

static int node_of(const struct world *w, uint64_t session)
{
    for (int i = 0; i < 10; i++)
        if (w->session[i] == session)
            return i;
    return -1;
}

/* Of several ranks, each one's share. */
static void print_places(struct world *w, const Lt__V1__Event *e)
{
    const Lt__V1__AttemptStarted *a = e->attempt_started;

    lt_buf_printf(&w->text, " %u %s", e->attempt, a->ranks[0]->node);
    for (size_t i = 0; a->n_ranks > 1 && i < a->n_ranks; i++)
        lt_buf_printf(&w->text, "%s%u", i ? "+" : " ", a->ranks[i]->cpus);
}

static void print_rank(struct lt_buf *line, uint32_t rank)
{
    if (rank)
        lt_buf_printf(line, "/%u", rank);
}

static void print_event(struct world *w, const struct lt_action *a)
{
    Lt__V1__Event *e = lt__v1__event__unpack(NULL, a->len, a->data);
    const char *name = lt_event_type_name(e);

    lt_buf_printf(&w->text, "%s %s", e->job ? e->job : "-", name);
    if (e->type_case == LT__V1__EVENT__TYPE_RESERVED)
        lt_buf_printf(&w->text, " %s %u", e->reserved->node, e->reserved->cpus);
    if (e->type_case == LT__V1__EVENT__TYPE_ATTEMPT_STARTED)
        print_places(w, e);
    if (e->type_case == LT__V1__EVENT__TYPE_ATTEMPT_ENDED)
        lt_buf_printf(&w->text, " %s%s", lt_failure_class_name(e->attempt_ended->class_),
                      e->attempt_ended->retry ? " retry" : "");
    if (e->type_case == LT__V1__EVENT__TYPE_REWOUND)
        lt_buf_printf(&w->text, " %llu", (unsigned long long)e->rewound->to_step);
    if (e->type_case == LT__V1__EVENT__TYPE_CONDITION)
        lt_buf_printf(&w->text, " %s%d", e->condition->active ? "" : "no ", e->condition->kind);
    if (e->type_case == LT__V1__EVENT__TYPE_REFUSED)
        lt_buf_printf(&w->text, " %s", e->refused->problems[0]->reason);
    if (e->type_case == LT__V1__EVENT__TYPE_DONE)
        lt_buf_printf(&w->text, " %s %s", lt_job_result_name(e->done->result),
                      lt_failure_class_name(e->done->class_));
    lt_buf_char(&w->text, '\n');
    lt__v1__event__free_unpacked(e, NULL);
}

static void print_send(struct world *w, const struct lt_action *a)
{
    Lt__V1__CoordinatorMessage *m = lt__v1__coordinator_message__unpack(NULL, a->len, a->data);
    LT_BUF_AUTO line = {0};

    switch (m->message_case) {
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK:
        lt_buf_printf(&line, "check %s", m->check->job);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_START:
        lt_buf_printf(&line, "start %s.%u", m->start->job, m->start->attempt);
        print_rank(&line, m->start->rank);
        if (m->start->checkpoint)
            lt_buf_printf(&line, " %s", m->start->checkpoint);
        w->start_cpus = m->start->cpus;
        w->start_memory = m->start->memory_bytes;
        w->start_shares = m->start->shares_cpus;
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL:
        lt_buf_printf(&line, "%s %s.%u", signal_names[m->signal->signal], m->signal->job,
                      m->signal->attempt);
        print_rank(&line, m->signal->rank);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_RECORD_ACK:
        lt_buf_printf(&line, "ack %s.%u %llu", m->record_ack->job, m->record_ack->attempt,
                      (unsigned long long)m->record_ack->offset);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET:
        lt_buf_printf(&line, "forget %s.%u", m->forget->job, m->forget->attempt);
        break;
    default:
        break;
    }
    if (line.len)
        lt_buf_printf(&w->text, "> n%d %s\n", node_of(w, a->session), line.data);
    lt__v1__coordinator_message__free_unpacked(m, NULL);
}

/* Moves the appends into the log. */
static void keep(struct world *w, struct lt_action *a)
{
    LT_GROW(w->log.items, w->log.len, w->log.cap);
    w->log.items[w->log.len++] = *a;
    memset(a, 0, sizeof *a);
    a->kind = LT_DO_N;
}

static struct lt_core *replay(const struct world *w)
{
    struct lt_core *core = lt_core_new();
    struct lt_error err = {0};

    for (size_t i = 0; i < w->log.len; i++)
        if (lt_core_replay(core, w->log.items[i].data, w->log.items[i].len, &err) < 0)
            fail_msg("%s", err.text);
    return core;
}

static void check_replay(const struct world *w)
{
    struct lt_core *core = replay(w);
    uint8_t *x, *y;
    size_t nx, ny;

    lt_core_snapshot(w->core, &x, &nx);
    lt_core_snapshot(core, &y, &ny);
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    lt_core_free(core);
    lt_free(x);
    lt_free(y);
}

static void step(struct world *w, const struct lt_core_input *in)
{
    struct lt_actions out = {0};

    assert_int_equal(lt_core_step(w->core, in, w->wall_ns, w->mono_ns, &out), 0);
    for (size_t i = 0; i < out.len; i++) {
        struct lt_action *a = &out.items[i];

        if (a->kind == LT_DO_APPEND) {
            print_event(w, a);
            keep(w, a);
        } else if (a->kind == LT_DO_SEND) {
            print_send(w, a);
        } else if (a->kind == LT_DO_REPLY) {
            lt_buf_printf(&w->text, "= %d %s%s%s\n", a->status, a->job ? a->job : "-",
                          a->text ? ": " : "", a->text ? a->text : "");
        } else if (a->kind == LT_DO_METRICS) {
            w->metrics++;
        } else if (a->kind == LT_DO_CLOSE) {
            lt_buf_printf(&w->text, "x n%d %s\n", node_of(w, a->session), a->text);
        }
    }
    lt_actions_done(&out);
    check_replay(w);
}

void world_restart(struct world *w)
{
    lt_core_free(w->core);
    w->core = replay(w);
    memset(w->session, 0, sizeof w->session);
    wait_s(w, 0);
}

void expect(struct world *w, const char *trace)
{
    const char *got = w->text.data ? w->text.data : "";

    if (strcmp(got, trace) != 0)
        print_error("# expected\n%s# got\n%s", trace, got);
    assert_string_equal(got, trace);
    forget_trace(w);
}

void forget_trace(struct world *w)
{
    lt_buf_done(&w->text);
}

void wait_s(struct world *w, uint64_t seconds)
{
    w->mono_ns += seconds * SECOND;
    w->wall_ns += seconds * SECOND;
    step(w, &(struct lt_core_input){.kind = LT_IN_TIMER});
}

const Lt__V1__JobFold *fold(struct world *w, const char *job)
{
    const Lt__V1__JobFold *f = NULL;

    assert_int_equal(lt_core_find(w->core, job, &f, NULL), 0);
    return f;
}

/* ---- people */

void submit(struct world *w, const char *job, struct job_options o)
{
    Lt__V1__Retries retries = LT__V1__RETRIES__INIT;
    Lt__V1__CountOrAuto cpus = LT__V1__COUNT_OR_AUTO__INIT;
    Lt__V1__Size memory = LT__V1__SIZE__INIT;
    Lt__V1__Resources resources = LT__V1__RESOURCES__INIT;
    Lt__V1__Duration limit = LT__V1__DURATION__INIT;
    Lt__V1__Job j = LT__V1__JOB__INIT;
    Lt__V1__Resume resume = LT__V1__RESUME__INIT;
    Lt__V1__CountOrAuto devices = LT__V1__COUNT_OR_AUTO__INIT;
    Lt__V1__Trainer trainer = LT__V1__TRAINER__INIT;
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;
    Lt__V1__Command command = LT__V1__COMMAND__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    struct lt_core_input in = {.kind = LT_IN_SUBMIT, .token = 1, .job = job, .uid = 1000};

    retries.has_infrastructure = retries.has_job = 1;
    retries.infrastructure = o.retries ? o.retries : 10;
    retries.job = o.job_retries;
    cpus.value_case =
        o.cpus ? LT__V1__COUNT_OR_AUTO__VALUE_COUNT : LT__V1__COUNT_OR_AUTO__VALUE_AUTO;
    cpus.count = o.cpus ? o.cpus : 1;
    memory.has_bytes = 1;
    memory.bytes = o.memory;
    resources.cpus = &cpus;
    resources.memory = o.memory ? &memory : NULL;
    resources.has_oversubscribe = o.oversubscribe || o.no_oversubscribe;
    resources.oversubscribe = o.oversubscribe;
    limit.has_seconds = 1;
    limit.seconds = o.limit_s;
    j.retries = &retries;
    j.resources = &resources;
    j.time_limit = o.limit_s > 0 ? &limit : NULL;
    j.has_priority = 1;
    j.priority = o.priority;
    j.has_hold = j.hold = o.hold;
    resume.path = (char *)o.resume;
    devices.value_case = LT__V1__COUNT_OR_AUTO__VALUE_COUNT;
    devices.count = o.ranks ? o.ranks : 1;
    trainer.devices = &devices;
    command.has_nproc = 1;
    command.nproc = devices.count;
    trainer.has_reproducible = o.relaxed;
    if (o.relaxed)
        trainer.reproducible = LT__V1__TRAINER__REPRODUCIBLE__relaxed;
    plan.name = command.name = (char *)job;
    plan.job = command.job = &j;
    plan.trainer = o.relaxed || o.ranks ? &trainer : NULL;
    plan.resume = o.resume ? &resume : NULL;
    spec.kind_case = o.command ? LT__V1__JOB_SPEC__KIND_COMMAND : LT__V1__JOB_SPEC__KIND_PLAN;
    if (o.command)
        spec.command = &command;
    else
        spec.plan = &plan;
    in.submit = (struct lt_submit){.request_id = o.request ? o.request : job,
                                   .spec = &spec,
                                   .parent = o.parent,
                                   .spec_hash = o.hash ? o.hash : "h",
                                   .run_dir = "/runs/x"};
    step(w, &in);
}

void ask(struct world *w, enum lt_input_kind kind, const char *name)
{
    step(w,
         &(struct lt_core_input){.kind = kind, .token = 2, .job = name, .node = name, .uid = 1000});
}

/* ---- nodes */

void say(struct world *w, int n, const Lt__V1__AgentMessage *m)
{
    step(w, &(struct lt_core_input){.kind = LT_IN_AGENT, .session = w->session[n], .message = m});
}

static void say_as(struct world *w, int n, Lt__V1__AgentMessage__MessageCase kind, void *message)
{
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    m.message_case = kind;
    m.hello = message; /* the members are one pointer */
    say(w, n, &m);
}

static void hello(struct world *w, int n, uint32_t cpus, uint64_t memory, const char *isa,
                  Lt__V1__KnownAttempt *known)
{
    Lt__V1__Hello h = LT__V1__HELLO__INIT;
    Lt__V1__Inventory inventory = LT__V1__INVENTORY__INIT;
    char name[4] = {'n', (char)('0' + n)};

    inventory.has_cpus = inventory.has_memory_bytes = 1;
    inventory.cpus = cpus;
    inventory.memory_bytes = memory;
    inventory.isa = (char *)isa;
    inventory.build = (char *)"b1";
    h.node = name;
    h.inventory = &inventory;
    h.attempts = &known;
    h.n_attempts = known != NULL;
    w->session[n] = ++w->last_session;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_HELLO, &h);
}

void node_up(struct world *w, int n, uint32_t cpus, uint64_t memory)
{
    hello(w, n, cpus, memory, n < 5 ? "avx2" : "avx512_core", NULL);
}

void node_back(struct world *w, int n, const char *job, uint32_t attempt, bool running)
{
    Lt__V1__KnownAttempt k = LT__V1__KNOWN_ATTEMPT__INIT;

    k.job = (char *)job;
    k.has_attempt = k.has_generation = k.has_pid = k.has_running = 1;
    k.attempt = k.generation = attempt;
    k.pid = 100 + attempt;
    k.has_rank = 1;
    k.rank = w->rank;
    k.running = running;
    hello(w, n, 4, 16 * GB, "avx2", &k);
}

void node_lost(struct world *w, int n)
{
    step(w, &(struct lt_core_input){.kind = LT_IN_AGENT_LOST, .session = w->session[n]});
    w->session[n] = 0;
}

void checked(struct world *w, int n, const char *job, uint64_t memory)
{
    Lt__V1__CheckDone d = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Checked c = LT__V1__CHECKED__INIT;

    d.job = (char *)job;
    d.cost = &c;
    c.has_memory_bytes = 1;
    c.memory_bytes = memory;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE, &d);
}

void check_refused(struct world *w, int n, const char *job)
{
    Lt__V1__CheckDone d = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Problem p = LT__V1__PROBLEM__INIT, *list[] = {&p};

    d.job = (char *)job;
    p.reason = (char *)"label 10 of sample 3 is out of range";
    d.problems = list;
    d.n_problems = 1;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE, &d);
}

void started(struct world *w, int n, const char *job, uint32_t attempt)
{
    Lt__V1__RankStarted r = LT__V1__RANK_STARTED__INIT;

    r.job = (char *)job;
    r.has_attempt = r.has_generation = r.has_pid = 1;
    r.attempt = r.generation = attempt;
    r.pid = 100 + attempt;
    r.has_rank = 1;
    r.rank = w->rank;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED, &r);
}

void start_failed(struct world *w, int n, const char *job, uint32_t attempt)
{
    Lt__V1__StartFailed f = LT__V1__START_FAILED__INIT;

    f.job = (char *)job;
    f.has_attempt = f.has_generation = 1;
    f.attempt = f.generation = attempt;
    f.has_rank = 1;
    f.rank = w->rank;
    f.reason = (char *)"no such user";
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED, &f);
}

void gone(struct world *w, int n, const char *job, uint32_t attempt, Lt__V1__FailureClass class,
          int status)
{
    Lt__V1__RankGone g = LT__V1__RANK_GONE__INIT;
    Lt__V1__RankExited x = LT__V1__RANK_EXITED__INIT;

    g.job = (char *)job;
    g.has_attempt = g.has_generation = 1;
    g.attempt = g.generation = attempt;
    g.exited = &x;
    x.has_class_ = x.has_status = 1;
    x.class_ = class;
    x.status = status;
    x.has_rank = x.has_at_ns = 1;
    x.rank = w->rank;
    x.at_ns = w->exit_ns;
    x.has_result = w->exit_result != 0;
    x.result = w->exit_result;
    x.reason = (char *)(w->rank ? "another rank said so" : "it said so");
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE, &g);
}

void record(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset,
            Lt__V1__JournalRecord *r)
{
    Lt__V1__Record m = LT__V1__RECORD__INIT;

    m.job = (char *)job;
    m.has_attempt = m.has_generation = m.has_end_offset = 1;
    m.attempt = m.generation = attempt;
    m.has_rank = 1;
    m.rank = w->rank;
    m.end_offset = end_offset;
    m.record = r;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_RECORD, &m);
}

/* A name that begins with r is a recovery checkpoint's. */
void saved(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset,
           const char *name, uint64_t step)
{
    Lt__V1__CheckpointSaved c = LT__V1__CHECKPOINT_SAVED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    c.name = (char *)name;
    c.has_step = 1;
    c.step = step;
    c.has_recovery = c.recovery = name[0] == 'r';
    c.has_best = c.best = strstr(name, "best") != NULL;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_SAVED;
    r.checkpoint_saved = &c;
    record(w, n, job, attempt, end_offset, &r);
}

void finished(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset,
              Lt__V1__JobResult result, Lt__V1__FailureClass class)
{
    Lt__V1__Finished f = LT__V1__FINISHED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    f.has_result = f.has_class_ = 1;
    f.result = result;
    f.class_ = class;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
    r.finished = &f;
    record(w, n, job, attempt, end_offset, &r);
}

void sampled(struct world *w, int n, const char *job, uint32_t attempt, uint64_t at_step)
{
    Lt__V1__Sample s = LT__V1__SAMPLE__INIT, *list[] = {&s};
    Lt__V1__Samples m = LT__V1__SAMPLES__INIT;

    s.job = (char *)job;
    s.has_attempt = s.has_step = s.has_step_ms = 1;
    s.attempt = attempt;
    s.has_rank = 1;
    s.rank = w->rank;
    s.step = at_step;
    s.step_ms = 2.5;
    s.phase = (char *)"training";
    m.samples = list;
    m.n_samples = 1;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES, &m);
}

void told_condition(struct world *w, int n, const char *job, uint32_t attempt,
                    Lt__V1__Condition__Kind kind, bool active, const char *detail)
{
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;
    Lt__V1__RankCondition m = LT__V1__RANK_CONDITION__INIT;

    m.job = (char *)job;
    m.has_attempt = m.has_generation = m.has_rank = 1;
    m.attempt = m.generation = attempt;
    m.rank = w->rank;
    m.condition = &c;
    c.has_kind = c.has_active = 1;
    c.kind = kind;
    c.active = active;
    c.detail = (char *)detail;
    say_as(w, n, LT__V1__AGENT_MESSAGE__MESSAGE_RANK_CONDITION, &m);
}

void run_job(struct world *w, const char *job, struct job_options o)
{
    if (!w->session[0])
        node_up(w, 0, 4, 16 * GB);
    submit(w, job, o);
    checked(w, 0, job, GB);
    for (w->rank = 0; w->rank < fold(w, job)->n_ranks; w->rank++)
        started(w, 0, job, 1);
    w->rank = 0;
    assert_int_equal(fold(w, job)->state, LT__V1__JOB_STATE__RUNNING);
    forget_trace(w);
}
