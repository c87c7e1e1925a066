/* test_jobs.c - the life of a job: golden traces of what is stored and sent, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/core/trace.h"

static void from_submit_to_success(void **state)
{
    struct world *w = *state;

    submit(w, "a", OPTIONS(0));
    expect(w, "a submitted\n= 0 a\n");
    node_up(w, 0, 4, 16 * GB);
    expect(w, "> n0 check a\n");
    checked(w, 0, "a", GB);
    expect(w, "a checked\na queued\na reserved n0 4\na attempt_started 1 n0\n> n0 start a.1\n");
    started(w, 0, "a", 1);
    expect(w, "a running\n");
    saved(w, 0, "a", 1, 100, "r1", 10);
    expect(w, "a checkpoint_saved\n> n0 ack a.1 100\n");
    finished(w, 0, "a", 1, 200, RESULT(SUCCEEDED), CLASS(NONE));
    expect(w, "a finished\n> n0 ack a.1 200\n");
    gone(w, 0, "a", 1, CLASS(NONE), 0);
    expect(w, "a progress_saved\na rank_exited\na attempt_ended none\n> n0 forget a.1\n"
              "a done succeeded none\n");
    gone(w, 0, "a", 1, CLASS(NONE), 0); /* it was not heard */
    expect(w, "> n0 forget a.1\n");
}

static void a_refused_plan_is_never_queued(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(0));
    forget_trace(w);
    check_refused(w, 0, "a");
    expect(w, "a refused label 10 of sample 3 is out of range\na done refused plan\n");
    submit(w, "b", OPTIONS(0));
    forget_trace(w);
    checked(w, 0, "b", 20 * GB);
    expect(w, "b refused the plan needs 20.0 GiB (21474836480 bytes) of memory; the "
              "largest node, n0, has 16.0 GiB (17179869184 bytes)\n"
              "b done refused plan\n");
    submit(w, "c", OPTIONS(.memory = 2 * GB));
    forget_trace(w);
    checked(w, 0, "c", 3 * GB);
    expect(w, "c refused the plan needs 3.0 GiB (3221225472 bytes) of memory, but may use "
              "2.0 GiB (2147483648 bytes)\n"
              "c done refused plan\n");
    submit(w, "d", OPTIONS(.cpus = 5));
    forget_trace(w);
    checked(w, 0, "d", GB);
    expect(w, "d refused 5 processors are asked for; the largest node, n0, has 4\n"
              "d done refused plan\n");
}

static void a_request_makes_one_job(void **state)
{
    struct world *w = *state;

    submit(w, "a", OPTIONS(.request = "r"));
    submit(w, "b", OPTIONS(.request = "r"));
    submit(w, "c", OPTIONS(.request = "r", .hash = "other"));
    submit(w, "d", OPTIONS(.request = ""));
    expect(w, "a submitted\n= 0 a\n= 0 a\n"
              "= -17 a: request r has already submitted another plan as job a\n"
              "= -22 -: request_id is missing: make one, unique for each submission\n");
    world_restart(w);
    submit(w, "e", OPTIONS(.request = "r"));
    expect(w, "= 0 a\n");
}

static void held_until_released(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(.hold = true));
    checked(w, 0, "a", GB);
    expect(w, "a submitted\n= 0 a\n> n0 check a\na checked\n");
    assert_int_equal(fold(w, "a")->state, LT__V1__JOB_STATE__HELD_USER);
    ask(w, LT_IN_RELEASE, "a");
    expect(w, "a released\n= 0 a\na queued\na reserved n0 4\na attempt_started 1 n0\n"
              "> n0 start a.1\n");
    ask(w, LT_IN_RELEASE, "a");
    expect(w, "= 0 a\n");
    submit(w, "b", OPTIONS(.hold = true));
    ask(w, LT_IN_RELEASE, "b"); /* before the checks are over */
    checked(w, 0, "b", GB);
    expect(w, "b submitted\n= 0 b\n> n0 check b\nb released\n= 0 b\nb checked\nb queued\n");
    submit(w, "c", OPTIONS(0));
    forget_trace(w);
    ask(w, LT_IN_RELEASE, "c");
    expect(w, "= -16 c: job c isn't held: it is held(checking)\n");
}

static void cancelled_wherever_it_is(void **state)
{
    struct world *w = *state;

    submit(w, "a", OPTIONS(0));
    ask(w, LT_IN_CANCEL, "a");
    expect(w, "a submitted\n= 0 a\na cancel_requested\n= 0 a\na done cancelled none\n");
    ask(w, LT_IN_CANCEL, "a");
    expect(w, "= 0 a\n");
    run_job(w, "b", OPTIONS(0));
    ask(w, LT_IN_CANCEL, "b");
    expect(w, "b cancel_requested\n= 0 b\n> n0 cancel b.1\n");
    ask(w, LT_IN_CANCEL, "b");
    expect(w, "= 0 b\n");
    finished(w, 0, "b", 1, 50, RESULT(SUCCEEDED), CLASS(NONE));
    forget_trace(w);
    gone(w, 0, "b", 1, CLASS(NONE), 0); /* it was through by itself, but cancel was acknowledged */
    expect(w, "b progress_saved\nb rank_exited\nb attempt_ended none\n> n0 forget b.1\n"
              "b done cancelled none\n");
    run_job(w, "c", OPTIONS(0));
    gone(w, 0, "c", 1, CLASS(INFRASTRUCTURE), 137);
    started(w, 0, "c", 2);
    gone(w, 0, "c", 2, CLASS(INFRASTRUCTURE), 137);
    assert_int_equal(fold(w, "c")->state, LT__V1__JOB_STATE__RECOVERING);
    forget_trace(w);
    ask(w, LT_IN_CANCEL, "c");
    expect(w, "c cancel_requested\n= 0 c\nc done cancelled none\n");
    ask(w, LT_IN_STOP, "c");
    expect(w, "= -16 c: job c can't be ended: it has ended: cancelled\n");
}

