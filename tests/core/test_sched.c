/* test_sched.c - who starts when and where, and what explain says about it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "tests/core/trace.h"

/* Checked, and so in the queue; quietly. */
static void queue(struct world *w, const char *job, struct job_options o)
{
    submit(w, job, o);
    for (int i = 0; i < 10; i++)
        if (w->session[i])
            checked(w, i, job, GB); /* whoever was not asked is not heard */
    forget_trace(w);
}

static const char *place(struct world *w, const char *job)
{
    const Lt__V1__JobFold *f = fold(w, job);

    return f->reserved ? f->reserved->node : "";
}

static void done(struct world *w, int n, const char *job)
{
    started(w, n, job, 1);
    finished(w, n, job, 1, 10, LT__V1__JOB_RESULT__SUCCEEDED, CLASS(NONE));
    gone(w, n, job, 1, CLASS(NONE), 0);
    forget_trace(w);
}

static void explain(struct world *w, const char *job, const char *want)
{
    LT_BUF_AUTO text = {0};

    lt_core_explain(w->core, fold(w, job), w->mono_ns, &text);
    assert_string_equal(text.data, want);
}

static void auto_takes_the_nodes_processors(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    queue(w, "a", OPTIONS(0));
    queue(w, "b", OPTIONS(0));
    assert_string_equal(place(w, "a"), "n0");
    assert_string_equal(place(w, "b"), "");
    explain(w, "b",
            "It needs 4 processors and 1.0 GiB of memory; node n0 has 0 of 4 free and 15.0 GiB of "
            "16.0 GiB "
            "(held by a).");
    done(w, 0, "a");
    assert_string_equal(place(w, "b"), "n0");
}

static void priority_then_age(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    queue(w, "a", OPTIONS(0));
    queue(w, "old", OPTIONS(0));
    queue(w, "young", OPTIONS(0));
    queue(w, "urgent", OPTIONS(.priority = 5));
    done(w, 0, "a");
    assert_string_equal(place(w, "urgent"), "n0");
    done(w, 0, "urgent");
    assert_string_equal(place(w, "old"), "n0");
    done(w, 0, "old");
    assert_string_equal(place(w, "young"), "n0");
}

static void backfill_never_delays_the_head(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    queue(w, "a", OPTIONS(.cpus = 2));
    queue(w, "head", OPTIONS(.cpus = 3));
    queue(w, "big", OPTIONS(.cpus = 2));   /* fits now, but then the head would wait for it too */
    queue(w, "small", OPTIONS(.cpus = 1)); /* 3 + 1: the head starts when a ends */
    queue(w, "small2", OPTIONS(.cpus = 1));
    assert_string_equal(place(w, "head"), "");
    assert_string_equal(place(w, "big"), "");
    assert_string_equal(place(w, "small"), "n0");
    assert_string_equal(place(w, "small2"), ""); /* small may run for ever */
    explain(w, "big",
            "It needs 2 processors and 1.0 GiB of memory; node n0 has 1 of 4 free and 14.0 GiB of "
            "16.0 GiB "
            "(held by a, small).");
    explain(
        w, "small2",
        "There is room on node n0, but starting now would delay job head, which waits before it.");
    done(w, 0, "a");
    assert_string_equal(place(w, "head"), "n0");
}

static void backfill_elsewhere_is_free(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    node_up(w, 1, 2, 16 * GB);
    queue(w, "a", OPTIONS(.cpus = 3));
    queue(w, "head", OPTIONS(.cpus = 4));
    queue(w, "b", OPTIONS(.cpus = 2)); /* the head could never run there */
    assert_string_equal(place(w, "b"), "n1");
}

static void memory_counts_too(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    queue(w, "a", OPTIONS(.cpus = 1, .memory = 10 * GB));
    queue(w, "b", OPTIONS(.cpus = 1, .memory = 11 * GB));
    queue(w, "c", OPTIONS(.cpus = 1, .memory = 6 * GB));
    assert_string_equal(place(w, "a"), "n0");
    assert_string_equal(place(w, "b"), "");
    assert_string_equal(place(w, "c"),
                        ""); /* fits beside a, but not beside b, which waits before it */
    done(w, 0, "a");
    assert_string_equal(place(w, "b"), "n0");
    done(w, 0, "b");
    assert_string_equal(place(w, "c"), "n0");
}

static void the_fullest_node_that_fits(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 8, 16 * GB);
    node_up(w, 1, 2, 16 * GB);
    queue(w, "a", OPTIONS(.cpus = 2));
    assert_string_equal(place(w, "a"), "n1");
    queue(w, "b", OPTIONS(.cpus = 2));
    assert_string_equal(place(w, "b"), "n0");
}

static void sharing_takes_no_processors(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    queue(w, "a", OPTIONS(0));
    queue(w, "b", OPTIONS(.cpus = 2, .oversubscribe = true));
    assert_string_equal(place(w, "b"), "n0");
    assert_int_equal(fold(w, "b")->reserved->cpus, 2);
}

static void draining_takes_no_new_work(void **state)
{
    struct world *w = *state;

    node_up(w, 0, 4, 16 * GB);
    ask(w, LT_IN_DRAIN, "n0");
    ask(w, LT_IN_DRAIN, "n9");
    expect(w, "- node_drained\n= 0 -\n= -2 -: no node n9 was seen\n");
    queue(w, "a", OPTIONS(0));
    explain(w, "a",
            "Node n0 is draining and takes no new work; `ltctl nodes undrain n0` changes that.");
    world_restart(w); /* it stays so */
    node_up(w, 0, 4, 16 * GB);
    assert_string_equal(place(w, "a"), "");
    ask(w, LT_IN_UNDRAIN, "n0");
    assert_string_equal(place(w, "a"), "n0");
}

