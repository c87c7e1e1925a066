/* fixture.c - the world of the coordinator's tests */
#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "proto/text/text.h"
#include "sys/file.h"

/* ---- the fake agent ---- */

struct waiting_read {
    struct waiting_read *next;
    Lt__V1__ReadRequest request;
    uint64_t deadline_ms;
};

static void agent_send(struct world *w, Lt__V1__AgentMessage *m)
{
    assert_int_equal(lt_rpc_session_send(w->agent, &m->base), 0);
}

/* false: there is nothing yet, and it may wait. */
static bool answer_read(struct world *w, const Lt__V1__ReadRequest *q, bool may_wait)
{
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__ReadReply r = LT__V1__READ_REPLY__INIT;
    static uint8_t data[1 << 20];
    char path[512], *entries[] = {(char *)"MANIFEST", (char *)"model.safetensors", (char *)"tmp/"};
    FILE *f;
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", q->run_dir, q->path);
    r.has_id = r.has_size = r.has_error = true;
    r.id = q->id;
    if (stat(path, &st) < 0) {
        r.error = (uint32_t)errno;
    } else if (S_ISDIR(st.st_mode)) {
        r.entries = entries;
        r.n_entries = 3;
    } else {
        f = fopen(path, "r");
        fseek(f, (long)(q->offset < (uint64_t)st.st_size ? q->offset : (uint64_t)st.st_size),
              SEEK_SET);
        r.size = (uint64_t)st.st_size;
        r.has_data = true;
        r.data.data = data;
        r.data.len = fread(data, 1, q->max_bytes < sizeof data ? q->max_bytes : sizeof data, f);
        fclose(f);
    }
    if (may_wait && r.data.len == 0 && r.n_entries == 0 && (r.error == 0 || r.error == ENOENT))
        return false;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_READ_REPLY;
    m.read_reply = &r;
    agent_send(w, &m);
    return true;
}

static void take_read(struct world *w, const Lt__V1__ReadRequest *q)
{
    struct waiting_read *r;

    if (answer_read(w, q, q->wait_ms > 0))
        return;
    r = calloc(1, sizeof *r);
    r->request = *q;
    r->request.run_dir = strdup(q->run_dir);
    r->request.path = strdup(q->path);
    r->deadline_ms = uv_now(&w->uv) + q->wait_ms;
    r->next = w->reads;
    w->reads = r;
}

static void drop_read(struct waiting_read *r)
{
    free(r->request.run_dir);
    free(r->request.path);
    free(r);
}

static void retry_reads(uv_timer_t *t)
{
    struct world *w = t->data;

    for (struct waiting_read **p = &w->reads, *r; (r = *p);) {
        if (!answer_read(w, &r->request, uv_now(&w->uv) < r->deadline_ms)) {
            p = &r->next;
            continue;
        }
        *p = r->next;
        drop_read(r);
    }
}

static void agent_opened(void *arg)
{
    struct world *w = arg;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__Hello hello = LT__V1__HELLO__INIT;
    Lt__V1__Inventory inventory = LT__V1__INVENTORY__INIT;

    inventory.hostname = (char *)"fake";
    inventory.has_cpus = inventory.has_memory_bytes = true;
    inventory.cpus = 8;
    inventory.memory_bytes = 8ull << 30;
    inventory.boot_id = (char *)"boot";
    inventory.build = (char *)"build";
    inventory.isa = (char *)"avx2";
    hello.node = (char *)"fake";
    hello.version = (char *)"0";
    hello.inventory = &inventory;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_HELLO;
    m.hello = &hello;
    agent_send(w, &m);
}

