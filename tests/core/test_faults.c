/* test_faults.c - retries, lost nodes, restarts on either side */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/core/trace.h"

static void a_crash_restarts_from_the_newest_checkpoint(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    saved(w, 0, "a", 1, 10, "r1", 100);
    saved(w, 0, "a", 1, 20, "u1", 150);
    saved(w, 0, "a", 1, 30, "r2", 200);
    sampled(w, 0, "a", 1, 230);
    forget_trace(w);
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    expect(w, "a progress_saved\na rank_exited\na attempt_ended infrastructure retry\n"
              "> n0 forget a.1\na attempt_started 2 n0\na rewound 200\n"
              "> n0 start a.2 recovery/r2\n");
    assert_int_equal(fold(w, "a")->from_step, 200);
}

static void weights_alone_are_no_starting_point(void **state)
{
    struct world *w = *state;
    Lt__V1__CheckpointSaved c = LT__V1__CHECKPOINT_SAVED__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    run_job(w, "a", OPTIONS(0));
    saved(w, 0, "a", 1, 10, "u1", 100);
    c.name = (char *)"weights";
    c.has_step = c.has_weights_only = 1;
    c.step = 300;
    c.weights_only = 1;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_SAVED;
    r.checkpoint_saved = &c;
    record(w, 0, "a", 1, 20, &r);
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    assert_string_equal(fold(w, "a")->from_checkpoint, "checkpoints/u1");
    saved(w, 0, "a", 2, 20, "/elsewhere/u2", 400); /* a callback's own folder */
    gone(w, 0, "a", 2, CLASS(INFRASTRUCTURE), 137);
    assert_string_equal(fold(w, "a")->from_checkpoint, "/elsewhere/u2");
}

static void some_ends_are_never_tried_again(void **state)
{
    static const Lt__V1__FailureClass classes[] = {CLASS(PLAN), CLASS(DATA), CLASS(OOM),
                                                   CLASS(NONFINITE), CLASS(JOB)};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        char id[2] = {(char)('a' + i)};

        run_job(w, id, OPTIONS(0));
        gone(w, 0, id, 1, classes[i], 1);
        assert_int_equal(fold(w, id)->state, STATE(DONE));
        assert_int_equal(fold(w, id)->result, RESULT(FAILED));
        assert_int_equal(fold(w, id)->class_, classes[i]);
        assert_string_equal(fold(w, id)->reason, "it said so");
    }
}

static void budgets_are_per_class(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.retries = 2, .job_retries = 1));
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    gone(w, 0, "a", 2, CLASS(JOB), 1);
    wait_s(w, 60);
    gone(w, 0, "a", 3, CLASS(INFRASTRUCTURE), 137);
    wait_s(w, 60);
    assert_int_equal(fold(w, "a")->attempt, 4);
    gone(w, 0, "a", 4, CLASS(INFRASTRUCTURE), 137);
    assert_int_equal(fold(w, "a")->result, RESULT(FAILED));
    assert_int_equal(fold(w, "a")->class_, CLASS(INFRASTRUCTURE));
}

static void waits_double_while_nothing_is_saved(void **state)
{
    static const uint64_t want[] = {0, 1, 2, 4, 8, 16, 32, 60, 60};
    struct world *w = *state;
    uint32_t attempt = 1;

    run_job(w, "a", OPTIONS(.retries = 100));
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        gone(w, 0, "a", attempt, CLASS(INFRASTRUCTURE), 137);
        if (want[i]) {
            assert_int_equal(fold(w, "a")->state, STATE(RECOVERING));
            wait_s(w, want[i] - 1);
            assert_int_equal(fold(w, "a")->attempt, attempt);
            wait_s(w, 1);
        }
        assert_int_equal(fold(w, "a")->attempt, ++attempt);
    }
    saved(w, 0, "a", attempt, 10, "r1", 10);
    gone(w, 0, "a", attempt, CLASS(INFRASTRUCTURE), 137);
    assert_int_equal(fold(w, "a")->attempt, ++attempt); /* at once again */
}

/* Whatever the clock says after a restart: never longer than the whole wait. */
static void a_wait_survives_a_restart_and_a_turned_clock(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    for (uint32_t i = 1; i < 5; i++) {
        gone(w, 0, "a", i, CLASS(INFRASTRUCTURE), 137);
        if (i < 4)
            wait_s(w, 60);
    }
    assert_int_equal(fold(w, "a")->ended->delay_ms, 4000);
    w->wall_ns -= 86400 * SECOND;
    world_restart(w);
    node_up(w, 0, 4, 16 * GB);
    wait_s(w, 3);
    assert_int_equal(fold(w, "a")->attempt, 4);
    wait_s(w, 1);
    assert_int_equal(fold(w, "a")->attempt, 5);
}