static void stop_saves_and_ends(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    ask(w, LT_IN_STOP, "a");
    expect(w, "a stop_requested\n= 0 a\n> n0 stop a.1\n");
    saved(w, 0, "a", 1, 10, "u5", 5);
    finished(w, 0, "a", 1, 20, RESULT(STOPPED), CLASS(NONE));
    forget_trace(w);
    gone(w, 0, "a", 1, CLASS(NONE), 0);
    expect(w, "a progress_saved\na rank_exited\na attempt_ended none\n> n0 forget a.1\n"
              "a done stopped none\n");
}

static void what_a_stopping_job_ends_as(void **state)
{
    static const struct {
        Lt__V1__JobResult said;
        Lt__V1__FailureClass class, exit_class;
        int status;
        Lt__V1__JobResult want;
        const char *reason; /* of the exit; NULL: what was asked for is all */
    } cases[] = {
        {RESULT(SUCCEEDED), CLASS(NONE), CLASS(NONE), 0, RESULT(SUCCEEDED), NULL},
        {RESULT(STOPPED), CLASS(NONE), CLASS(NONE), 0, RESULT(STOPPED), NULL},
        {RESULT(RESULT_NONE), CLASS(NONE), CLASS(INFRASTRUCTURE), 137, RESULT(STOPPED),
         "it said so"}, /* not started again */
        {RESULT(RESULT_NONE), CLASS(NONE), CLASS(INFRASTRUCTURE), 143, RESULT(STOPPED), NULL},
        {RESULT(FAILED), CLASS(NONFINITE), CLASS(JOB), 1, RESULT(FAILED), NULL},
        {RESULT(RESULT_NONE), CLASS(NONE), CLASS(OOM), 137, RESULT(FAILED), "it said so"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char id[2] = {(char)('a' + i)};

        run_job(w, id, OPTIONS(0));
        ask(w, LT_IN_STOP, id);
        if (cases[i].said)
            finished(w, 0, id, 1, 20, cases[i].said, cases[i].class);
        gone(w, 0, id, 1, cases[i].exit_class, cases[i].status);
        assert_int_equal(fold(w, id)->state, LT__V1__JOB_STATE__DONE);
        assert_int_equal(fold(w, id)->result, cases[i].want);
        assert_true(lt_str_eq(fold(w, id)->reason, cases[i].reason));
        forget_trace(w);
    }
}

static void a_cancel_outranks_a_stop(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    ask(w, LT_IN_STOP, "a");
    ask(w, LT_IN_CANCEL, "a");
    ask(w, LT_IN_STOP, "a");
    expect(w, "a stop_requested\n= 0 a\n> n0 stop a.1\na cancel_requested\n= 0 a\n"
              "> n0 cancel a.1\n= 0 a\n");
}

/* The first wait in the queue doesn't count; one between two attempts does. */
static void a_time_limit_runs_on_in_the_queue(void **state)
{
    struct world *w = *state;

    submit(w, "a", (struct job_options){.limit_s = 60});
    wait_s(w, 100);
    node_up(w, 0, 4, 16 * GB);
    checked(w, 0, "a", GB);
    started(w, 0, "a", 1);
    ask(w, LT_IN_DRAIN, "n0");
    gone(w, 0, "a", 1, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 137);
    assert_int_equal(fold(w, "a")->state, LT__V1__JOB_STATE__QUEUED);
    forget_trace(w);
    world_restart(w);
    wait_s(w, 58);
    expect(w, "");
    wait_s(w, 3);
    expect(w, "a time_limit_reached\na done timed_out none\n");
}

static void a_time_limit_counts_from_the_first_start(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(.limit_s = 100));
    wait_s(w, 60);
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    started(w, 0, "a", 2);
    forget_trace(w);
    wait_s(w, 39);
    expect(w, "");
    wait_s(w, 1);
    expect(w, "a time_limit_reached\n> n0 stop a.2\n");
    wait_s(w, 60); /* it takes its time */
    expect(w, "> n0 cancel a.2\n");
    gone(w, 0, "a", 2, CLASS(NONE), 143);
    expect(w, "a rank_exited\na attempt_ended none\n> n0 forget a.2\na done timed_out none\n");
}

