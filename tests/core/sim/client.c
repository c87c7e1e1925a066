/* client.c - people: they submit, ask again when nobody answered, change their minds, and believe
 * what they are told */
#include "tests/core/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum op {
    SUBMIT,
    SUBMIT_AGAIN,
    SUBMIT_OTHER,
    CANCEL,
    STOP,
    RELEASE,
    CHECKPOINT,
    REMOVE,
    DRAIN,
    UNDRAIN,
    OP_N
};

static uint64_t token(struct sim *s, size_t request, enum op op)
{
    return ++s->next_token << 16 | request << 8 | op;
}

static void make_request(struct sim *s)
{
    struct script *c = &s->scripts[s->n_requests];
    struct request *r = &s->requests[s->n_requests];

    snprintf(r->id, sizeof r->id, "req-%zu", s->n_requests);
    snprintf(r->hash, sizeof r->hash, "hash-%zu", s->n_requests);
    *c = (struct script){
        .ticks = sim_chance(s, 150) ? 0 : (unsigned)sim_between(s, 1, 20),
        .crashes = (unsigned)(sim_chance(s, 500) ? 0 : sim_below(s, 200)),
        .check = sim_chance(s, 100) ? 1 : sim_chance(s, 50) ? 2 : 0,
        .priority = (int64_t)sim_below(s, 3),
        .infrastructure = (int64_t)(sim_chance(s, 500) ? 10 : sim_below(s, 3)),
        .job = (int64_t)sim_below(s, 3),
        .cpus = sim_below(s, 4),
        .limit_s = sim_chance(s, 200) ? (double)sim_between(s, 20, 600) : 0,
        .hold = sim_chance(s, 150),
        .command = sim_chance(s, 200),
        .deaf = sim_chance(s, 250),
        .ranks = sim_chance(s, 400) ? (unsigned)sim_between(s, 2, SIM_RANKS) : 1,
        .crowd = sim_chance(s, 300),
        .relaxed = sim_chance(s, 300),
        .evaluation = sim_chance(s, 500),
    };
    if (s->n_requests && sim_chance(s, 300)) /* a job, or "": its answer hasn't come yet */
        memcpy(c->parent, s->requests[sim_below(s, s->n_requests)].job, sizeof c->parent);
    c->evaluation = c->evaluation && c->parent[0] && !c->command;
    if (c->cpus && c->cpus < c->ranks && !c->crowd)
        c->cpus = c->ranks;
    s->n_requests++;
}