static void a_restarted_coordinator_adopts_what_runs(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    saved(w, 0, "a", 1, 30, "r1", 10);
    forget_trace(w);
    world_restart(w);
    expect(w, "");
    node_back(w, 0, "a", 1, true);
    expect(w, "");
    saved(w, 0, "a", 1, 30, "r1", 10); /* comes again: the acknowledgement was lost */
    expect(w, "> n0 ack a.1 30\n");
    saved(w, 0, "a", 1, 40, "r2", 20);
    expect(w, "a checkpoint_saved\n> n0 ack a.1 40\n");
}

static void an_order_that_was_lost_is_given_again(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(0));
    checked(w, 0, "a", GB);
    forget_trace(w);
    world_restart(w);
    node_up(w, 0, 4, 16 * GB);
    expect(w, "> n0 start a.1\n");
    node_lost(w, 0);
    node_back(w, 0, "a", 1, true); /* it had arrived */
    expect(w, "a running\n");
    ask(w, LT_IN_CANCEL, "a");
    node_lost(w, 0);
    forget_trace(w);
    node_back(w, 0, "a", 1, true);
    expect(w, "> n0 cancel a.1\n");
}

static void a_rank_that_its_node_forgot_has_crashed(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    node_lost(w, 0);
    forget_trace(w);
    node_up(w, 0, 4, 16 * GB);
    expect(w, "a rank_exited\na attempt_ended infrastructure retry\n> n0 forget a.1\n"
              "a attempt_started 2 n0\n> n0 start a.2\n");
}

static void stopped_before_it_was_started(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(0));
    checked(w, 0, "a", GB);
    node_lost(w, 0);
    ask(w, LT_IN_CANCEL, "a");
    forget_trace(w);
    node_up(w, 0, 4, 16 * GB);
    expect(w, "a rank_exited\na attempt_ended none\n> n0 forget a.1\na done cancelled none\n");
}

static void not_seen_is_not_dead(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    node_lost(w, 0);
    wait_s(w, 9);
    expect(w, "");
    wait_s(w, 1);
    expect(w, "a condition 2\n");
    wait_s(w, 3600);
    expect(w, ""); /* nowhere else to go */
    node_back(w, 0, "a", 1, true);
    expect(w, "a condition no 2\n");
}

static void a_dead_nodes_job_moves_and_its_ghost_is_killed(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    node_up(w, 1, 4, 16 * GB);
    node_lost(w, 0);
    wait_s(w, 299);
    forget_trace(w);
    wait_s(w, 1);
    expect(w, "a rank_exited\na condition no 2\na attempt_ended infrastructure retry\na queued\n"
              "a reserved n1 4\na attempt_started 2 n1\n> n1 start a.2\n");
    started(w, 1, "a", 2);
    forget_trace(w);
    node_back(w, 0, "a", 1, true);
    expect(w, "> n0 kill a.1\n");
    saved(w, 0, "a", 1, 10, "r9", 900); /* what it says is not heard */
    expect(w, "> n0 ack a.1 10\n");
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    expect(w, "> n0 forget a.1\n");
    assert_int_equal(fold(w, "a")->state, STATE(RUNNING));
    assert_int_equal(fold(w, "a")->n_checkpoints, 0);
}

static void a_start_that_fails_is_tried_again(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(.retries = 1));
    checked(w, 0, "a", GB);
    forget_trace(w);
    start_failed(w, 0, "a", 1);
    expect(w, "a rank_exited\na attempt_ended infrastructure retry\n> n0 forget a.1\n"
              "a attempt_started 2 n0\n> n0 start a.2\n");
    start_failed(w, 0, "a", 2);
    expect(w, "a rank_exited\na attempt_ended infrastructure\n> n0 forget a.2\n"
              "a done failed infrastructure\n");
    assert_string_equal(fold(w, "a")->reason, "no such user; its 1 retry is used up");
}

