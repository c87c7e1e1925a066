/* test_session.c - a stream that is kept open: opened again after every end, with a bounded outbox */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fixture.h"
#include "rpc/session.h"

struct peer {
    struct fixture f;
    uv_loop_t uv;
    uv_timer_t limit;
    struct lt_rpc_loop *loop;
    struct lt_rpc_session *session;
    unsigned opened, closed, messages, writable;
    enum lt_rpc_code why;
    bool gone, late;
};

static void opened(void *arg)
{
    ((struct peer *)arg)->opened++;
}

static void message(void *arg, const ProtobufCMessage *m)
{
    (void)m;
    ((struct peer *)arg)->messages++;
}

static void writable(void *arg)
{
    ((struct peer *)arg)->writable++;
}

static void closed(void *arg, const struct lt_rpc_status *why)
{
    struct peer *p = arg;

    p->closed++;
    p->why = why->code;
}

static void too_late(uv_timer_t *t)
{
    ((struct peer *)t->data)->late = true;
}

/* Runs the loop until *counter is n. */
static void run_until(struct peer *p, const unsigned *counter, unsigned n)
{
    while (*counter < n) {
        uv_run(&p->uv, UV_RUN_ONCE);
        assert_false(p->late);
    }
}

static int setup(void **state)
{
    struct peer *p = calloc(1, sizeof *p);
    struct lt_rpc_session_config config = {.method = "/test.Echo/Chat",
                                       .in = &lt__v1__log_chunk__descriptor,
                                       .arg = p,
                                       .opened = opened,
                                       .message = message,
                                       .writable = writable,
                                       .closed = closed};

    fixture_start(&p->f);
    uv_loop_init(&p->uv);
    uv_timer_init(&p->uv, &p->limit);
    p->limit.data = p;
    uv_timer_start(&p->limit, too_late, 20000, 0);
    assert_int_equal(lt_rpc_loop_open(&p->uv, &p->loop, NULL), 0);
    config.loop = p->loop;
    config.target = p->f.target;
    assert_int_equal(lt_rpc_session_open(&config, &p->session, NULL), 0);
    *state = p;
    return 0;
}

static void session_gone(void *arg)
{
    struct peer *p = arg;

    p->gone = true;
    lt_rpc_loop_close(p->loop, NULL, NULL);
    uv_close((uv_handle_t *)&p->limit, NULL);
}

static int teardown(void **state)
{
    struct peer *p = *state;

    lt_rpc_session_close(p->session, session_gone, p);
    uv_run(&p->uv, UV_RUN_DEFAULT);
    assert_true(p->gone);
    assert_int_equal(uv_loop_close(&p->uv), 0);
    fixture_stop(&p->f);
    free(p);
    return 0;
}

static int say(struct peer *p, uint32_t what, size_t bytes)
{
    Lt__V1__LogChunk m = LT__V1__LOG_CHUNK__INIT;
    static uint8_t data[32768];

    m.has_attempt = m.has_data = true;
    m.attempt = what;
    m.data = (ProtobufCBinaryData){bytes, data};
    return lt_rpc_session_send(p->session, &m.base);
}

static void messages_go_and_come(void **state)
{
    struct peer *p = *state;

    assert_int_equal(say(p, ASK_ECHO, 1), -ENOTCONN);
    run_until(p, &p->opened, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(say(p, ASK_ECHO, 100), 0);
    run_until(p, &p->messages, 100);
    assert_int_equal(p->closed, 0);
}

static void an_end_is_told_and_a_new_call_begun(void **state)
{
    struct peer *p = *state;

    run_until(p, &p->opened, 1);
    assert_int_equal(say(p, ASK_FAIL, 0), 0);
    run_until(p, &p->closed, 1);
    assert_int_equal(p->why, LT_RPC_ABORTED);
    assert_int_equal(say(p, ASK_ECHO, 1), -ENOTCONN);
    run_until(p, &p->opened, 2);
    assert_int_equal(say(p, ASK_ECHO, 1), 0);
    run_until(p, &p->messages, 1);
}

static void a_server_that_comes_back_is_found_again(void **state)
{
    struct peer *p = *state;

    run_until(p, &p->opened, 1);
    fixture_restart(&p->f);
    run_until(p, &p->closed, 1);
    run_until(p, &p->opened, 2);
    assert_int_equal(say(p, ASK_ECHO, 1), 0);
    run_until(p, &p->messages, 1);
}

static void a_full_outbox_says_so_and_when_there_is_room(void **state)
{
    struct peer *p = *state;
    unsigned sent = 0;

    run_until(p, &p->opened, 1);
    while (say(p, ASK_ECHO, 32000) == 0) /* the loop doesn't run meanwhile */
        sent++;
    assert_in_range(sent, LT_SESSION_OUTBOX / 33000, LT_SESSION_OUTBOX / 32000 + 8);
    run_until(p, &p->writable, 1);
    assert_int_equal(say(p, ASK_ECHO, 1), 0);
    run_until(p, &p->messages, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_go_and_come, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_is_told_and_a_new_call_begun, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_comes_back_is_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_outbox_says_so_and_when_there_is_room, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