static void submit(struct sim *s, size_t i, enum op op)
{
    const struct script *c = &s->scripts[i];
    Lt__V1__Retries retries = LT__V1__RETRIES__INIT;
    Lt__V1__CountOrAuto cpus = LT__V1__COUNT_OR_AUTO__INIT;
    Lt__V1__Resources resources = LT__V1__RESOURCES__INIT;
    Lt__V1__Duration limit = LT__V1__DURATION__INIT;
    Lt__V1__Job job = LT__V1__JOB__INIT;
    Lt__V1__CountOrAuto devices = LT__V1__COUNT_OR_AUTO__INIT;
    Lt__V1__Trainer trainer = LT__V1__TRAINER__INIT;
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;
    Lt__V1__Command command = LT__V1__COMMAND__INIT;
    Lt__V1__Evaluation evaluation = LT__V1__EVALUATION__INIT;
    Lt__V1__Resume resume = LT__V1__RESUME__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    char name[8], id[24];
    struct lt_core_input in = {
        .kind = LT_IN_SUBMIT, .token = token(s, i, op), .job = id, .uid = 1000};

    s->requests[i].waiting = s->requests[i].waiting || op != SUBMIT_OTHER;
    snprintf(name, sizeof name, "s%zu", i);
    snprintf(id, sizeof id, "%llu-job", (unsigned long long)++s->next_job);
    retries.has_infrastructure = retries.has_job = 1;
    retries.infrastructure = c->infrastructure;
    retries.job = c->job;
    cpus.value_case =
        c->cpus ? LT__V1__COUNT_OR_AUTO__VALUE_COUNT : LT__V1__COUNT_OR_AUTO__VALUE_AUTO;
    cpus.count = c->cpus ? c->cpus : 1;
    resources.cpus = &cpus;
    resources.has_oversubscribe = resources.oversubscribe = c->crowd;
    devices.value_case = LT__V1__COUNT_OR_AUTO__VALUE_COUNT;
    devices.count = c->ranks;
    trainer.devices = &devices;
    trainer.has_reproducible = c->relaxed;
    if (c->relaxed)
        trainer.reproducible = LT__V1__TRAINER__REPRODUCIBLE__relaxed;
    evaluation.plan = &plan;
    evaluation.path = resume.path = (char *)SIM_PARENT_CHECKPOINT;
    resume.has_step = 1;
    resume.step = SIM_PARENT_STEP;
    if (c->parent[0] && !c->evaluation)
        plan.resume = command.resume = &resume;
    plan.trainer = &trainer;
    command.has_nproc = 1;
    command.nproc = c->ranks;
    limit.has_seconds = 1;
    limit.seconds = c->limit_s;
    job.retries = &retries;
    job.resources = &resources;
    job.time_limit = c->limit_s > 0 ? &limit : NULL;
    job.has_priority = 1;
    job.priority = c->priority;
    job.has_hold = 1;
    job.hold = c->hold;
    spec.kind_case = c->command      ? LT__V1__JOB_SPEC__KIND_COMMAND
                     : c->evaluation ? LT__V1__JOB_SPEC__KIND_EVALUATION
                                     : LT__V1__JOB_SPEC__KIND_PLAN;
    plan.name = command.name = name;
    plan.job = command.job = evaluation.job = &job;
    if (c->command)
        spec.command = &command;
    else if (c->evaluation)
        spec.evaluation = &evaluation;
    else
        spec.plan = &plan;
    in.submit =
        (struct lt_submit){.request_id = s->requests[i].id,
                           .spec = &spec,
                           .run_dir = "/run",
                           .parent = c->parent[0] ? c->parent : NULL,
                           .spec_hash = op == SUBMIT_OTHER ? "another" : s->requests[i].hash};
    coord_input(s, &in);
}

static void ask(struct sim *s, size_t i, enum op op)
{
    static const enum lt_input_kind kinds[OP_N] = {
        [CANCEL] = LT_IN_CANCEL,         [STOP] = LT_IN_STOP,     [RELEASE] = LT_IN_RELEASE,
        [CHECKPOINT] = LT_IN_CHECKPOINT, [REMOVE] = LT_IN_REMOVE, [DRAIN] = LT_IN_DRAIN,
        [UNDRAIN] = LT_IN_UNDRAIN,
    };
    struct lt_core_input in = {
        .kind = kinds[op], .token = token(s, i, op), .job = s->requests[i].job, .uid = 1000};

    if (op == DRAIN || op == UNDRAIN)
        in.node = s->nodes[i % SIM_NODES].name;
    coord_input(s, &in);
}

void client_act(struct sim *s, void *arg, uint64_t n)
{
    size_t i;

    (void)arg;
    (void)n;
    if (s->quiet)
        return;
    sim_at(s, sim_between(s, 1, 60) * SEC, client_act, NULL, 0);
    if (s->n_requests < SIM_JOBS && (s->n_requests == 0 || sim_chance(s, 400))) {
        make_request(s);
        submit(s, s->n_requests - 1, SUBMIT);
        return;
    }
    i = sim_below(s, s->n_requests);
    if (!s->requests[i].acked) {
        submit(s, i, SUBMIT);
        return;
    }
    switch (sim_below(s, 20)) {
    case 0:
    case 1:
        submit(s, i, SUBMIT_AGAIN);
        break;
    case 2:
        if (!shadow_done(s, s->requests[i].job)) /* a removed job's request id is free again */
            submit(s, i, SUBMIT_OTHER);
        break;
    case 3:
        ask(s, i, CANCEL);
        break;
    case 4:
        ask(s, i, STOP);
        break;
    case 5:
    case 6:
    case 7:
        ask(s, i, RELEASE);
        break;
    case 8:
        ask(s, i, CHECKPOINT);
        break;
    case 9:
        ask(s, i, REMOVE); /* refused, or harmless: shadow.c knows that it is gone */
        break;
    case 10:
        ask(s, i, DRAIN);
        break;
    case 11:
    case 12:
        ask(s, i, UNDRAIN);
        break;
    default:
        break;
    }
}