static void a_newer_session_replaces_the_old_one(void **state)
{
    struct world *w = *state;
    uint64_t old;

    run_job(w, "a", OPTIONS(0));
    old = w->session[0];
    node_back(w, 0, "a", 1, true);
    w->session[1] = old;
    forget_trace(w);
    sampled(w, 1, "a", 1, 5);
    expect(w, "x n1 no hello on this session, or a newer one replaced it\n");
    node_lost(w, 1); /* the old one's end changes nothing */
    ask(w, LT_IN_STOP, "a");
    expect(w, "a stop_requested\n= 0 a\n> n0 stop a.1\n");
}

static void a_preempted_job_goes_back_to_the_queue(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.retries = 1));
    for (uint32_t i = 1; i < 4; i++) {
        finished(w, 0, "a", i, 10, RESULT(PREEMPTED), CLASS(NONE));
        gone(w, 0, "a", i, CLASS(NONE), 0);
        assert_int_equal(fold(w, "a")->attempt, i + 1);
    }
    assert_int_equal(fold(w, "a")->infrastructure_used, 0);
}

static void the_first_attempts_profile_binds(void **state)
{
    struct world *w = *state;
    Lt__V1__Profile p = LT__V1__PROFILE__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    LT_BUF_AUTO why = {0};

    run_job(w, "a", OPTIONS(0));
    p.has_profile = 1;
    p.profile.data = (uint8_t *)"P";
    p.profile.len = 1;
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_PROFILE;
    r.profile = &p;
    record(w, 0, "a", 1, 10, &r);
    expect(w, "a profile\n> n0 ack a.1 10\n");
    node_up(w, 7, 4, 16 * GB); /* another instruction set */
    node_up(w, 1, 2, 16 * GB); /* fewer processors than the first attempt had */
    node_lost(w, 0);
    wait_s(w, 400);
    assert_int_equal(fold(w, "a")->attempt, 1);
    node_up(w, 2, 8, 16 * GB);
    assert_int_equal(fold(w, "a")->attempt, 2);
    assert_string_equal(fold(w, "a")->ranks[0]->node, "n2");
    assert_int_equal(fold(w, "a")->reserved->cpus, 4);
}

/* Every record there is, with nothing in it; then every message. */
static void an_empty_message_is_no_disaster(void **state)
{
    struct world *w = *state;
    const ProtobufCMessageDescriptor *d = &lt__v1__journal_record__descriptor;
    uint64_t offset = 10;

    run_job(w, "a", OPTIONS(0));
    for (unsigned i = 0; i < d->n_fields; i++) {
        uint8_t packed[] = {0, 0};
        Lt__V1__JournalRecord *r;

        if (d->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        packed[0] = (uint8_t)(d->fields[i].id << 3 | 2);
        r = lt__v1__journal_record__unpack(NULL, sizeof packed, packed);
        assert_non_null(r);
        record(w, 0, "a", 1, offset++, r);
        lt__v1__journal_record__free_unpacked(r, NULL);
    }
    record(w, 0, "a", 1, offset, NULL);
    d = &lt__v1__agent_message__descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        unsigned tag = d->fields[i].id << 3 | 2; /* a varint; 0: of no bytes */
        uint8_t packed[] = {(uint8_t)(tag & 0x7f), (uint8_t)(tag >> 7), 0};
        bool two = tag > 0x7f;
        Lt__V1__AgentMessage *m;

        packed[0] |= two ? 0x80 : 0;
        m = lt__v1__agent_message__unpack(NULL, two ? 3 : 2, packed);

        assert_non_null(m);
        say(w, 0, m);
        lt__v1__agent_message__free_unpacked(m, NULL);
    }
    assert_int_equal(fold(w, "a")->attempt, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_crash_restarts_from_the_newest_checkpoint),
        T(weights_alone_are_no_starting_point),
        T(some_ends_are_never_tried_again),
        T(budgets_are_per_class),
        T(waits_double_while_nothing_is_saved),
        T(a_wait_survives_a_restart_and_a_turned_clock),
        T(a_restarted_coordinator_adopts_what_runs),
        T(an_order_that_was_lost_is_given_again),
        T(a_rank_that_its_node_forgot_has_crashed),
        T(stopped_before_it_was_started),
        T(not_seen_is_not_dead),
        T(a_dead_nodes_job_moves_and_its_ghost_is_killed),
        T(a_start_that_fails_is_tried_again),
        T(a_newer_session_replaces_the_old_one),
        T(a_preempted_job_goes_back_to_the_queue),
        T(the_first_attempts_profile_binds),
        T(an_empty_message_is_no_disaster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
