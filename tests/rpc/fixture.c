/* fixture.c - the echo service */
#include "fixture.h"
#include "sys/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/error.h"

struct counting {
    struct fixture *f;
    Lt__V1__LogChunk chunk;
    uint64_t left;
    bool endless;
};

static void insist(struct lt_rpc_call *c)
{
    Lt__V1__LogChunk m = LT__V1__LOG_CHUNK__INIT;

    m.has_attempt = true;
    m.attempt = ASK_INSIST;
    lt_rpc_send_always(c, &m.base);
}

static void count_on(struct lt_rpc_call *c)
{
    struct counting *n = lt_rpc_call_get(c);

    if (!n)
        return;
    while (n->endless || n->left > 0) {
        if (lt_rpc_send(c, &n->chunk.base) < 0) {
            if (n->f->refused_room++ == 0 && n->f->insists)
                insist(c);
            return;
        }
        n->f->sent++;
        n->left--;
        n->chunk.offset++;
    }
    lt_rpc_finish(c, LT_RPC_OK, "%s", "");
}

static void count_begin(struct lt_rpc_call *c, const Lt__V1__LogChunk *m)
{
    struct counting *n = calloc(1, sizeof *n);

    n->f = lt_rpc_call_context(c);
    n->chunk = *m;
    n->chunk.has_offset = true;
    n->left = m->offset;
    n->endless = m->offset == 0;
    n->chunk.offset = 0;
    lt_rpc_call_set(c, n);
    count_on(c);
}

static void refuse(struct lt_rpc_call *c)
{
    struct lt_rpc_status s = {.code = LT_RPC_NOT_FOUND, .text = "two things are wrong"};
    struct lt_problem *p =
        lt_problem_add(&s.problems, "model.layers[1]", "say relu", "unknown layer");

    p->line = 7;
    p->column = 3;
    lt_problem_warn(&s.problems, "trainer", NULL, "odd");
    lt_rpc_finish_status(c, &s);
    lt_rpc_status_done(&s);
}

static void one(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    const Lt__V1__LogChunk *q = (const Lt__V1__LogChunk *)m;
    struct fixture *f = lt_rpc_call_context(c);

    f->requests++;
    if (q->attempt == ASK_ECHO)
        lt_rpc_reply(c, m);
    else if (q->attempt == ASK_FAIL)
        refuse(c);
    else if (q->attempt == ASK_COUNT)
        count_begin(c, q);
}

static void upload(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    struct fixture *f = lt_rpc_call_context(c);
    Lt__V1__LogChunk r = LT__V1__LOG_CHUNK__INIT;

    if (m) {
        f->uploaded += ((Lt__V1__LogChunk *)m)->data.len;
        return;
    }
    r.has_offset = true;
    r.offset = f->uploaded;
    lt_rpc_reply(c, &r.base);
}

static void chat(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    struct fixture *f = lt_rpc_call_context(c);

    if (!m) {
        lt_rpc_finish(c, LT_RPC_OK, "%s", "");
        return;
    }
    f->requests++;
    if (((Lt__V1__LogChunk *)m)->attempt == ASK_FAIL)
        lt_rpc_finish(c, LT_RPC_ABORTED, "as asked");
    else
        lt_rpc_send(c, m);
}

static void closed(struct lt_rpc_call *c, bool cancelled)
{
    struct fixture *f = lt_rpc_call_context(c);

    free(lt_rpc_call_get(c));
    if (cancelled)
        f->cancelled++;
    f->closed++;
}

#define D &lt__v1__log_chunk__descriptor
static const struct lt_rpc_method unary = {
    "/test.Echo/One", LT_RPC_UNARY, D, D, one, NULL, closed, 1, 4u << 20, false};
static const struct lt_rpc_method count = {
    "/test.Echo/Count", LT_RPC_SERVER_STREAM, D, D, one, count_on, closed, 1, 0, false};
static const struct lt_rpc_method up = {
    "/test.Echo/Upload", LT_RPC_CLIENT_STREAM, D, D, upload, NULL, closed, 1, 1u << 20, false};
