/* world.c - see world.h */
#include "tests/node/world.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "proto/plan.h"
#include "rpc/loop.h"
#include "rpc/server.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/paths.h"
#include "tests/support/tmp.h"

#define PATIENCE_NS 60000000000ull /* only a broken program reaches it; four times that at a sanitizer's pace */

static void on_message(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    struct world *w = lt_rpc_call_context(c);
    const Lt__V1__AgentMessage *a;

    if (!m)
        return;
    w->call = c;
    LT_GROW(w->got, w->n, w->cap);
    w->got[w->n++] = a = (const Lt__V1__AgentMessage *)lt_message_copy(m, w->arena);
    if (w->ack && a->message_case == LT__V1__AGENT_MESSAGE__MESSAGE_RECORD) {
        Lt__V1__RecordAck ack = LT__V1__RECORD_ACK__INIT;

        ack.job = a->record->job;
        ack.has_attempt = ack.has_rank = ack.has_offset = true;
        ack.attempt = a->record->attempt;
        ack.rank = a->record->rank;
        ack.offset = a->record->end_offset;
        world_send(w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_RECORD_ACK, &ack);
    }
}

static void on_closed(struct lt_rpc_call *c, bool cancelled)
{
    struct world *w = lt_rpc_call_context(c);

    (void)cancelled;
    if (w->call == c)
        w->call = NULL;
}

static const struct lt_rpc_method session = {
    .path = "/lt.v1.Agent/Session",
    .kind = LT_RPC_BIDI,
    .in = &lt__v1__agent_message__descriptor,
    .out = &lt__v1__coordinator_message__descriptor,
    .msg = on_message,
    .closed = on_closed,
    .need = 1,
    .max_request = 4u << 20,
};
static const struct lt_rpc_method *const methods[] = {&session, NULL};

static unsigned all_rights(void *context, const struct lt_rpc_peer *peer)
{
    (void)context;
    (void)peer;
    return 1;
}

static void server_open(struct world *w)
{
    const struct lt_rpc_server_config c = {
        .loop = w->rpc, .methods = methods, .context = w, .rights = all_rights};
    struct lt_error err = {0};

    assert_int_equal(lt_rpc_server_open(&c, &w->server, &err), 0);
    if (lt_rpc_server_listen(w->server, w->socket, &err) < 0)
        fail_msg("%s", err.text);
}

void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    uv_loop_init(&w->loop);
    w->arena = lt_arena_new(0);
    w->dir = lt_test_dir();
    w->socket = lt_path_join(w->dir, "s");
    w->run = lt_path_join(w->dir, "run");
    w->ack = true;
    assert_int_equal(lt_rpc_loop_open(&w->loop, &w->rpc, NULL), 0);
    server_open(w);
}

static void on_server_left(void *arg)
{
    struct world *w = arg;

    w->server = NULL;
}

void world_leave(struct world *w)
{
    lt_rpc_server_close(w->server, 0, on_server_left, w);
    while (w->server)
        world_spin(w, 10);
    w->call = NULL;
}

void world_return(struct world *w)
{
    server_open(w);
}

static void on_server_closed(void *arg)
{
    struct world *w = arg;

    lt_rpc_loop_close(w->rpc, NULL, NULL);
}