/* Nobody wants to wait for ever: what would not end by itself is ended. */
static void finish(struct sim *s, void *arg, uint64_t n)
{
    (void)arg;
    shadow_overdue(s);
    for (size_t i = 0; i < SIM_NODES; i++)
        if (!s->nodes[i].undrained)
            ask(s, i, UNDRAIN);
    for (size_t i = 0; i < s->n_requests; i++) {
        if (s->requests[i].waiting)
            submit(s, i, SUBMIT);
        else if (!shadow_done(s, s->requests[i].job) && !shadow_ends(s, s->requests[i].job))
            ask(s, i, s->scripts[i].ticks == 0 || s->scripts[i].check ? CANCEL : RELEASE);
    }
    sim_at(s, 30 * SEC, finish, NULL, n);
}

void client_wind_down(struct sim *s)
{
    finish(s, NULL, 0);
}

static void on_submitted(struct sim *s, struct request *r, const struct lt_action *a)
{
    if (a->status < 0 || !a->job) {
        sim_fail(s, "submit of %s was refused: %s", r->id, a->text ? a->text : "");
        return;
    }
    if (r->acked && strcmp(r->job, a->job) != 0 && !shadow_done(s, r->job))
        sim_fail(s, "request %s is job %s, then job %s", r->id, r->job, a->job);
    if (strcmp(r->job, a->job) != 0)
        r->cancelled = r->stopped =
            false; /* the first one was removed, and with it the memory of the request */
    snprintf(r->job, sizeof r->job, "%s", a->job);
    r->acked = true;
    r->waiting = false;
    shadow_reply(s, r, a->job);
}

void client_reply(struct sim *s, const struct lt_action *a)
{
    enum op op = a->token & 0xff;
    struct request *r = &s->requests[(a->token >> 8) & 0xff];

    sim_trace(s, "reply: op %d, %s, status %d%s%s", (int)op, r->id, a->status, a->text ? ", " : "",
              a->text ? a->text : "");
    if (op == SUBMIT || op == SUBMIT_AGAIN)
        on_submitted(s, r, a);
    else if (op == SUBMIT_OTHER && a->status != -EEXIST && !shadow_done(s, r->job))
        sim_fail(s, "another plan under request %s: status %d", r->id, a->status);
    else if (op == UNDRAIN && a->status == 0 && s->quiet)
        s->nodes[(a->token >> 8 & 0xff) % SIM_NODES].undrained = true;
    else if (op == CANCEL && a->status == 0 && strcmp(a->job, r->job) == 0)
        r->cancelled = true;
    else if (op == STOP && a->status == 0 && strcmp(a->job, r->job) == 0)
        r->stopped = true;
}

static void react(struct sim *s, void *arg, uint64_t n)
{
    static const enum op ops[] = {CANCEL, CANCEL, STOP, STOP, CHECKPOINT, RELEASE};
    struct request *r = arg;

    if (!s->quiet && r->acked)
        ask(s, (size_t)(r - s->requests), ops[n]);
}

void client_react(struct sim *s, const Lt__V1__Event *e)
{
    unsigned chance = e->type_case == LT__V1__EVENT__TYPE_ATTEMPT_ENDED ? 100 : 8;

    for (size_t i = 0; i < s->n_requests; i++)
        if (strcmp(s->requests[i].job, e->job) == 0 && sim_fault(s, chance))
            sim_at(s, sim_below(s, 2 * SEC), react, &s->requests[i], sim_below(s, 6));
}
