/* test_jobs.c - the life of jobs, seen by a client through the real server */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "fixture.h"
#include "proto/plan.h"

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    world_make(w);
    world_up(w, true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    world_down(w);
    world_drop(w);
    free(w);
    return 0;
}

static int control(struct world *w, const char *method, const char *job, Lt__V1__JobStatus **status)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;

    q.job_id = (char *)job;
    return world_call(w, method, &q, &lt__v1__job_status__descriptor, status);
}

static void a_job_runs_and_succeeds(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    Lt__V1__JobStatus *s;

    assert_int_equal(world_get(w, job, &s), 0);
    assert_string_equal(s->id, job);
    assert_string_equal(s->name, "fashion-mlp");
    assert_int_equal(s->attempt, 1);
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    assert_int_equal(world_get(w, job, &s), 0);
    assert_int_equal(s->result, LT__V1__JOB_RESULT__SUCCEEDED);
    s = NULL;
    assert_int_equal(control(w, "/lt.v1.Jobs/Remove", job, &s), 0);
    assert_int_equal(world_get(w, job, &s), -ENOENT);
}

static void cancelling_signals_the_rank(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    char prefix[5];
    Lt__V1__JobStatus *s;

    snprintf(prefix, sizeof prefix, "%.4s", job);
    assert_int_equal(control(w, "/lt.v1.Jobs/Cancel", prefix, &s), 0);
    world_await(&w->signals, 1);
    assert_int_equal(w->last_signal, LT__V1__RANK_SIGNAL__SIGNAL_CANCEL);
    world_gone(w, job, 1, LT__V1__JOB_RESULT__CANCELLED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    assert_int_equal(world_get(w, job, &s), 0);
    assert_int_equal(s->result, LT__V1__JOB_RESULT__CANCELLED);
}

static void a_plan_with_problems_is_not_submitted(void **state)
{
    struct world *w = *state;
    const char *job;

    w->spec->plan->data->batch_size = 0;
    w->spec->plan->data->has_batch_size = true;
    assert_int_equal(world_submit(w, "bad", &job), -EINVAL);
    assert_int_equal(w->status.code, LT_RPC_INVALID_ARGUMENT);
    assert_true(w->status.problems.len >= 1);
    assert_string_equal(w->status.problems.items[0].path, "data.batch_size");
    assert_int_equal(w->checks, 0);
}

static void a_plan_that_the_node_refuses_ends_refused(void **state)
{
    struct world *w = *state;
    Lt__V1__JobStatus *s;
    const char *job;

    w->refuse = true;
    assert_int_equal(world_submit(w, "bad", &job), 0);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    assert_int_equal(world_get(w, job, &s), 0);
    assert_int_equal(s->result, LT__V1__JOB_RESULT__REFUSED);
    assert_int_equal(s->n_problems, 1);
    assert_string_equal(s->problems[0]->reason, "shapes don't fit");
}

static void check_plan_asks_a_node(void **state)
{
    struct world *w = *state;
    Lt__V1__CheckPlanRequest q = LT__V1__CHECK_PLAN_REQUEST__INIT;
    Lt__V1__CheckPlanResponse *r;

    q.spec = w->spec;
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/CheckPlan", &q, &lt__v1__check_plan_response__descriptor, &r),
        0);
    assert_int_equal(r->n_problems, 0);
    assert_int_equal(r->cost->memory_bytes, 100u << 20);
    assert_string_equal(r->report_json, "{}");
    w->spec->plan->data->batch_size = 0;
    w->spec->plan->data->has_batch_size = true;
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/CheckPlan", &q, &lt__v1__check_plan_response__descriptor, &r),
        0);
    assert_true(r->n_problems >= 1);
    assert_int_equal(w->checks, 1);
}

static void the_same_request_is_the_same_job_also_after_a_restart(void **state)
{
    struct world *w = *state;
    const char *first, *again;

    assert_int_equal(world_submit(w, "one", &first), 0);
    assert_int_equal(world_submit(w, "one", &again), 0);
    assert_string_equal(first, again);
    world_down(w);
    world_up(w, true);
    assert_int_equal(world_submit(w, "one", &again), 0);
    assert_string_equal(first, again);
    w->spec->plan->seed++;
    w->spec->plan->has_seed = true;
    assert_int_equal(world_submit(w, "one", &again), -EEXIST);
    assert_int_equal(world_submit(w, "two", &again), 0);
    assert_string_not_equal(first, again);
}

