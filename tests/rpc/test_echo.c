/* test_echo.c - calls of every kind, and everything that can go wrong with one */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "fixture.h"
#include "lt/v1/health.pb-c.h"
#include "lt/v1/reflection.pb-c.h"
#include "rpc/session.h"

#define LONG_MS 120000 /* only a test that fails waits so long */

struct call {
    struct lt_client *client;
    struct lt_arena *arena;
    struct lt_rpc_status status;
};

static struct fixture f;

static int setup(void **state)
{
    struct call *c = calloc(1, sizeof *c);

    fixture_start(&f);
    assert_int_equal(lt_client_open(f.target, &c->client, NULL), 0);
    c->arena = lt_arena_new(0);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct call *c = *state;

    lt_client_close(c->client);
    lt_arena_free(c->arena);
    lt_rpc_status_done(&c->status);
    free(c);
    fixture_stop(&f);
    return 0;
}

static int ask(struct call *c, const char *method, uint32_t what, size_t bytes, unsigned timeout_ms,
               Lt__V1__LogChunk **reply)
{
    Lt__V1__LogChunk q = LT__V1__LOG_CHUNK__INIT;
    char *data = calloc(1, bytes + 1);
    int rc;

    memset(data, 'x', bytes);
    q.has_attempt = true;
    q.attempt = what;
    q.has_data = true;
    q.data = (ProtobufCBinaryData){bytes, (uint8_t *)data};
    rc = lt_client_call(c->client, method, &q.base, &lt__v1__log_chunk__descriptor, timeout_ms,
                        c->arena, (ProtobufCMessage **)reply, &c->status);
    free(data);
    return rc;
}

static void a_unary_call_is_answered(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk *r;

    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 5, LONG_MS, &r), 0);
    assert_int_equal(r->data.len, 5);
    assert_memory_equal(r->data.data, "xxxxx", 5);
    fixture_await(&f.closed, 1);
    assert_int_equal(f.cancelled, 0);
}

static void an_error_carries_code_text_and_problems(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk *r;

    assert_int_equal(ask(c, "/test.Echo/One", ASK_FAIL, 0, LONG_MS, &r), -ENOENT);
    assert_int_equal(c->status.code, LT_RPC_NOT_FOUND);
    assert_string_equal(c->status.text, "two things are wrong");
    assert_int_equal(c->status.problems.len, 2);
    assert_string_equal(c->status.problems.items[0].path, "model.layers[1]");
    assert_string_equal(c->status.problems.items[0].remedy, "say relu");
    assert_int_equal(c->status.problems.items[0].line, 7);
    assert_false(c->status.problems.items[0].warning);
    assert_true(c->status.problems.items[1].warning);
}

static void a_deadline_ends_the_call_on_both_sides(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk *r;

    for (int ms = 50; !f.requests; ms *= 4) /* a slow machine may be late before the server has it */
        assert_int_equal(ask(c, "/test.Echo/One", ASK_NEVER, 0, ms, &r), -ETIMEDOUT);
    fixture_await(&f.cancelled, f.requests);
    assert_int_equal(f.closed, f.cancelled);
}

static void unknown_methods_and_missing_rights_are_refused(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk *r;

    assert_int_equal(ask(c, "/test.Echo/Nothing", ASK_ECHO, 0, LONG_MS, &r), -ENOSYS);
    assert_int_equal(ask(c, "/test.Echo/Nobody", ASK_ECHO, 0, LONG_MS, &r), -EPERM);
    f.deny = true;
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 0, LONG_MS, &r), -EPERM);
    assert_int_equal(f.requests, 0);
    f.deny = false;
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 0, LONG_MS, &r), 0);
}

static void big_messages_pass_up_to_the_rows_limit(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk *r;

    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 3u << 20, LONG_MS, &r), 0);
    assert_int_equal(r->data.len, 3u << 20);
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, (4u << 20) + 1, LONG_MS, &r), -ENOSPC);
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 1, LONG_MS, &r), 0);
}

static struct lt_client_stream *count(struct call *c, uint64_t n, size_t bytes)
{
    Lt__V1__LogChunk q = LT__V1__LOG_CHUNK__INIT;
    struct lt_client_stream *s;
    char *data = calloc(1, bytes + 1);

    q.has_attempt = q.has_offset = q.has_data = true;
    q.attempt = ASK_COUNT;
    q.offset = n;
    q.data = (ProtobufCBinaryData){bytes, (uint8_t *)data};
    assert_int_equal(lt_client_stream_open(c->client, "/test.Echo/Count", &q.base,
                                           &lt__v1__log_chunk__descriptor, 0, &s, &c->status),
                     0);
    free(data);
    return s;
}

