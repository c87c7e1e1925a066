/* node.c - an agent by the contract of agent.proto: what it knows of attempts is on its disk, the
 * rest is soft */
#include "tests/core/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void say(struct sim *s, struct node *node, Lt__V1__AgentMessage *m)
{
    if (node->link)
        link_send(s, node->link, false, blob_of(&m->base));
}

struct attempt *node_attempt(struct node *node, const char *job, uint32_t attempt, uint32_t rank)
{
    for (size_t i = 0; i < node->n_attempts; i++)
        if (node->attempts[i]->attempt == attempt && node->attempts[i]->rank == rank &&
            strcmp(node->attempts[i]->job, job) == 0)
            return node->attempts[i];
    return NULL;
}

struct attempt *node_attempt_by_uid(struct node *node, uint64_t uid)
{
    for (size_t i = 0; i < node->n_attempts; i++)
        if (node->attempts[i]->uid == uid)
            return node->attempts[i];
    return NULL;
}

void attempt_free(struct attempt *a)
{
    for (size_t i = 0; i < a->n_records; i++)
        lt_free(a->records[i].data.data);
    lt_free(a->records);
    lt_free(a);
}

static void forget(struct node *node, struct attempt *a)
{
    for (size_t i = 0; i < node->n_attempts; i++)
        if (node->attempts[i] == a)
            node->attempts[i] = node->attempts[--node->n_attempts];
    attempt_free(a);
}

/* ---- to the coordinator */

static void say_started(struct sim *s, struct node *node, const struct attempt *a)
{
    Lt__V1__RankStarted r = LT__V1__RANK_STARTED__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    r.job = (char *)a->job;
    r.has_attempt = r.has_generation = r.has_rank = r.has_pid = 1;
    r.attempt = a->attempt;
    r.generation = a->generation;
    r.rank = a->rank;
    r.pid = a->pid;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED;
    m.rank_started = &r;
    say(s, node, &m);
}

static void say_record(struct sim *s, struct node *node, const struct attempt *a,
                       const Lt__V1__Records__Item *item)
{
    Lt__V1__Record r = LT__V1__RECORD__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    r.job = (char *)a->job;
    r.has_attempt = r.has_generation = r.has_rank = r.has_end_offset = 1;
    r.attempt = a->attempt;
    r.generation = a->generation;
    r.rank = a->rank;
    r.end_offset = item->end_offset;
    r.record = item->record;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RECORD;
    m.record = &r;
    say(s, node, &m);
}

static void say_several(struct sim *s, struct node *node, const struct attempt *a,
                        Lt__V1__Records__Item **items, size_t n)
{
    Lt__V1__Records r = LT__V1__RECORDS__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    r.job = (char *)a->job;
    r.has_attempt = r.has_generation = r.has_rank = 1;
    r.attempt = a->attempt;
    r.generation = a->generation;
    r.rank = a->rank;
    r.items = items;
    r.n_items = n;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RECORDS;
    m.records = &r;
    say(s, node, &m);
}

/* One message: of one record, as earlier agents do, or of several. */
static void say_some(struct sim *s, struct node *node, struct attempt *a)
{
    Lt__V1__Records__Item item[8], *items[8];
    size_t n = 0, max = sim_chance(s, 500) ? 1 : 8;

    for (; n < max && a->sent < a->n_records; n++, a->sent++) {
        const struct record *r = &a->records[a->sent];

        lt__v1__records__item__init(&item[n]);
        item[n].has_end_offset = 1;
        item[n].end_offset = r->end_offset;
        item[n].record = lt__v1__journal_record__unpack(NULL, r->data.len, r->data.data);
        items[n] = &item[n];
    }
    if (n == 1)
        say_record(s, node, a, items[0]);
    else
        say_several(s, node, a, items, n);
    for (size_t i = 0; i < n; i++)
        lt__v1__journal_record__free_unpacked(item[i].record, NULL);
}

static void say_gone(struct sim *s, struct node *node, struct attempt *a)
{
    Lt__V1__RankGone g = LT__V1__RANK_GONE__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    g.job = a->job;
    g.has_attempt = g.has_generation = 1;
    g.attempt = a->attempt;
    g.generation = a->generation;
    g.exited = &a->exited;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE;
    m.rank_gone = &g;
    say(s, node, &m);
}

void node_say_condition(struct sim *s, struct node *node, struct attempt *a, bool stalled)
{
    Lt__V1__RankCondition r = LT__V1__RANK_CONDITION__INIT;
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    a->stalled = stalled;
    if (!node->up || !node->link)
        return;
    r.job = a->job;
    r.has_attempt = r.has_generation = r.has_rank = 1;
    r.attempt = a->attempt;
    r.generation = a->generation;
    r.rank = a->rank;
    r.condition = &c;
    c.has_kind = c.has_active = 1;
    c.kind = LT__V1__CONDITION__KIND__STALLED;
    c.active = stalled;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RANK_CONDITION;
    m.rank_condition = &r;
    say(s, node, &m);
}