static void take_check(struct world *w, const Lt__V1__CheckRequest *q)
{
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__CheckDone done = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Checked cost = LT__V1__CHECKED__INIT;
    Lt__V1__Problem problem = LT__V1__PROBLEM__INIT, *problems[] = {&problem};

    w->checks++;
    cost.has_memory_bytes = true;
    cost.memory_bytes = 100u << 20;
    done.job = q->job;
    done.cost = &cost;
    done.report_json = (char *)"{}";
    problem.path = (char *)"model";
    problem.reason = (char *)"shapes don't fit";
    if (w->refuse) {
        done.n_problems = 1;
        done.problems = problems;
        done.cost = NULL;
    }
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE;
    m.check_done = &done;
    agent_send(w, &m);
}

static void take_start(struct world *w, const Lt__V1__StartRank *q)
{
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__RankStarted started = LT__V1__RANK_STARTED__INIT;
    Lt__V1__Record record = LT__V1__RECORD__INIT;
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Started begun = LT__V1__STARTED__INIT;

    started.job = q->job;
    started.has_attempt = started.has_generation = started.has_rank = started.has_pid = true;
    started.attempt = q->attempt;
    started.generation = q->generation;
    started.pid = 4711;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED;
    m.rank_started = &started;
    agent_send(w, &m);
    w->journal = 8;
    begun.has_step = true;
    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_STARTED;
    j.started = &begun;
    record.job = q->job;
    record.has_attempt = record.has_generation = record.has_rank = record.has_end_offset = true;
    record.attempt = q->attempt;
    record.generation = q->generation;
    record.end_offset = w->journal += 20;
    record.record = &j;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RECORD;
    m.record = &record;
    agent_send(w, &m);
    w->started++;
}

static void agent_message(void *arg, const ProtobufCMessage *base)
{
    struct world *w = arg;
    const Lt__V1__CoordinatorMessage *m = (const Lt__V1__CoordinatorMessage *)base;

    switch (m->message_case) {
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_WELCOME:
        w->welcomed++;
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK:
        take_check(w, m->check);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_START:
        take_start(w, m->start);
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL:
        w->last_signal = (int)m->signal->signal;
        w->signals++;
        break;
    case LT__V1__COORDINATOR_MESSAGE__MESSAGE_READ:
        take_read(w, m->read);
        break;
    default:
        break;
    }
}

static void drop_reads(struct world *w)
{
    struct waiting_read *r;

    while ((r = w->reads)) {
        w->reads = r->next;
        drop_read(r);
    }
}

static void agent_closed(void *arg, const struct lt_rpc_status *why)
{
    struct world *w = arg;

    (void)why;
    drop_reads(w);
    w->sessions_lost++;
}

/* ---- the loop's thread ---- */