static void a_stream_ends_after_its_last_message(void **state)
{
    struct call *c = *state;
    struct lt_client_stream *s = count(c, 1000, 100);
    Lt__V1__LogChunk *m;
    uint64_t n = 0;
    int rc;

    while ((rc = lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &c->status)) == 1)
        assert_int_equal(m->offset, n++);
    assert_int_equal(rc, 0);
    assert_int_equal(n, 1000);
    assert_int_equal(lt_client_stream_read(s, 0, (ProtobufCMessage **)&m, &c->status), 0);
    lt_client_stream_close(s);
    fixture_await(&f.closed, 1);
}

/* As GAP and END are. */
static void what_must_not_be_lost_is_sent_without_room(void **state)
{
    struct call *c = *state;
    struct lt_client_stream *s;
    Lt__V1__LogChunk *m;
    unsigned insisted = 0, n = 0;
    int rc;

    f.insists = true;
    s = count(c, 1000, 30000);
    while ((rc = lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &c->status)) == 1) {
        insisted += m->attempt == ASK_INSIST;
        n++;
    }
    assert_int_equal(rc, 0);
    assert_true(f.refused_room > 0);
    assert_int_equal(insisted, 1);
    assert_int_equal(n, 1001);
    lt_client_stream_close(s);
    fixture_await(&f.closed, 1);
}

static void a_reader_that_stops_is_held_back_and_disturbs_nobody(void **state)
{
    struct call *c = *state;
    struct lt_client *idle;
    struct call other = {.arena = c->arena};
    struct lt_client_stream *s;
    Lt__V1__LogChunk *r;
    uint64_t before;

    assert_int_equal(lt_client_open(f.target, &idle, NULL), 0);
    other.client = idle;
    s = count(&other, 0, 30000);
    while (f.refused_room == 0) /* the outbox of the first is full */
        assert_int_equal(lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&r, &other.status),
                         1);
    before = f.sent;
    for (int i = 0; i < 200; i++)
        assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 10, LONG_MS, &r), 0);
    assert_true(f.sent - before < 2000); /* windows of the connection; not endless */
    for (int i = 0; i < 100; i++)
        assert_int_equal(lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&r, &other.status),
                         1);
    lt_client_stream_close(s);
    lt_client_close(idle);
    fixture_await(&f.cancelled, 1);
    lt_rpc_status_done(&other.status);
}

static void one_process_leaves_calls_for_others(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk q = LT__V1__LOG_CHUNK__INIT, *r;
    struct lt_client_stream *s[FIXTURE_CALLS];

    q.has_attempt = true;
    q.attempt = ASK_NEVER;
    for (unsigned i = 0; i < FIXTURE_CALLS; i++)
        assert_int_equal(lt_client_stream_open(c->client, "/test.Echo/Count", &q.base,
                                               &lt__v1__log_chunk__descriptor, 0, &s[i],
                                               &c->status),
                         0);
    fixture_await(&f.requests, FIXTURE_CALLS);
    assert_true(ask(c, "/test.Echo/One", ASK_ECHO, 1, LONG_MS, &r) < 0);
    assert_int_equal(c->status.code, LT_RPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(c->status.text, "has 64 calls open"));
    lt_rpc_status_done(&c->status);
    lt_client_stream_close(s[0]);
    fixture_await(&f.cancelled, 1);
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 1, LONG_MS, &r), 0);
    for (unsigned i = 1; i < FIXTURE_CALLS; i++)
        lt_client_stream_close(s[i]);
}

static void an_upload_is_one_reply(void **state)
{
    struct call *c = *state;
    Lt__V1__LogChunk m = LT__V1__LOG_CHUNK__INIT, *r;
    struct lt_client_stream *s;
    uint8_t data[65536] = {0};

    m.has_data = true;
    m.data = (ProtobufCBinaryData){sizeof data, data};
    assert_int_equal(lt_client_upload_open(c->client, "/test.Echo/Upload",
                                           &lt__v1__log_chunk__descriptor, LONG_MS, &s, &c->status),
                     0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(lt_client_upload_write(s, &m.base), 0);
    assert_int_equal(lt_client_upload_finish(s, c->arena, (ProtobufCMessage **)&r, &c->status), 0);
    assert_int_equal(r->offset, 50 * sizeof data);
    lt_client_stream_close(s);
}

static void nobody_there_fails_at_once(void **state)
{
    struct call c = {.arena = ((struct call *)*state)->arena};
    Lt__V1__LogChunk *r;

    assert_int_equal(lt_client_open("unix:/nonexistent/sock", &c.client, NULL), 0);
    assert_int_equal(ask(&c, "/test.Echo/One", ASK_ECHO, 0, LONG_MS, &r), -ECONNREFUSED);
    assert_int_equal(c.status.code, LT_RPC_UNAVAILABLE);
    lt_rpc_status_done(&c.status);
    lt_client_close(c.client);
}

static int raw_connect(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(a.sun_path, f.path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void garbage_and_half_frames_disturb_nobody(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct call *c = *state;
    Lt__V1__LogChunk *r;
    char junk[4096];
    int a = raw_connect(), b = raw_connect(), silent = raw_connect();

    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (char)(i * 131 + 7);
    assert_true(write(a, junk, sizeof junk) > 0);
    assert_true(write(b, preface, sizeof preface - 1) > 0);
    assert_true(write(b, "\0\0\x40\x01\x04\0\0\0\x01half", 13) >
                0); /* HEADERS of 64 bytes, 4 of them */
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 1, LONG_MS, &r), 0);
    close(a);
    close(b);
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 1, LONG_MS, &r), 0);
    close(silent);
}

