/* test_ranks.c - several ranks of one attempt: placed together, started together, ended together */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/core/trace.h"

#define KIND(name) LT__V1__CONDITION__KIND__##name

static void rank_started(struct world *w, uint32_t rank, const char *job, uint32_t attempt)
{
    w->rank = rank;
    started(w, 0, job, attempt);
    w->rank = 0;
}

/* at: by the node's clock. */
static void rank_gone(struct world *w, uint32_t rank, const char *job, uint32_t attempt,
                      Lt__V1__FailureClass class, int status, uint64_t at)
{
    w->rank = rank;
    w->exit_ns = at;
    gone(w, 0, job, attempt, class, status);
    w->rank = 0;
}

static void processors_are_split(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 5, 16 * GB);
    submit(w, "a", OPTIONS(.ranks = 2));
    checked(w, 0, "a", GB);
    expect(w, "a submitted\n= 0 a\n> n0 check a\na checked\na queued\na reserved n0 5\n"
              "a attempt_started 1 n0 3+2\n> n0 start a.1\n> n0 start a.1/1\n");
    assert_int_equal(w->start_cpus, 2);
    assert_false(w->start_shares);
    assert_true(w->start_memory == GB); /* what one rank needs; reserved for both */
    assert_true(fold(w, "a")->reserved->memory_bytes == 2 * GB);
    submit(w, "b", OPTIONS(.ranks = 3, .cpus = 4));
    checked(w, 0, "b", GB); /* the node is full */
    assert_int_equal(fold(w, "b")->state, STATE(QUEUED));
}

static void it_runs_when_all_have_started(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(.ranks = 3));
    checked(w, 0, "a", GB);
    forget_trace(w);
    rank_started(w, 2, "a", 1);
    rank_started(w, 0, "a", 1);
    assert_int_equal(fold(w, "a")->state, STATE(STARTING));
    wait_s(w, 9);
    expect(w, "a running\na running\n");
    wait_s(w, 1);
    expect(w, "a condition 5\n");
    assert_string_equal(fold(w, "a")->conditions[0]->detail, "rank 1 on n0");
    wait_s(w, 1);
    rank_started(w, 1, "a", 1);
    expect(w, "a running\na condition no 5\n");
    assert_int_equal(fold(w, "a")->state, STATE(RUNNING));
    assert_int_equal(fold(w, "a")->n_conditions, 0);
}

static void more_ranks_than_processors_are_refused(void **state)
{
    static const struct {
        struct job_options o;
        const char *path, *reason;
    } rows[] = {
        {{.ranks = 5}, "trainer.devices", "5 ranks, but the largest node, n0, has 4 processors"},
        {{.ranks = 3, .cpus = 2}, "trainer.devices", "3 ranks on 2 processors"},
        {{.ranks = 5, .command = true, .no_oversubscribe = true}, "nproc",
         "5 ranks, but the largest node, n0, has 4 processors"},
    };
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char id[2] = {(char)('a' + i)};

        submit(w, id, rows[i].o);
        checked(w, 0, id, GB);
        assert_int_equal(fold(w, id)->result, RESULT(REFUSED));
        assert_string_equal(fold(w, id)->problems[0]->path, rows[i].path);
        assert_string_equal(fold(w, id)->problems[0]->reason, rows[i].reason);
    }
}

static void where_it_is_allowed_ranks_take_turns(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 2, 16 * GB);
    submit(w, "a", OPTIONS(.ranks = 4, .oversubscribe = true));
    checked(w, 0, "a", GB);
    assert_int_equal(fold(w, "a")->state, STATE(STARTING));
    assert_int_equal(w->start_cpus, 1);
    assert_true(w->start_shares);
    submit(w, "b", OPTIONS(.ranks = 4, .command = true)); /* a command's may, and it is said */
    checked(w, 0, "b", GB);
    assert_int_equal(fold(w, "b")->state, STATE(STARTING));
    assert_true(w->start_shares);
    assert_int_equal(fold(w, "b")->checked->n_warnings, 1);
    assert_string_equal(fold(w, "b")->checked->warnings[0]->reason,
                        "4 ranks take turns on 2 processors");
    submit(w, "c", OPTIONS(.command = true)); /* but it has its processors for itself */
    checked(w, 0, "c", GB);
    assert_int_equal(fold(w, "c")->state, STATE(QUEUED));
}

static void the_first_failure_is_the_attempts(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 3));
    saved(w, 0, "a", 1, 10, "r1", 100);
    forget_trace(w);
    rank_gone(w, 2, "a", 1, CLASS(INFRASTRUCTURE), 134, 2000); /* its peer was gone */
    expect(w, "a rank_exited\n> n0 kill a.1\n> n0 kill a.1/1\n");
    rank_gone(w, 1, "a", 1, CLASS(OOM), 137, 1000);
    rank_gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137, 3000); /* by us */
    assert_int_equal(fold(w, "a")->result, RESULT(FAILED));
    assert_int_equal(fold(w, "a")->class_, CLASS(OOM));
    assert_string_equal(fold(w, "a")->reason, "another rank said so");
}