/* ---- a crash between append and reply ---- */

struct crash {
    int pipe;
};

static void die(void *arg, const struct lt_coord_reply *r)
{
    struct crash *c = arg;

    if (r->status == 0 && write(c->pipe, r->job, strlen(r->job)) > 0)
        _exit(0);
    _exit(1);
}

static void submit_and_die(struct world *w, int pipe_fd)
{
    struct crash crash = {.pipe = pipe_fd};
    struct lt_coord_config config = {.state_dir = w->state, .runs_dir = w->runs};
    struct lt_coord *c;
    char hash[65];
    uv_loop_t uv;

    uv_loop_init(&uv);
    if (lt_rpc_loop_open(&uv, &config.loop, NULL) < 0 || lt_coord_open(&config, &c, NULL) < 0)
        _exit(2);
    lt_coord_spec_hash(w->spec, hash);
    lt_coord_submit(c,
                    &(struct lt_coord_submission){
                        .request_id = "lost", .uid = getuid(), .spec = w->spec, .spec_hash = hash},
                    die, &crash);
    uv_run(&uv, UV_RUN_DEFAULT);
    _exit(3);
}

static void a_crash_between_append_and_reply_loses_and_doubles_nothing(void **state)
{
    struct world w;
    char before[32] = "";
    const char *job;
    int fds[2], status;
    pid_t pid;

    (void)state;
    world_make(&w);
    assert_int_equal(pipe(fds), 0);
    pid = fork(); /* before anything of gRPC was started in this process */
    if (pid == 0)
        submit_and_die(&w, fds[1]);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_true(read(fds[0], before, sizeof before - 1) > 0);
    close(fds[0]);
    close(fds[1]);
    world_up(&w, true);
    assert_int_equal(world_submit(&w, "lost", &job), 0);
    assert_string_equal(job, before);
    world_await_state(&w, job, LT__V1__JOB_STATE__RUNNING);
    world_down(&w);
    world_drop(&w);
}

static void unknown_jobs_and_nodes_are_not_found(void **state)
{
    struct world *w = *state;
    Lt__V1__NodeRequest q = LT__V1__NODE_REQUEST__INIT;
    Lt__V1__NodeStatus *node;
    Lt__V1__JobStatus *s;

    assert_int_equal(world_get(w, "zzzzzzzz", &s), -ENOENT);
    assert_int_equal(world_get(w, "", &s), -EINVAL);
    q.node = (char *)"elsewhere";
    assert_int_equal(world_call(w, "/lt.v1.Nodes/Get", &q, &lt__v1__node_status__descriptor, &node),
                     -ENOENT);
}

static void a_drained_node_takes_no_job(void **state)
{
    struct world *w = *state;
    Lt__V1__NodeRequest q = LT__V1__NODE_REQUEST__INIT;
    Lt__V1__JobRequest explain = LT__V1__JOB_REQUEST__INIT;
    Lt__V1__ExplainResponse *why;
    Lt__V1__NodeStatus *node;
    const char *job;

    q.node = (char *)"fake";
    assert_int_equal(
        world_call(w, "/lt.v1.Nodes/Drain", &q, &lt__v1__node_status__descriptor, &node), 0);
    assert_string_equal(node->state, "drained");
    assert_int_equal(world_submit(w, "one", &job), 0);
    explain.job_id = (char *)job;
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Explain", &explain, &lt__v1__explain_response__descriptor, &why),
        0);
    assert_true(strlen(why->text) > 0);
    assert_int_equal(w->started, 0);
    assert_int_equal(
        world_call(w, "/lt.v1.Nodes/Undrain", &q, &lt__v1__node_status__descriptor, &node), 0);
    world_await_state(w, job, LT__V1__JOB_STATE__RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_between_append_and_reply_loses_and_doubles_nothing),
        cmocka_unit_test_setup_teardown(a_job_runs_and_succeeds, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_signals_the_rank, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_with_problems_is_not_submitted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_that_the_node_refuses_ends_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(check_plan_asks_a_node, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_request_is_the_same_job_also_after_a_restart,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_jobs_and_nodes_are_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drained_node_takes_no_job, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