/* A message whose bytes aren't one: EchoRequest as a JobStatus has wrong wire types. */
static void bytes_that_are_no_message_are_refused(void **state)
{
    struct call *c = *state;
    Lt__V1__JobStatus q = LT__V1__JOB_STATUS__INIT; /* field 1 is a string there, a number here */
    ProtobufCMessage *r;

    q.id = (char *)"text";
    assert_int_equal(lt_client_call(c->client, "/test.Echo/One", &q.base,
                                    &lt__v1__log_chunk__descriptor, LONG_MS, c->arena, &r,
                                    &c->status),
                     -EINVAL);
    assert_int_equal(f.requests, 0);
}

static void a_second_server_is_told_who_has_the_socket(void **state)
{
    struct lt_rpc_loop *loop;
    struct lt_rpc_server *server;
    struct lt_error err = {0};
    uv_loop_t uv;
    char pid[32];

    (void)state;
    uv_loop_init(&uv);
    assert_int_equal(lt_rpc_loop_open(&uv, &loop, &err), 0);
    {
        static const struct lt_rpc_method *const none[] = {NULL};
        struct lt_rpc_server_config config = {.loop = loop, .methods = none};

        assert_int_equal(lt_rpc_server_open(&config, &server, &err), 0);
    }
    assert_int_equal(lt_rpc_server_listen(server, f.path, &err), -EADDRINUSE);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, f.path));
    assert_int_equal(access(f.path, F_OK), 0);
    lt_rpc_server_close(server, 0, NULL, NULL);
    for (int i = 0; i < 200; i++)
        uv_run(&uv, UV_RUN_NOWAIT);
    lt_rpc_loop_close(loop, NULL, NULL);
    uv_run(&uv, UV_RUN_DEFAULT);
    uv_loop_close(&uv);
}

static void health_and_reflection_answer(void **state)
{
    struct call *c = *state;
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *r;

    assert_int_equal(lt_client_call(c->client, "/grpc.health.v1.Health/Check", &q.base,
                                    &grpc__health__v1__health_check_response__descriptor, LONG_MS,
                                    c->arena, (ProtobufCMessage **)&r, &c->status),
                     0);
    assert_int_equal(r->status,
                     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING);
    q.service = (char *)"lt.v1.Jobs";
    assert_int_equal(lt_client_call(c->client, "/grpc.health.v1.Health/Check", &q.base,
                                    &grpc__health__v1__health_check_response__descriptor, LONG_MS,
                                    c->arena, (ProtobufCMessage **)&r, &c->status),
                     0);
    q.service = (char *)"lt.v1.Nonsense";
    assert_int_equal(lt_client_call(c->client, "/grpc.health.v1.Health/Check", &q.base,
                                    &grpc__health__v1__health_check_response__descriptor, LONG_MS,
                                    c->arena, (ProtobufCMessage **)&r, &c->status),
                     -ENOENT);
}

static void held_calls_wait_and_health_does_not(void **state)
{
    struct call *c = *state;
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct lt_client_stream *s;
    ProtobufCMessage *m;
    Lt__V1__LogChunk *r;

    fixture_hold(&f, true);
    s = count(c, 3, 10);
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 0, 50, &r), -ETIMEDOUT);
    assert_int_equal(lt_client_call(c->client, "/grpc.health.v1.Health/Check", &q.base,
                                    &grpc__health__v1__health_check_response__descriptor, LONG_MS,
                                    c->arena, &m, &c->status),
                     0);
    assert_int_equal(lt_client_stream_read(s, 0, &m, &c->status), -EAGAIN);
    assert_int_equal(f.requests, 0);
    fixture_hold(&f, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lt_client_stream_read(s, LONG_MS, &m, &c->status), 1);
    assert_int_equal(lt_client_stream_read(s, LONG_MS, &m, &c->status), 0);
    lt_client_stream_close(s);
    assert_int_equal(ask(c, "/test.Echo/One", ASK_ECHO, 0, LONG_MS, &r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_process_leaves_calls_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_unary_call_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_carries_code_text_and_problems, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deadline_ends_the_call_on_both_sides, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_methods_and_missing_rights_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(big_messages_pass_up_to_the_rows_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_ends_after_its_last_message, setup, teardown),
        cmocka_unit_test_setup_teardown(what_must_not_be_lost_is_sent_without_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_stops_is_held_back_and_disturbs_nobody, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_upload_is_one_reply, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there_fails_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_and_half_frames_disturb_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_message_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_server_is_told_who_has_the_socket, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(health_and_reflection_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(held_calls_wait_and_health_does_not, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
