/* test_tcp.c - over TCP nobody gets in without a token, and nobody takes the socket's room */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/error.h"
#include "fixture.h"
#include "lt/v1/health.pb-c.h"
#include "rpc/session.h"
#include "sys/address.h"

#define LONG_MS 20000

static struct fixture f;

struct caller {
    struct lt_client *client;
    struct lt_arena *arena;
    struct lt_rpc_status status;
};

static void caller_open(struct caller *c, const char *target, const char *token)
{
    memset(c, 0, sizeof *c);
    assert_int_equal(lt_client_open(target, &c->client, NULL), 0);
    if (token)
        lt_client_set_token(c->client, token);
    c->arena = lt_arena_new(0);
}

static void caller_close(struct caller *c)
{
    lt_client_close(c->client);
    lt_arena_free(c->arena);
    lt_rpc_status_done(&c->status);
}

static int call(struct caller *c, const char *method)
{
    Lt__V1__LogChunk q = LT__V1__LOG_CHUNK__INIT, *r;

    lt_rpc_status_done(&c->status);
    return lt_client_call(c->client, method, &q.base, &lt__v1__log_chunk__descriptor, LONG_MS,
                          c->arena, (ProtobufCMessage **)&r, &c->status);
}

static int setup(void **state)
{
    (void)state;
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

static void a_token_opens_calls_of_every_kind(void **state)
{
    Lt__V1__LogChunk q = LT__V1__LOG_CHUNK__INIT, *r;
    struct lt_client_stream *s;
    struct caller c;
    ProtobufCMessage *m;

    (void)state;
    caller_open(&c, f.bound, FIXTURE_TOKEN);
    assert_int_equal(call(&c, "/test.Echo/One"), 0);
    q.has_attempt = q.has_offset = true;
    q.attempt = ASK_COUNT;
    q.offset = 3;
    assert_int_equal(lt_client_stream_open(c.client, "/test.Echo/Count", &q.base,
                                           &lt__v1__log_chunk__descriptor, 0, &s, &c.status),
                     0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lt_client_stream_read(s, LONG_MS, &m, &c.status), 1);
    assert_int_equal(lt_client_stream_read(s, LONG_MS, &m, &c.status), 0);
    lt_client_stream_close(s);
    assert_int_equal(lt_client_upload_open(c.client, "/test.Echo/Upload",
                                           &lt__v1__log_chunk__descriptor, LONG_MS, &s, &c.status),
                     0);
    assert_int_equal(lt_client_upload_write(s, &q.base), 0);
    assert_int_equal(lt_client_upload_finish(s, c.arena, (ProtobufCMessage **)&r, &c.status), 0);
    lt_client_stream_close(s);
    caller_close(&c);
}

static void without_one_nothing_is_said(void **state)
{
    static const char *const methods[] = {"/test.Echo/One", "/test.Echo/Nobody", "/no.Such/Method",
                                          "/grpc.health.v1.Health/Check",
                                          "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"};
    static const char *const tokens[] = {NULL, "", "wrong", FIXTURE_TOKEN "x", "a-token-of-the-fixturE"};

    (void)state;
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
        struct caller c;

        caller_open(&c, f.bound, tokens[t]);
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
            assert_true(call(&c, methods[i]) < 0);
            assert_int_equal(c.status.code, LT_RPC_UNAUTHENTICATED);
            assert_non_null(strstr(c.status.text, "token"));
            assert_null(strstr(c.status.text, FIXTURE_TOKEN));
        }
        caller_close(&c);
    }
    assert_int_equal(f.requests, 0);
}

static void the_socket_needs_none(void **state)
{
    struct caller c;

    (void)state;
    caller_open(&c, f.target, "wrong, and of no interest");
    assert_int_equal(call(&c, "/test.Echo/One"), 0);
    caller_close(&c);
}

static void rights_hold_with_a_token_too(void **state)
{
    struct caller c;

    (void)state;
    caller_open(&c, f.bound, FIXTURE_TOKEN);
    assert_int_equal(call(&c, "/test.Echo/Nobody"), -EPERM);
    f.deny = true;
    assert_int_equal(call(&c, "/test.Echo/One"), -EPERM);
    caller_close(&c);
}

static void a_token_that_is_taken_back_is_refused_at_once(void **state)
{
    struct caller c;

    (void)state;
    caller_open(&c, f.bound, FIXTURE_TOKEN);
    assert_int_equal(call(&c, "/test.Echo/One"), 0);
    assert_int_equal(chmod(f.tokens, 0644), 0);
    assert_true(call(&c, "/test.Echo/One") < 0);
    assert_int_equal(c.status.code, LT_RPC_UNAUTHENTICATED);
    assert_int_equal(chmod(f.tokens, 0600), 0);
    assert_int_equal(call(&c, "/test.Echo/One"), 0);
    caller_close(&c);
}

static void one_connection_leaves_calls_for_others(void **state)
{
    Lt__V1__LogChunk q = LT__V1__LOG_CHUNK__INIT;
    struct lt_client_stream *s[FIXTURE_CALLS];
    struct caller c, other, local;

    (void)state;
    caller_open(&c, f.bound, FIXTURE_TOKEN);
    caller_open(&other, f.bound, FIXTURE_TOKEN);
    caller_open(&local, f.target, NULL);
    q.has_attempt = true;
    q.attempt = ASK_NEVER;
    for (unsigned i = 0; i < FIXTURE_CALLS; i++)
        assert_int_equal(lt_client_stream_open(c.client, "/test.Echo/Count", &q.base,
                                               &lt__v1__log_chunk__descriptor, 0, &s[i], &c.status),
                         0);
    fixture_await(&f.requests, FIXTURE_CALLS);
    assert_true(call(&c, "/test.Echo/One") < 0);
    assert_int_equal(c.status.code, LT_RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(call(&other, "/test.Echo/One"), 0);
    assert_int_equal(call(&local, "/test.Echo/One"), 0);
    for (unsigned i = 0; i < FIXTURE_CALLS; i++)
        lt_client_stream_close(s[i]);
    caller_close(&c);
    caller_close(&other);
    caller_close(&local);
}

/* After so many refusals the connection goes; a client of good will just makes another. */
static void guessing_on_and_on_is_hung_up_on(void **state)
{
    struct caller c;
    unsigned unavailable = 0;

    (void)state;
    caller_open(&c, f.bound, "a-guess-of-many-guesses");
    for (int i = 0; i < 300; i++) {
        assert_true(call(&c, "/test.Echo/One") < 0);
        unavailable += c.status.code != LT_RPC_UNAUTHENTICATED;
    }
    assert_true(unavailable <= 3); /* the moment of the hang-up */
    lt_client_set_token(c.client, FIXTURE_TOKEN);
    while (call(&c, "/test.Echo/One") < 0)
        assert_int_equal(c.status.code, LT_RPC_UNAVAILABLE);
    caller_close(&c);
}

static void only_this_machines_addresses(void **state)
{
    struct lt_error err = {0};
    char bound[LT_ADDRESS_TEXT];

    (void)state;
    assert_int_equal(lt_rpc_server_listen_tcp(f.server, "0.0.0.0:0", f.tokens, bound, &err), -EPERM);
    assert_non_null(strstr(err.text, "TLS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_opens_calls_of_every_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(without_one_nothing_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(the_socket_needs_none, setup, teardown),
        cmocka_unit_test_setup_teardown(rights_hold_with_a_token_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_that_is_taken_back_is_refused_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_connection_leaves_calls_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(guessing_on_and_on_is_hung_up_on, setup, teardown),
        cmocka_unit_test_setup_teardown(only_this_machines_addresses, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