void world_close(struct world *w)
{
    if (w->agent > 0)
        agent_kill(w);
    lt_rpc_server_close(w->server, 0, on_server_closed, w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    lt_arena_free(w->arena);
    lt_free(w->socket);
    lt_free(w->run);
    lt_free(w->got);
}

void agent_start(struct world *w)
{
    const char *build = getenv("LT_BUILD_ROOT");
    LT_AUTO(lt_free) char *program = lt_format("%s/tests/node/agent_alone", build);
    LT_AUTO(lt_free) char *fake = lt_format("%s/tests/node/fake_worker", build);
    LT_AUTO(lt_free) char *real = lt_path_program("lt-shim");
    LT_AUTO(lt_free) char *state = lt_path_join(w->dir, "node");
    LT_AUTO(lt_free) char *target = lt_format("unix:%s", w->socket);
    LT_AUTO(lt_free) char *log = lt_path_join(w->dir, "agent.log");
    LT_AUTO(lt_free) char *hang = lt_format("%u", w->hang_ms);

    w->agent = fork();
    if (w->agent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies takes it along */
        if (!freopen(log, "a", stderr))
            _exit(126);
        setenv("PMI_RANK", "7", 1);
        execl(program, program, state, w->dir, target, w->shim ? w->shim : real,
              w->worker ? w->worker : fake, hang, NULL);
        _exit(127);
    }
    assert_true(w->agent > 0);
}

void agent_kill(struct world *w)
{
    kill(w->agent, SIGKILL);
    waitpid(w->agent, NULL, 0);
    w->agent = 0;
}

int agent_stop(struct world *w)
{
    int status = 0;

    kill(w->agent, SIGTERM);
    for (int i = 0; i < 2000 && w->agent > 0; i++) {
        if (waitpid(w->agent, &status, WNOHANG) != 0)
            w->agent = 0;
        else
            world_spin(w, 10);
    }
    if (w->agent > 0) {
        agent_kill(w);
        fail_msg("the agent doesn't end on SIGTERM");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *job_of(const Lt__V1__AgentMessage *m)
{
    switch (m->message_case) {
    case LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE:
        return m->check_done->job;
    case LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_PROGRESS:
        return m->check_progress->job;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED:
        return m->rank_started->job;
    case LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED:
        return m->start_failed->job;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RECORD:
        return m->record->job;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE:
        return m->rank_gone->job;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_CONDITION:
        return m->rank_condition->job;
    default:
        return NULL;
    }
}

static void on_timer(uv_timer_t *t)
{
    (void)t;
}

/* One turn that ends within some 10 ms; again and again, since the first may be due before the loop
 * begins to wait. */
static void turn(struct world *w)
{
    uv_timer_t t;

    uv_timer_init(&w->loop, &t);
    uv_timer_start(&t, on_timer, 10, 10);
    uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&t, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

void world_spin(struct world *w, unsigned ms)
{
    uint64_t end = lt_clock_mono_ns() + ms * 1000000ull;

    do
        turn(w);
    while (lt_clock_mono_ns() < end);
}

static void give_up(struct world *w, int kind, const char *job)
{
    LT_AUTO(lt_free) char *log = lt_path_join(w->dir, "agent.log");
    char *text = lt_test_read(log, NULL);
    int status = 0;

    if (w->agent > 0 && waitpid(w->agent, &status, WNOHANG) == w->agent) {
        print_error("the agent died: %s %d\n", WIFSIGNALED(status) ? "signal" : "exit code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        w->agent = 0;
    }
    for (size_t i = 0; i < w->n; i++)
        print_error("got kind %d job %s\n", (int)w->got[i]->message_case,
                    job_of(w->got[i]) ? job_of(w->got[i]) : "-");
    print_error("%s\n", text ? text : "");
    free(text);
    fail_msg("no message of kind %d for job %s", kind, job ? job : "(any)");
}

const char *world_job(struct world *w, const char *word)
{
    return lt_arena_format(w->arena, "%s-%d", word, (int)getpid());
}

static bool is_one_of(const Lt__V1__AgentMessage *m, const int *kinds, size_t n, const char *job)
{
    for (size_t i = 0; i < n; i++)
        if ((int)m->message_case == kinds[i] && (!job || strcmp(job_of(m), job) == 0))
            return true;
    return false;
}

static const Lt__V1__AgentMessage *wait_any(struct world *w, size_t *from, const int *kinds,
                                            size_t n, const char *job)
{
    uint64_t deadline = lt_clock_mono_ns() + PATIENCE_NS * (getenv("LT_SANITIZED") ? 4 : 1);

    job = job ? world_job(w, job) : NULL;
    for (;;) {
        while (*from < w->n) {
            const Lt__V1__AgentMessage *m = w->got[(*from)++];

            if (is_one_of(m, kinds, n, job))
                return m;
        }
        if (lt_clock_mono_ns() > deadline)
            give_up(w, kinds[0], job);
        turn(w);
    }
}

const Lt__V1__AgentMessage *world_wait(struct world *w, size_t *from,
                                       Lt__V1__AgentMessage__MessageCase kind, const char *job)
{
    return wait_any(w, from, (const int[]){(int)kind}, 1, job);
}

const Lt__V1__AgentMessage *world_wait_over(struct world *w, size_t *from, const char *job)
{
    static const int kinds[] = {LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE,
                                LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED};

    return wait_any(w, from, kinds, LT_ARRAY_LEN(kinds), job);
}

void world_send(struct world *w, Lt__V1__CoordinatorMessage__MessageCase kind, void *payload)
{
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;

    m.message_case = kind;
    m.welcome = payload;
    assert_non_null(w->call);
    assert_int_equal(lt_rpc_send(w->call, &m.base), 0);
}

void world_welcome(struct world *w, size_t *from)
{
    Lt__V1__Welcome m = LT__V1__WELCOME__INIT;

    world_wait(w, from, LT__V1__AGENT_MESSAGE__MESSAGE_HELLO, NULL);
    m.version = (char *)"test";
    world_send(w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_WELCOME, &m);
}

static void send_start(struct world *w, const char *job, uint32_t generation, uint32_t rank,
                       uint32_t n, const char *script)
{
    Lt__V1__StartRank m = LT__V1__START_RANK__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;
    Lt__V1__Model model = LT__V1__MODEL__INIT;
    Lt__V1__Command command = LT__V1__COMMAND__INIT;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)w->command};

    plan.name = (char *)"p";
    model.weights = w->weights;
    plan.model = &model;
    spec.kind_case = LT__V1__JOB_SPEC__KIND_PLAN;
    spec.plan = &plan;
    if (w->command) {
        spec.kind_case = LT__V1__JOB_SPEC__KIND_COMMAND;
        spec.command = &command;
        command.argv = argv;
        command.n_argv = LT_ARRAY_LEN(argv);
    }
    m.job = (char *)world_job(w, job);
    m.has_attempt = m.has_generation = m.has_cpus = true;
    m.attempt = 1;
    m.generation = generation;
    m.has_rank = m.has_world_size = m.has_local_rank = m.has_local_world_size = true;
    m.rank = m.local_rank = rank;
    m.world_size = m.local_world_size = n;
    m.cpus = 1;
    m.has_shares_cpus = m.shares_cpus = w->shares_cpus;
    m.has_memory_bytes = true;
    m.memory_bytes = 64u << 20;
    m.spec = &spec;
    m.run_dir = w->run;
    m.job_name = (char *)script;
    world_send(w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_START, &m);
}

void world_start_rank(struct world *w, const char *job, uint32_t generation, const char *script)
{
    send_start(w, job, generation, 0, 1, script);
}

void world_start_ranks(struct world *w, const char *job, uint32_t n, const char *const *scripts)
{
    for (uint32_t i = 0; i < n; i++)
        send_start(w, job, 1, i, n, scripts[i]);
}

void world_signal_rank(struct world *w, const char *job, uint32_t rank, Lt__V1__RankSignal signal)
{
    Lt__V1__SignalRank m = LT__V1__SIGNAL_RANK__INIT;

    m.job = (char *)world_job(w, job);
    m.has_attempt = m.has_generation = m.has_rank = m.has_signal = true;
    m.attempt = m.generation = 1;
    m.rank = rank;
    m.signal = signal;
    world_send(w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL, &m);
}

void world_signal(struct world *w, const char *job, uint32_t generation, Lt__V1__RankSignal signal)
{
    Lt__V1__SignalRank m = LT__V1__SIGNAL_RANK__INIT;

    m.job = (char *)world_job(w, job);
    m.has_attempt = m.has_generation = m.has_rank = m.has_signal = true;
    m.attempt = 1;
    m.generation = generation;
    m.signal = signal;
    world_send(w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL, &m);
}

char *world_attempt_file(struct world *w, const char *job, const char *file)
{
    return lt_format("%s/node/attempts/%s.1.0/%s", w->dir, world_job(w, job), file);
}