/* Without clocks, or with clocks of two nodes, by what was heard first. */
static void without_clocks_the_first_heard_counts(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    rank_gone(w, 1, "a", 1, CLASS(DATA), 1, 0);
    rank_gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137, 5);
    assert_int_equal(fold(w, "a")->class_, CLASS(DATA));
}

static void a_failed_rank_begins_a_new_generation(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    saved(w, 0, "a", 1, 10, "r1", 100);
    saved(w, 0, "a", 1, 20, "r2", 200);
    forget_trace(w);
    rank_gone(w, 1, "a", 1, CLASS(INFRASTRUCTURE), 137, 10);
    rank_gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137, 20);
    expect(w, "a rank_exited\n> n0 kill a.1\na progress_saved\na rank_exited\n"
              "a attempt_ended infrastructure retry\n> n0 forget a.1\na attempt_started 2 n0 2+2\n"
              "> n0 start a.2 recovery/r2\n> n0 start a.2/1 recovery/r2\n");
    rank_started(w, 1, "a", 1); /* one of the old generation shows up */
    expect(w, "> n0 kill a.1/1\n");
    rank_gone(w, 1, "a", 1, CLASS(INFRASTRUCTURE), 137, 30);
    expect(w, "> n0 forget a.1\n");
    assert_false(fold(w, "a")->ranks[1]->started);
    assert_null(fold(w, "a")->ranks[1]->exited);
}

static void all_ranks_end_well(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    w->exit_result = RESULT(SUCCEEDED);
    rank_gone(w, 1, "a", 1, CLASS(NONE), 0, 10);
    assert_int_equal(fold(w, "a")->state, STATE(RUNNING)); /* the other is waited for */
    finished(w, 0, "a", 1, 20, RESULT(SUCCEEDED), CLASS(NONE));
    rank_gone(w, 0, "a", 1, CLASS(NONE), 0, 20);
    assert_int_equal(fold(w, "a")->result, RESULT(SUCCEEDED));
}

/* Rank 0's last word comes behind a barrier: what happens to others then doesn't matter. */
static void a_death_behind_the_end_changes_nothing(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    finished(w, 0, "a", 1, 20, RESULT(SUCCEEDED), CLASS(NONE));
    rank_gone(w, 1, "a", 1, CLASS(INFRASTRUCTURE), 137, 10);
    w->exit_result = RESULT(SUCCEEDED);
    rank_gone(w, 0, "a", 1, CLASS(NONE), 0, 20);
    assert_int_equal(fold(w, "a")->result, RESULT(SUCCEEDED));
}

static void polite_ends_are_waited_for(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    ask(w, LT_IN_STOP, "a");
    expect(w, "a stop_requested\n= 0 a\n> n0 stop a.1\n> n0 stop a.1/1\n");
    w->exit_result = RESULT(STOPPED);
    rank_gone(w, 1, "a", 1, CLASS(NONE), 107, 10);
    expect(w, "a rank_exited\n"); /* nobody is killed */
    finished(w, 0, "a", 1, 20, RESULT(STOPPED), CLASS(NONE));
    rank_gone(w, 0, "a", 1, CLASS(NONE), 107, 20);
    assert_int_equal(fold(w, "a")->result, RESULT(STOPPED));
    w->exit_result = RESULT(RESULT_NONE);
}

static void a_program_told_to_end_does_as_it_likes(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2, .command = true));
    ask(w, LT_IN_CANCEL, "a");
    expect(w, "a cancel_requested\n= 0 a\n> n0 cancel a.1\n> n0 cancel a.1/1\n");
    rank_gone(w, 1, "a", 1, CLASS(INFRASTRUCTURE), 143, 10);
    expect(w, "a rank_exited\n");
    rank_gone(w, 0, "a", 1, CLASS(JOB), 1, 20);
    assert_int_equal(fold(w, "a")->result, RESULT(CANCELLED));
}

static void rank_0_speaks_for_the_job(void **state)
{
    struct world *w = *state;
    Lt__V1__MetricValues v = LT__V1__METRIC_VALUES__INIT;
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;

    run_job(w, "a", OPTIONS(.ranks = 2));
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    r.metrics = &v;
    w->rank = 1;
    record(w, 0, "a", 1, 10, &r);
    saved(w, 0, "a", 1, 20, "r1", 100);
    finished(w, 0, "a", 1, 30, RESULT(FAILED), CLASS(DATA));
    sampled(w, 0, "a", 1, 500);
    expect(w, "> n0 ack a.1 10\n> n0 ack a.1 20\n> n0 ack a.1 30\n");
    assert_int_equal(w->metrics, 0);
    assert_int_equal(fold(w, "a")->n_checkpoints, 0);
    w->rank = 0;
    record(w, 0, "a", 1, 10, &r);
    saved(w, 0, "a", 1, 20, "r1", 100);
    expect(w, "> n0 ack a.1 10\na checkpoint_saved\n> n0 ack a.1 20\n");
    assert_int_equal(w->metrics, 1);
}

