/* test_edges.c - where two things meet: a wish and a limit, an end and a start, a node and another
 * inventory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/core/trace.h"

static void profile(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset)
{
    Lt__V1__Profile p = LT__V1__PROFILE__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    p.has_profile = 1;
    p.profile.data = (uint8_t *)"P";
    p.profile.len = 1;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_PROFILE;
    r.profile = &p;
    record(w, n, job, attempt, end_offset, &r);
}

/* What was reserved on it is no longer there. */
static void a_node_comes_back_with_fewer_processors(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.command = true));
    node_lost(w, 0);
    forget_trace(w);
    node_up(w, 0, 2, 16 * GB);
    expect(w, "a rank_exited\na attempt_ended infrastructure retry\n> n0 forget a.1\n"
              "a queued\na reserved n0 2\na attempt_started 2 n0\n> n0 start a.2\n");
}

static void a_node_comes_back_with_less_memory(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.cpus = 1));
    run_job(w, "b", OPTIONS(.cpus = 1, .memory = 8 * GB));
    node_lost(w, 0);
    forget_trace(w);
    node_up(w, 0, 4, 4 * GB);
    assert_int_equal(fold(w, "a")->state, STATE(STARTING));
    assert_int_equal(fold(w, "b")->state, STATE(QUEUED));
}

/* What an attempt had that chose no profile says nothing of the bits. */
static void the_profile_binds_to_the_attempt_that_chose_it(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(0));
    checked(w, 0, "a", GB);
    node_lost(w, 0); /* before it began */
    node_up(w, 1, 2, 16 * GB);
    wait_s(w, 400);
    assert_int_equal(fold(w, "a")->attempt, 2);
    assert_int_equal(fold(w, "a")->reserved->cpus, 2);
    started(w, 1, "a", 2);
    profile(w, 1, "a", 2, 10);
    gone(w, 1, "a", 2, CLASS(INFRASTRUCTURE), 137);
    wait_s(w, 60);
    assert_int_equal(fold(w, "a")->attempt, 3);
    assert_int_equal(fold(w, "a")->reserved->cpus, 2);
    assert_int_equal(fold(w, "a")->first_cpus, 2);
}

/* Its node's word that it had started was lost; that it is gone says the same. */
static void a_rank_ends_before_it_was_known_to_run(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(.command = true, .ranks = 2));
    checked(w, 0, "a", GB);
    w->rank = 1;
    w->exit_result = RESULT(SUCCEEDED);
    gone(w, 0, "a", 1, CLASS(NONE), 0);
    w->rank = 0;
    started(w, 0, "a", 1);
    assert_int_equal(fold(w, "a")->state, STATE(RUNNING));
    gone(w, 0, "a", 1, CLASS(NONE), 0);
    w->exit_result = RESULT(RESULT_NONE);
    assert_int_equal(fold(w, "a")->result, RESULT(SUCCEEDED));
}

/* A step can take for ever. */
static void the_time_is_over_while_a_stop_is_awaited(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.limit_s = 60));
    ask(w, LT_IN_STOP, "a");
    forget_trace(w);
    wait_s(w, 59);
    expect(w, "");
    wait_s(w, 1);
    expect(w, "a time_limit_reached\n");
    wait_s(w, 60);
    expect(w, "> n0 cancel a.1\n");
    gone(w, 0, "a", 1, CLASS(NONE), 143);
    assert_int_equal(fold(w, "a")->result, RESULT(TIMED_OUT));
}

/* 16 times what a plan needs is more than 64 bits can say. */
static void memory_beyond_all_measure(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 16, 16 * GB);
    submit(w, "a", OPTIONS(.ranks = 16));
    checked(w, 0, "a", UINT64_C(1) << 60);
    assert_int_equal(fold(w, "a")->result, RESULT(REFUSED));
}

static void one_session_is_one_node(void **state)
{
    struct world *w = *state;
    Lt__V1__Hello h = LT__V1__HELLO__INIT;
    Lt__V1__Inventory inventory = LT__V1__INVENTORY__INIT;
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    node_up(w, 0, 4, 16 * GB);
    forget_trace(w);
    h.node = (char *)"n1";
    h.inventory = &inventory;
    m.message_case = LT__V1__AGENT_MESSAGE__MESSAGE_HELLO;
    m.hello = &h;
    say(w, 0, &m);
    expect(w, "x n0 it is node n0, and says that it is n1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_node_comes_back_with_fewer_processors),
        T(a_node_comes_back_with_less_memory),
        T(the_profile_binds_to_the_attempt_that_chose_it),
        T(a_rank_ends_before_it_was_known_to_run),
        T(the_time_is_over_while_a_stop_is_awaited),
        T(memory_beyond_all_measure),
        T(one_session_is_one_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