static void on_call(uv_async_t *a)
{
    struct world *w = a->data;

    pthread_mutex_lock(&w->lock);
    if (w->call) {
        w->call(w, w->call_arg);
        w->call = NULL;
        w->called = true;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
}

void world_do(struct world *w, void (*fn)(struct world *w, void *arg), void *arg)
{
    pthread_mutex_lock(&w->lock);
    w->call = fn;
    w->call_arg = arg;
    w->called = false;
    uv_async_send(&w->calls);
    while (!w->called)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
    struct world *w = arg;
    struct lt_error err = {0};
    struct lt_coord_config coord = {.state_dir = w->state, .runs_dir = w->runs};
    struct lt_rpc_server_config server = {
        .methods = lt_methods, .context = &w->service, .rights = lt_service_rights};

    uv_loop_init(&w->uv);
    uv_async_init(&w->uv, &w->calls, on_call);
    uv_timer_init(&w->uv, &w->retry);
    w->calls.data = w->retry.data = w;
    uv_timer_start(&w->retry, retry_reads, 2, 2);
    w->service.owner = getuid();
    if (lt_rpc_loop_open(&w->uv, &w->loop, &err) < 0)
        abort();
    coord.loop = server.loop = w->loop;
    if (lt_coord_open(&coord, &w->service.coord, &err) < 0 ||
        lt_rpc_server_open(&server, &w->server, &err) < 0 ||
        lt_rpc_server_listen(w->server, w->socket, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    pthread_mutex_lock(&w->lock);
    w->up = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    uv_run(&w->uv, UV_RUN_DEFAULT);
    uv_loop_close(&w->uv);
    return NULL;
}

static void open_agent(struct world *w, void *arg)
{
    struct lt_rpc_session_config config = {.loop = w->loop,
                                       .target = w->target,
                                       .method = "/lt.v1.Agent/Session",
                                       .in = &lt__v1__coordinator_message__descriptor,
                                       .arg = w,
                                       .opened = agent_opened,
                                       .message = agent_message,
                                       .closed = agent_closed};

    (void)arg;
    lt_rpc_session_open(&config, &w->agent, NULL);
}

void world_up(struct world *w, bool agent)
{
    w->up = false;
    w->welcomed = w->started = w->signals = w->checks = w->sessions_lost = 0;
    pthread_create(&w->thread, NULL, run, w);
    pthread_mutex_lock(&w->lock);
    while (!w->up)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    if (agent) {
        world_do(w, open_agent, NULL);
        world_await(&w->welcomed, 1);
    }
    assert_int_equal(lt_client_open(w->target, &w->client, NULL), 0);
}

static void close_loop(void *arg)
{
    struct world *w = arg;

    uv_close((uv_handle_t *)&w->calls, NULL);
    uv_close((uv_handle_t *)&w->retry, NULL);
    lt_rpc_loop_close(w->loop, NULL, NULL);
}

static void close_coord(void *arg)
{
    struct world *w = arg;

    lt_coord_close(w->service.coord, close_loop, w);
}

static void close_server(void *arg)
{
    struct world *w = arg;

    lt_rpc_server_close(w->server, 0, close_coord, w);
}

static void begin_down(struct world *w, void *arg)
{
    (void)arg;
    drop_reads(w);
    if (w->agent)
        lt_rpc_session_close(w->agent, close_server, w);
    else
        close_server(w);
    w->agent = NULL;
}

void world_down(struct world *w)
{
    lt_client_close(w->client);
    w->client = NULL;
    world_do(w, begin_down, NULL);
    pthread_join(w->thread, NULL);
}

void world_make(struct world *w)
{
    LT_AUTO(lt_free)
    char *path = lt_format("%s/examples/fashion-mlp.yaml", getenv("LT_SOURCE_ROOT"));
    struct lt_problems problems = {0};
    LT_BUF_AUTO text = {0};

    memset(w, 0, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    strcpy(w->dir, "/tmp/lt-coord-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->state, sizeof w->state, "%s/state", w->dir);
    snprintf(w->runs, sizeof w->runs, "%s/runs", w->dir);
    snprintf(w->socket, sizeof w->socket, "%s/sock", w->dir);
    snprintf(w->target, sizeof w->target, "unix:%s", w->socket);
    w->arena = lt_arena_new(0);
    assert_int_equal(lt_file_read(path, 1u << 20, &text, NULL), 0);
    w->spec = lt_text_parse_spec(text.data, text.len, "/", NULL, 0, w->arena, &problems);
    assert_non_null(w->spec);
    lt_problems_done(&problems);
}

void world_drop(struct world *w)
{
    lt_file_remove_tree(w->dir, NULL);
    lt_arena_free(w->arena);
    lt_rpc_status_done(&w->status);
}

void world_await(_Atomic unsigned *counter, unsigned n)
{
    for (int i = 0; i < 10000 && *counter < n; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    assert_true(*counter >= n);
}

/* ---- the client ---- */

int world_call(struct world *w, const char *method, const void *request,
               const ProtobufCMessageDescriptor *out, void *reply)
{
    return lt_client_call(w->client, method, request, out, LONG_MS, w->arena, reply, &w->status);
}

int world_submit(struct world *w, const char *request_id, const char **job)
{
    Lt__V1__SubmitRequest q = LT__V1__SUBMIT_REQUEST__INIT;
    Lt__V1__SubmitResponse *r;
    int rc;

    q.request_id = (char *)request_id;
    q.spec = w->spec;
    rc = world_call(w, "/lt.v1.Jobs/Submit", &q, &lt__v1__submit_response__descriptor, &r);
    if (rc == 0)
        *job = r->job_id;
    return rc;
}

int world_get(struct world *w, const char *job, Lt__V1__JobStatus **status)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;

    q.job_id = (char *)job;
    return world_call(w, "/lt.v1.Jobs/Get", &q, &lt__v1__job_status__descriptor, status);
}

struct lt_client_stream *world_stream(struct world *w, const char *method, const void *request,
                                      const ProtobufCMessageDescriptor *out)
{
    struct lt_client_stream *s;

    assert_int_equal(
        lt_client_stream_open(w->client, method, request, out, LONG_MS, &s, &w->status), 0);
    return s;
}

void world_await_state(struct world *w, const char *job, Lt__V1__JobState state)
{
    Lt__V1__WatchRequest q = LT__V1__WATCH_REQUEST__INIT;
    struct lt_client_stream *s;
    Lt__V1__WatchResponse *r;

    q.job_id = (char *)job;
    s = world_stream(w, "/lt.v1.Jobs/Watch", &q, &lt__v1__watch_response__descriptor);
    do {
        int rc = lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&r, &w->status);

        if (rc != 1)
            fail_msg("job %s isn't in state %d: %s", job, (int)state, w->status.text);
    } while (r->status->state != state);
    lt_client_stream_close(s);
}

/* ---- ranks ---- */

struct doing {
    const char *job;
    uint32_t attempt;
    Lt__V1__JournalRecord *record;
    Lt__V1__RankExited *exited;
};

static void do_record(struct world *w, void *arg)
{
    struct doing *d = arg;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__Record record = LT__V1__RECORD__INIT;

    record.job = (char *)d->job;
    record.has_attempt = record.has_generation = record.has_rank = record.has_end_offset = true;
    record.attempt = record.generation = d->attempt;
    record.end_offset = w->journal += 20;
    record.record = d->record;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RECORD;
    m.record = &record;
    agent_send(w, &m);
}

void world_record(struct world *w, const char *job, uint32_t attempt, Lt__V1__JournalRecord *r)
{
    world_do(w, do_record, &(struct doing){.job = job, .attempt = attempt, .record = r});
}

static void do_gone(struct world *w, void *arg)
{
    struct doing *d = arg;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;
    Lt__V1__RankGone gone = LT__V1__RANK_GONE__INIT;

    gone.job = (char *)d->job;
    gone.has_attempt = gone.has_generation = true;
    gone.attempt = gone.generation = d->attempt;
    gone.exited = d->exited;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE;
    m.rank_gone = &gone;
    agent_send(w, &m);
}

void world_gone(struct world *w, const char *job, uint32_t attempt, Lt__V1__JobResult result,
                Lt__V1__FailureClass class_)
{
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Finished finished = LT__V1__FINISHED__INIT;
    Lt__V1__RankExited exited = LT__V1__RANK_EXITED__INIT;

    exited.has_rank = exited.has_class_ = exited.has_status = true;
    exited.class_ = class_;
    if (result != LT__V1__JOB_RESULT__RESULT_NONE) {
        finished.has_result = true;
        finished.result = result;
        j.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
        j.finished = &finished;
        world_record(w, job, attempt, &j);
        exited.has_result = true;
        exited.result = result;
    }
    world_do(w, do_gone, &(struct doing){.job = job, .attempt = attempt, .exited = &exited});
}

void world_write(struct world *w, const char *job, const char *path, const char *text)
{
    char full[512], *slash;
    FILE *f;

    snprintf(full, sizeof full, "%s/%s/%s", w->runs, job, path);
    slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(lt_file_mkdirs(full, 0700, NULL), 0);
    *slash = '/';
    f = fopen(full, "a");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

const char *world_running(struct world *w, const char *request_id)
{
    const char *job;

    assert_int_equal(world_submit(w, request_id, &job), 0);
    world_await_state(w, job, LT__V1__JOB_STATE__RUNNING);
    return job;
}