static void wishes_go_to_all_ranks(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    ask(w, LT_IN_CHECKPOINT, "a");
    expect(w, "a checkpoint_requested\n= 0 a\n> n0 checkpoint a.1\n> n0 checkpoint a.1/1\n");
    ask(w, LT_IN_CANCEL, "a");
    expect(w, "a cancel_requested\n= 0 a\n> n0 cancel a.1\n> n0 cancel a.1/1\n");
}

static void strict_keeps_the_number_of_ranks(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    saved(w, 0, "a", 1, 10, "r1", 100);
    rank_gone(w, 1, "a", 1, CLASS(DATA), 1, 10);
    rank_gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137, 20);
    submit(w, "b", OPTIONS(.ranks = 4, .parent = "a", .resume = "/r"));
    checked(w, 0, "b", GB);
    assert_int_equal(fold(w, "b")->result, RESULT(REFUSED));
    assert_string_equal(fold(w, "b")->problems[0]->reason,
                        "4 ranks, but job a ran on 2: the bits would be others");
    submit(w, "c", OPTIONS(.ranks = 4, .parent = "a", .resume = "/r", .relaxed = true));
    checked(w, 0, "c", GB);
    assert_int_equal(fold(w, "c")->state, STATE(STARTING));
    assert_int_equal(fold(w, "c")->conditions[0]->kind, KIND(BITS_CHANGED));
    assert_string_equal(fold(w, "c")->conditions[0]->detail, "4 ranks; job a ran on 2");
    submit(w, "d", OPTIONS(.ranks = 2, .parent = "a", .resume = "/r"));
    checked(w, 0, "d", GB);
    assert_int_equal(fold(w, "d")->state, STATE(QUEUED));
}

static void what_the_node_sees_becomes_a_condition_once(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    w->rank = 1;
    told_condition(w, 0, "a", 1, KIND(STALLED), true, "rank 1 stands still");
    told_condition(w, 0, "a", 1, KIND(STALLED), true, "rank 1 stands still");
    expect(w, "a condition 1\n");
    told_condition(w, 0, "a", 1, KIND(STALLED), true, "rank 1 is stopped");
    expect(w, "a condition 1\n");
    told_condition(w, 0, "a", 1, KIND(STALLED), false, NULL);
    told_condition(w, 0, "a", 1, KIND(STALLED), false, NULL);
    expect(w, "a condition no 1\n");
    told_condition(w, 0, "a", 2, KIND(STALLED), true, "another attempt");
    expect(w, "");
    assert_int_equal(fold(w, "a")->n_conditions, 0);
}

static void what_is_said_of_ranks_ends_with_them(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.ranks = 2));
    w->rank = 1;
    told_condition(w, 0, "a", 1, KIND(STALLED), true, "rank 1 stands still");
    w->exit_result = RESULT(SUCCEEDED);
    rank_gone(w, 1, "a", 1, CLASS(NONE), 0, 10);
    finished(w, 0, "a", 1, 20, RESULT(SUCCEEDED), CLASS(NONE));
    assert_int_equal(fold(w, "a")->n_conditions, 1);
    rank_gone(w, 0, "a", 1, CLASS(NONE), 0, 20);
    assert_int_equal(fold(w, "a")->state, STATE(DONE));
    assert_int_equal(fold(w, "a")->n_conditions, 0);
}

/* Rank 1's record of its start was lost with the session: only it is started again. */
static void a_lost_start_is_repeated_for_that_rank(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(.ranks = 2));
    checked(w, 0, "a", GB);
    forget_trace(w);
    node_lost(w, 0);
    node_back(w, 0, "a", 1, true);
    expect(w, "a running\n> n0 start a.1/1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(processors_are_split),
        T(it_runs_when_all_have_started),
        T(more_ranks_than_processors_are_refused),
        T(where_it_is_allowed_ranks_take_turns),
        T(the_first_failure_is_the_attempts),
        T(without_clocks_the_first_heard_counts),
        T(a_failed_rank_begins_a_new_generation),
        T(all_ranks_end_well),
        T(a_death_behind_the_end_changes_nothing),
        T(polite_ends_are_waited_for),
        T(a_program_told_to_end_does_as_it_likes),
        T(rank_0_speaks_for_the_job),
        T(wishes_go_to_all_ranks),
        T(strict_keeps_the_number_of_ranks),
        T(what_the_node_sees_becomes_a_condition_once),
        T(what_is_said_of_ranks_ends_with_them),
        T(a_lost_start_is_repeated_for_that_rank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