static void a_reservation_outlives_a_crash_but_not_its_node(void **state)
{
    struct world *w = *state;

    run_job(w, "a", OPTIONS(0));
    queue(w, "b", OPTIONS(0));
    gone(w, 0, "a", 1, CLASS(INFRASTRUCTURE), 137);
    gone(w, 0, "a", 2, CLASS(INFRASTRUCTURE), 137);
    assert_string_equal(place(w, "a"), "n0"); /* between attempts */
    assert_string_equal(place(w, "b"), "");
    explain(w, "a", "Attempt 2 ended (it said so); the next one starts in 1 s.");
    node_lost(w, 0);
    wait_s(w, 11);
    assert_int_equal(fold(w, "a")->state, LT__V1__JOB_STATE__QUEUED);
    explain(w, "a", "No node is connected; n0 was seen last.");
}

static void explain_says_what_is_missing(void **state)
{
    struct world *w = *state;

    submit(w, "a", OPTIONS(.hold = true));
    explain(w, "a", "Its plan waits to be checked: no node is connected.");
    node_up(w, 0, 4, 16 * GB);
    explain(w, "a", "Its plan and data are being checked.");
    checked(w, 0, "a", GB);
    explain(w, "a", "It is held on request; `ltctl release a` queues it.");
    ask(w, LT_IN_RELEASE, "a");
    explain(w, "a", "Rank 0 is being started on node n0.");
    started(w, 0, "a", 1);
    explain(w, "a", "It needs nothing: it is running.");
    node_lost(w, 0);
    explain(w, "a", "Node n0 is not connected; rank 0 may still run there.");
    node_back(w, 0, "a", 1, true);
    ask(w, LT_IN_STOP, "a");
    explain(w, "a", "It was asked to end (stop), and has not yet.");
    gone(w, 0, "a", 1, CLASS(OOM), 137);
    explain(w, "a", "It has ended: failed (oom), it said so.");
}

static void status_has_live_values_and_keeps_the_last(void **state)
{
    struct world *w = *state;
    struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__JobStatus s;

    run_job(w, "a", OPTIONS(0));
    sampled(w, 0, "a", 1, 42);
    lt_core_status(w->core, fold(w, "a"), &s, arena);
    assert_int_equal(s.step, 42);
    assert_string_equal(s.ranks[0]->phase, "training");
    assert_string_equal(s.ranks[0]->state, "running");
    assert_int_equal(s.ranks[0]->pid, 101);
    gone(w, 0, "a", 1, CLASS(OOM), 137);
    world_restart(w);
    lt_core_status(w->core, fold(w, "a"), &s, arena);
    assert_int_equal(s.step, 42);
    assert_true(s.ranks[0]->step_ms == 2.5);
    assert_string_equal(s.ranks[0]->state, "exited");
    assert_int_equal(s.result, LT__V1__JOB_RESULT__FAILED);
    lt_arena_free(arena);
}

static void checkpoints_by_name(void **state)
{
    struct world *w = *state;
    struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__ListCheckpointsResponse list;
    const Lt__V1__CheckpointSaved *saved_as;
    const char *path;

    run_job(w, "a", OPTIONS(0));
    assert_int_equal(lt_core_find_checkpoint(fold(w, "a"), "last", arena, &path, &saved_as, NULL),
                     -ENOENT);
    saved(w, 0, "a", 1, 10, "u-best", 10);
    saved(w, 0, "a", 1, 20, "r5", 15);
    saved(w, 0, "a", 1, 30, "u2", 20);
    lt_core_checkpoints(fold(w, "a"), &list, arena);
    assert_int_equal(list.n_checkpoints, 2);
    assert_true(list.checkpoints[0]->best && list.checkpoints[1]->last);
    saved(w, 0, "a", 1, 40, "r6", 25); /* stopped there, say: it can be continued, so it is shown */
    lt_core_checkpoints(fold(w, "a"), &list, arena);
    assert_int_equal(list.n_checkpoints, 3);
    assert_true(!list.checkpoints[1]->last && list.checkpoints[2]->last);
    static const char *const names[][2] = {{"best", "checkpoints/u-best"},
                                           {"last", "recovery/r6"},
                                           {"u2", "checkpoints/u2"},
                                           {"recovery/r5", "recovery/r5"},
                                           {NULL, "checkpoints/u-best"}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(
            lt_core_find_checkpoint(fold(w, "a"), names[i][0], arena, &path, &saved_as, NULL), 0);
        assert_string_equal(path, names[i][1]);
    }
    lt_arena_free(arena);
}

static void nodes_are_listed(void **state)
{
    struct world *w = *state;
    struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__NodesListResponse list;

    run_job(w, "a", OPTIONS(.cpus = 3));
    ask(w, LT_IN_DRAIN, "n0");
    lt_core_nodes(w->core, &list, arena);
    assert_int_equal(list.n_nodes, 1);
    assert_string_equal(list.nodes[0]->state, "draining");
    assert_int_equal(list.nodes[0]->cpus_free, 1);
    assert_string_equal(list.nodes[0]->jobs[0], "a");
    assert_true(lt_core_session(w->core, "n0") != 0);
    node_lost(w, 0);
    assert_int_equal(lt_core_session(w->core, "n0"), 0);
    lt_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(auto_takes_the_nodes_processors),
        T(priority_then_age),
        T(backfill_never_delays_the_head),
        T(backfill_elsewhere_is_free),
        T(memory_counts_too),
        T(the_fullest_node_that_fits),
        T(sharing_takes_no_processors),
        T(draining_takes_no_new_work),
        T(a_reservation_outlives_a_crash_but_not_its_node),
        T(explain_says_what_is_missing),
        T(status_has_live_values_and_keeps_the_last),
        T(checkpoints_by_name),
        T(nodes_are_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