static void a_checkpoint_on_demand(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    ask(w, LT_IN_CHECKPOINT, "a");
    expect(w, "a checkpoint_requested\n= 0 a\n> n0 checkpoint a.1\n");
    ask(w, LT_IN_CHECKPOINT, "a"); /* on its way */
    expect(w, "= 0 a\n");
    node_lost(w, 0);
    node_back(w, 0, "a", 1, true);
    expect(w, "> n0 checkpoint a.1\n");
    saved(w, 0, "a", 1, 10, "u5", 5);
    node_lost(w, 0);
    forget_trace(w);
    node_back(w, 0, "a", 1, true);
    expect(w, "");
    submit(w, "b", OPTIONS(0));
    forget_trace(w);
    ask(w, LT_IN_CHECKPOINT, "b");
    expect(w, "= -16 b: job b has nothing to save: it is held(checking)\n");
}

static void ended_jobs_leave_after_a_week_or_on_request(void **state)
{
    struct world *w = *state;
    const Lt__V1__JobFold *f;

    submit(w, "aa1", OPTIONS(0));
    submit(w, "aa2", OPTIONS(0));
    ask(w, LT_IN_CANCEL, "aa1");
    ask(w, LT_IN_REMOVE, "aa2");
    forget_trace(w);
    ask(w, LT_IN_REMOVE, "aa2");
    expect(w, "= -16 aa2: job aa2 can't be removed before it has ended: it is held(checking)\n");
    ask(w, LT_IN_CANCEL, "aa2");
    forget_trace(w);
    ask(w, LT_IN_REMOVE, "aa");
    expect(w, "= -22 -: aa is the beginning of several jobs: aa1 and aa2\n");
    ask(w, LT_IN_REMOVE, "aa1");
    expect(w, "aa1 removed\n= 0 aa1\n");
    submit(w, "bb", OPTIONS(.request = "aa2")); /* remembered as long as its job, */
    expect(w, "= 0 aa2\n");
    submit(w, "bb", OPTIONS(.request = "aa1")); /* and no longer */
    expect(w, "bb submitted\n= 0 bb\n");
    ask(w, LT_IN_CANCEL, "bb");
    ask(w, LT_IN_REMOVE, "bb");
    forget_trace(w);
    wait_s(w, 7 * 86400 - 1);
    expect(w, "");
    wait_s(w, 1);
    expect(w, "aa2 removed\n");
    assert_int_equal(lt_core_find(w->core, "aa", &f, NULL), -ENOENT);
    assert_int_equal(lt_core_job_count(w->core), 0);
}

static void a_resumed_job_starts_where_its_spec_says(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    submit(w, "a", OPTIONS(.resume = "/runs/parent/checkpoints/last", .parent = "p"));
    checked(w, 0, "a", GB);
    forget_trace(w);
    started(w, 0, "a", 1);
    saved(w, 0, "a", 1, 10, "r700", 700);
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    expect(w, "a running\na checkpoint_saved\n> n0 ack a.1 10\na progress_saved\na rank_exited\n"
              "a attempt_ended infrastructure retry\n> n0 forget a.1\na attempt_started 2 n0\n"
              "> n0 start a.2 recovery/r700\n");
}

/* Any event in any state: applied, or refused with nothing changed. */
static void illegal_events_change_nothing(void **state)
{
    struct world *w = *state;
    size_t refused = 0;

    run_job(w, "a", OPTIONS(0));
    gone(w, 0, "a", 1, CLASS(OOM), 137);
    for (size_t cut = 1; cut <= w->log.len; cut++)
        for (size_t next = 0; next < w->log.len; next++) {
            struct lt_core *core = lt_core_new();
            Lt__V1__Event *e =
                lt__v1__event__unpack(NULL, w->log.items[next].len, w->log.items[next].data);
            uint8_t packed[4096], *before, *after;
            size_t n_before, n_after, n;

            for (size_t i = 0; i < cut; i++)
                assert_int_equal(
                    lt_core_replay(core, w->log.items[i].data, w->log.items[i].len, NULL), 0);
            e->seq = cut + 1;
            n = lt__v1__event__pack(e, packed);
            lt_core_snapshot(core, &before, &n_before);
            if (lt_core_replay(core, packed, n, NULL) < 0) {
                refused++;
                lt_core_snapshot(core, &after, &n_after);
                assert_int_equal(n_before, n_after);
                assert_memory_equal(before, after, n_before);
                lt_free(after);
            }
            lt__v1__event__free_unpacked(e, NULL);
            lt_free(before);
            lt_core_free(core);
        }
    assert_true(refused > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(from_submit_to_success),
        T(a_refused_plan_is_never_queued),
        T(a_request_makes_one_job),
        T(held_until_released),
        T(cancelled_wherever_it_is),
        T(stop_saves_and_ends),
        T(what_a_stopping_job_ends_as),
        T(a_cancel_outranks_a_stop),
        T(a_time_limit_counts_from_the_first_start),
        T(a_time_limit_runs_on_in_the_queue),
        T(a_checkpoint_on_demand),
        T(ended_jobs_leave_after_a_week_or_on_request),
        T(a_resumed_job_starts_where_its_spec_says),
        T(illegal_events_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