static const struct lt_rpc_method bidi = {
    "/test.Echo/Chat", LT_RPC_BIDI, D, D, chat, NULL, closed, 1, 0, false};
static const struct lt_rpc_method nobody = {
    "/test.Echo/Nobody", LT_RPC_UNARY, D, D, one, NULL, closed, 0, 0, false};
static const struct lt_rpc_method *const methods[] = {
    &unary,
    &count,
    &up,
    &bidi,
    &nobody,
    &lt_rpc_health_check,
    &lt_rpc_health_watch,
    &lt_rpc_reflection,
    &lt_rpc_reflection_v1alpha,
    NULL,
};

static unsigned rights(void *context, const struct lt_rpc_peer *peer)
{
    struct fixture *f = context;

    return !f->deny && peer->uid == getuid() && (peer->by_token || peer->pid == getpid()) ? 1 : 0;
}

static void server_gone(void *arg)
{
    struct fixture *f = arg;

    uv_close((uv_handle_t *)&f->wake, NULL);
    lt_rpc_loop_close(f->loop, NULL, NULL);
}

enum order { NOTHING, QUIT, HOLD, RELEASE };

static void obey(uv_async_t *a)
{
    struct fixture *f = a->data;
    int order = f->order;

    if (order == QUIT)
        lt_rpc_server_close(f->server, 0, server_gone, f);
    else if (order != NOTHING)
        lt_rpc_server_hold(f->server, order == HOLD);
    f->order = NOTHING;
}

static void *run(void *arg)
{
    struct fixture *f = arg;
    struct lt_error err = {0};
    struct lt_rpc_server_config config = {
        .methods = methods, .context = f, .rights = rights, .calls_per_pid = FIXTURE_CALLS};

    uv_loop_init(&f->uv);
    uv_async_init(&f->uv, &f->wake, obey);
    f->wake.data = f;
    if (lt_rpc_loop_open(&f->uv, &f->loop, &err) < 0)
        abort();
    config.loop = f->loop;
    if (lt_rpc_server_open(&config, &f->server, &err) < 0 ||
        lt_rpc_server_listen(f->server, f->path, &err) < 0 ||
        lt_rpc_server_listen_tcp(f->server, "127.0.0.1:0", f->tokens, f->bound, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    f->ready = true;
    uv_run(&f->uv, UV_RUN_DEFAULT);
    uv_loop_close(&f->uv);
    return NULL;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

static void begin(struct fixture *f)
{
    f->ready = false;
    pthread_create(&f->thread, NULL, run, f);
    for (int i = 0; i < 5000 && !f->ready; i++)
        nap();
    assert_true(f->ready);
}

static void end(struct fixture *f)
{
    f->order = QUIT;
    uv_async_send(&f->wake);
    pthread_join(f->thread, NULL);
    assert_int_equal(access(f->path, F_OK), -1);
}

void fixture_start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    strcpy(f->dir, "/tmp/lt-rpc-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/sock", f->dir);
    snprintf(f->target, sizeof f->target, "unix:%s", f->path);
    snprintf(f->tokens, sizeof f->tokens, "%s/tokens", f->dir);
    assert_int_equal(
        lt_file_replace(f->tokens, FIXTURE_TOKEN "\n", sizeof FIXTURE_TOKEN, 0600, NULL), 0);
    begin(f);
}

void fixture_restart(struct fixture *f)
{
    end(f);
    begin(f);
}

void fixture_stop(struct fixture *f)
{
    char lock[112];

    end(f);
    snprintf(lock, sizeof lock, "%s.lock", f->path);
    unlink(lock);
    unlink(f->tokens);
    rmdir(f->dir);
}

void fixture_hold(struct fixture *f, bool held)
{
    f->order = held ? HOLD : RELEASE;
    uv_async_send(&f->wake);
    for (int i = 0; i < 5000 && f->order != NOTHING; i++)
        nap();
    assert_int_equal(f->order, NOTHING);
}

void fixture_await(_Atomic unsigned *counter, unsigned n)
{
    for (int i = 0; i < 5000 && *counter < n; i++)
        nap();
    assert_true(*counter >= n);
}