/* What is said twice does no harm. */
void node_pump(struct sim *s, struct node *node, struct attempt *a)
{
    if (!node->up || !node->link)
        return;
    while (a->sent < a->n_records) {
        size_t from = a->sent;

        say_some(s, node, a);
        if (sim_fault(s, 10)) { /* once more, in other pieces */
            a->sent = from;
            say_some(s, node, a);
        }
    }
    if (!a->running && (!a->gone_sent || sim_fault(s, 100))) {
        a->gone_sent = true;
        say_gone(s, node, a);
        if (sim_fault(s, 30))
            say_gone(s, node, a);
    }
}

static void say_hello(struct sim *s, struct node *node)
{
    Lt__V1__Hello h = LT__V1__HELLO__INIT;
    Lt__V1__Inventory inventory = LT__V1__INVENTORY__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__KnownAttempt *known = lt_calloc(node->n_attempts, sizeof *known);
    Lt__V1__KnownAttempt **list = lt_calloc(node->n_attempts, sizeof *list);
    char build[16];

    for (size_t i = 0; i < node->n_attempts; i++) {
        const struct attempt *a = node->attempts[i];

        lt__v1__known_attempt__init(&known[i]);
        known[i].job = (char *)a->job;
        known[i].has_attempt = known[i].has_generation = known[i].has_pid = known[i].has_running =
            1;
        known[i].attempt = a->attempt;
        known[i].generation = a->generation;
        known[i].has_rank = 1;
        known[i].rank = a->rank;
        known[i].pid = a->pid;
        known[i].running = a->running;
        known[i].has_journal_offset = 1;
        known[i].journal_offset = a->acked;
        list[i] = &known[i];
    }
    inventory.has_cpus = inventory.has_memory_bytes = 1;
    inventory.cpus = node->cpus;
    inventory.memory_bytes = node->memory;
    inventory.isa = (char *)"avx2";
    snprintf(build, sizeof build, "build %u", node->build);
    inventory.build = build;
    h.node = node->name;
    h.inventory = &inventory;
    h.attempts = list;
    h.n_attempts = node->n_attempts;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_HELLO;
    m.hello = &h;
    say(s, node, &m);
    lt_free(known);
    lt_free(list);
}

/* ---- connection and death */

void node_connect(struct sim *s, void *arg, uint64_t life)
{
    struct node *node = arg;

    if (!node->up || life != node->life || node->link)
        return;
    if (!s->coord.core || node->unreachable) {
        sim_at(s, sim_between(s, 200 * MS, 2 * SEC), node_connect, node, life);
        return;
    }
    node->link = link_open(s, node);
    sim_trace(s, "%s connects as session %llu", node->name,
              (unsigned long long)node->link->session);
    say_hello(s, node);
    for (size_t i = 0; i < node->n_attempts; i++) {
        struct attempt *a = node->attempts[i];

        a->gone_sent = false;
        for (a->sent = 0; a->sent < a->n_records && a->records[a->sent].end_offset <= a->acked;)
            a->sent++;
        node_pump(s, node, a);
        if (a->stalled)
            node_say_condition(s, node, a, true);
    }
}

void node_lost_link(struct sim *s, struct node *node, struct link *l)
{
    if (node->link != l)
        return;
    node->link = NULL;
    sim_at(s, sim_between(s, 10 * MS, SEC), node_connect, node, node->life);
}

static void node_return(struct sim *s, void *arg, uint64_t life)
{
    struct node *node = arg;

    if (life != node->life)
        return;
    node->up = true;
    node_connect(s, node, life);
}

/* The machine, and with other processors. */
static void reboot(struct sim *s, struct node *node)
{
    node->cpus = (uint32_t)sim_between(s, 1, node->all_cpus);
    for (size_t i = 0; i < node->n_attempts; i++)
        worker_die(s, node, node->attempts[i], LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 137,
                   "the machine went down");
}

void node_crash(struct sim *s, struct node *node)
{
    if (!node->up)
        return;
    sim_trace(s, "agent of %s crashes", node->name);
    node->up = false;
    node->life++;
    node->build += sim_fault(s, 200);
    if (sim_fault(s, 250))
        reboot(s, node);
    if (node->link)
        link_break(s, node->link);
    node->link = NULL;
    sim_at(s, sim_between(s, 100 * MS, 20 * SEC), node_return, node, node->life);
}

/* The machine is set up anew: ranks and what was known of them are gone. */
void node_wipe(struct sim *s, struct node *node)
{
    sim_trace(s, "%s loses its disk", node->name);
    while (node->n_attempts)
        forget(node, node->attempts[0]);
    node_crash(s, node);
}

/* ---- from the coordinator */

static void remember(struct sim *s, const struct attempt *a)
{
    struct life *l;

    LT_GROW(s->lives, s->n_lives, s->cap_lives);
    l = &s->lives[s->n_lives++]; /* uid - 1 */
    *l = (struct life){.attempt = a->attempt, .generation = a->generation, .rank = a->rank};
    snprintf(l->job, sizeof l->job, "%s", a->job);
}

static void on_start(struct sim *s, struct node *node, const Lt__V1__StartRank *start)
{
    Lt__V1__StartFailed f = LT__V1__START_FAILED__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    struct attempt *a = node_attempt(node, start->job, start->attempt, start->rank);

    if (a) {
        if (a->running)
            say_started(s, node, a);
        return;
    }
    if (sim_fault(s, 20)) {
        f.job = start->job;
        f.has_attempt = f.has_generation = f.has_rank = 1;
        f.attempt = start->attempt;
        f.generation = start->generation;
        f.rank = start->rank;
        f.reason = (char *)"no more processes";
        m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED;
        m.start_failed = &f;
        say(s, node, &m);
        if (sim_fault(s, 200))
            say(s, node, &m);
        return;
    }
    if (sim_fault(s, 20)) { /* before anything was written down */
        node_crash(s, node);
        return;
    }
    a = lt_calloc(1, sizeof *a);
    a->uid = ++s->next_uid;
    snprintf(a->job, sizeof a->job, "%s", start->job);
    a->attempt = start->attempt;
    a->generation = start->generation;
    a->rank = start->rank;
    a->world = start->world_size;
    a->pid = (uint32_t)(FIRST_PID + a->uid);
    a->running = true;
    remember(s, a);
    LT_GROW(node->attempts, node->n_attempts, node->cap_attempts);
    node->attempts[node->n_attempts++] = a;
    worker_start(s, node, a, start);
    if (sim_fault(s, 20)) { /* it runs, and nobody was told */
        node_crash(s, node);
        return;
    }
    say_started(s, node, a);
    if (sim_fault(s, 50))
        say_started(s, node, a);
}

struct check {
    struct link *link;
    char job[24];
    int outcome;
    uint64_t memory;
};

static void check_done(struct sim *s, void *arg, uint64_t n)
{
    struct check *c = arg;
    Lt__V1__CheckDone d = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Checked cost = LT__V1__CHECKED__INIT;
    Lt__V1__Problem problem = LT__V1__PROBLEM__INIT, *problems[] = {&problem};
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    (void)n;
    d.job = c->job;
    problem.reason = (char *)"labels out of range";
    if (c->outcome == 1) {
        d.problems = problems;
        d.n_problems = 1;
    }
    cost.has_memory_bytes = 1;
    cost.memory_bytes = c->outcome == 2 ? UINT64_C(1) << 50 : c->memory;
    d.cost = &cost;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE;
    m.check_done = &d;
    if (c->link->node->up && c->link->node->link == c->link)
        say(s, c->link->node, &m);
    lt_free(c);
}

static void say_progress(struct sim *s, struct node *node, char *job)
{
    Lt__V1__CheckProgress p = LT__V1__CHECK_PROGRESS__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    p.job = job;
    p.text = (char *)"scanning";
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_PROGRESS;
    m.check_progress = &p;
    say(s, node, &m);
}

static void on_check(struct sim *s, struct link *l, const Lt__V1__CheckRequest *r)
{
    struct check *c = lt_calloc(1, sizeof *c);
    int script = sim_script_of(r->spec);

    c->link = l;
    c->outcome = s->scripts[script].check;
    c->memory = UINT64_C(1) << (28 + script % 5);
    snprintf(c->job, sizeof c->job, "%s", r->job);
    if (sim_chance(s, 200))
        say_progress(s, l->node, c->job);
    sim_at_owned(s, sim_between(s, 100 * MS, 8 * SEC), check_done, c, lt_free);
}

/* Of an attempt that nobody wants any more, ranks may end one by one; those that run are killed. */
static void on_forget(struct sim *s, struct node *node, const Lt__V1__ForgetAttempt *f)
{
    for (uint32_t rank = 0; rank < SIM_RANKS; rank++) {
        struct attempt *a = node_attempt(node, f->job, f->attempt, rank);

        if (a && a->running && a->world == 1)
            sim_fail(s, "%s is told to forget attempt %u of %s, which runs", node->name, f->attempt,
                     f->job);
        else if (a && !a->running)
            forget(node, a);
    }
}

void node_receive(struct sim *s, struct node *node, struct link *l,
                  const Lt__V1__CoordinatorMessage *m)
{
    struct attempt *a;

    switch (m->message_case) {
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK:
        on_check(s, l, m->check);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_START:
        on_start(s, node, m->start);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL:
        a = node_attempt(node, m->signal->job, m->signal->attempt, m->signal->rank);
        if (a && a->generation == m->signal->generation)
            worker_signal(s, node, a, m->signal->signal);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_RECORD_ACK:
        a = node_attempt(node, m->record_ack->job, m->record_ack->attempt, m->record_ack->rank);
        if (a && m->record_ack->offset > a->acked)
            a->acked = m->record_ack->offset;
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET:
        on_forget(s, node, m->forget);
        break;
    default:
        break;
    }
}
