/* test_takeover.c - an agent is killed while a rank's shim is on its way, the coordinator is away, and the next agent
 * comes alone
 *
 * Shims are held at a gate, one by one, and become real ones when they are let through.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/paths.h"
#include "tests/node/world.h"
#include "tests/support/tmp.h"

#define STARTED LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED
#define GONE LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE
#define HELLO LT__V1__AGENT_MESSAGE__MESSAGE_HELLO
#define STOP LT__V1__RANK_SIGNAL__SIGNAL_STOP
#define CANCEL LT__V1__RANK_SIGNAL__SIGNAL_CANCEL
#define SCRIPT                                                                                     \
    "#!/bin/sh\n"                                                                                  \
    "if [ \"$1\" != --bound ]; then\n"                                                             \
    "    echo >%s/$$\n"                                                                            \
    "    while [ -e %s/$$ ]; do sleep 0.01; done\n"                                                \
    "fi\n"                                                                                         \
    "exec %s \"$@\"\n"

static struct world w;
static size_t at;
static const char *gate; /* a folder with a file for each shim that waits: its pid */

static int setup(void **state)
{
    LT_AUTO(lt_free) char *shim = lt_path_program("lt-shim");
    LT_AUTO(lt_free) char *script = NULL;

    (void)state;
    world_open(&w);
    at = 0;
    gate = lt_test_path(w.dir, "gate");
    assert_int_equal(mkdir(gate, 0700), 0);
    script = lt_format(SCRIPT, gate, gate, shim);
    w.shim = lt_test_path(w.dir, "shim");
    lt_test_write(w.shim, script, strlen(script));
    assert_int_equal(chmod(w.shim, 0755), 0);
    agent_start(&w);
    world_welcome(&w, &at);
    return 0;
}

static void let_through(pid_t shim)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%d", gate, (int)shim);

    assert_int_equal(unlink(path), 0);
}

/* One that waits at the gate and isn't `other`; 0: none. */
static pid_t waiting(pid_t other)
{
    DIR *d = opendir(gate);
    const struct dirent *e;
    pid_t pid = 0;

    while ((e = readdir(d)))
        pid = atoi(e->d_name) > 0 && atoi(e->d_name) != other ? (pid_t)atoi(e->d_name) : pid;
    closedir(d);
    return pid;
}

static pid_t wait_for_shim(pid_t other)
{
    for (int i = 0; i < 6000 && !waiting(other); i++)
        world_spin(&w, 10);
    assert_true(waiting(other) > 0);
    return waiting(other);
}

static int teardown(void **state)
{
    (void)state;
    for (pid_t shim; (shim = waiting(0)) > 0;) {
        kill(shim, SIGKILL);
        let_through(shim);
    }
    world_close(&w);
    return 0;
}

static bool alive(pid_t pid)
{
    struct lt_identity id;

    return lt_identity_of(pid, &id) == 0 && lt_identity_alive(&id);
}

static void wait_dead(pid_t pid)
{
    for (int i = 0; i < 6000 && alive(pid); i++)
        world_spin(&w, 10);
    assert_false(alive(pid));
}

/* From its folder: nobody may be there to tell. */
static pid_t worker_of(const char *job)
{
    LT_AUTO(lt_free) char *dir = world_attempt_file(&w, job, "");
    struct lt_identity id = {0};

    for (int i = 0; i < 6000 && lt_attempt_read_identity(dir, "worker", &id, NULL) < 0; i++)
        world_spin(&w, 10);
    assert_true(id.pid > 1);
    return id.pid;
}

/* A start whose shim waits at the gate; then neither agent nor coordinator is there. */
static pid_t start_and_leave(const char *job)
{
    pid_t shim;

    world_start_rank(&w, job, 1, "step wait");
    shim = wait_for_shim(0);
    world_leave(&w);
    agent_kill(&w);
    return shim;
}

static bool is_removed(const char *job)
{
    LT_AUTO(lt_free) char *dir = world_attempt_file(&w, job, "");

    return !lt_file_exists(dir);
}

static const Lt__V1__Hello *come_back(void)
{
    const Lt__V1__Hello *h;
    size_t from = at = w.n;

    world_return(&w);
    h = world_wait(&w, &from, HELLO, NULL)->hello;
    world_welcome(&w, &at);
    return h;
}

/* It is that process, and ends once. */
static void expect_one_end(const char *job, pid_t worker)
{
    size_t from = 0, ends = 0;

    assert_true(alive(worker));
    world_signal(&w, job, 1, CANCEL);
    assert_int_equal(world_wait(&w, &at, GONE, job)->rank_gone->exited->result,
                     LT__V1__JOB_RESULT__CANCELLED);
    wait_dead(worker);
    world_start_rank(&w, "later", 1, "finish"); /* whatever else would come is here before its end */
    let_through(wait_for_shim(0));
    world_wait(&w, &at, GONE, "later");
    for (; from < w.n; from++)
        ends += w.got[from]->message_case == GONE &&
                strcmp(w.got[from]->rank_gone->job, world_job(&w, job)) == 0;
    assert_int_equal(ends, 1);
}

/* Its shim came while nobody was there. */
static void a_rank_that_came_meanwhile_is_taken_over(void **state)
{
    const Lt__V1__Hello *h;
    pid_t worker;

    (void)state;
    let_through(start_and_leave("t1"));
    worker = worker_of("t1");
    agent_start(&w);
    h = come_back();
    assert_int_equal(h->n_attempts, 1);
    assert_true(h->attempts[0]->running);
    assert_int_equal(h->attempts[0]->pid, worker);
    expect_one_end("t1", worker);
}

/* The same for an agent that was there before the shim went on, and believed that it never would: asked again it
 * starts another one, which finds the first one running. */
static void a_rank_whose_shim_is_late_is_the_rank(void **state)
{
    pid_t first, second, worker;

    (void)state;
    first = start_and_leave("t2");
    agent_start(&w);
    assert_int_equal(come_back()->n_attempts, 0);
    world_start_rank(&w, "t2", 1, "step wait");
    second = wait_for_shim(first);
    let_through(first);
    worker = worker_of("t2");
    let_through(second);
    assert_int_equal(world_wait(&w, &at, STARTED, "t2")->rank_started->pid, worker);
    wait_dead(second);
    expect_one_end("t2", worker);
}

/* One that goes on when its folder is gone starts nothing. */
static void a_shim_without_a_folder_goes(void **state)
{
    pid_t first, worker;

    (void)state;
    first = start_and_leave("t3");
    agent_start(&w);
    for (int i = 0; i < 6000 && !is_removed("t3"); i++)
        world_spin(&w, 10);
    assert_true(is_removed("t3"));
    let_through(first);
    wait_dead(first);
    assert_true(is_removed("t3"));
    assert_int_equal(come_back()->n_attempts, 0);
    world_start_rank(&w, "t3", 1, "step wait");
    let_through(wait_for_shim(0));
    worker = (pid_t)world_wait(&w, &at, STARTED, "t3")->rank_started->pid;
    assert_int_equal(worker_of("t3"), worker);
    expect_one_end("t3", worker);
}

/* ---- what is asked of a rank before it runs */

static const Lt__V1__RankExited *asked_at_the_gate(const char *job, Lt__V1__RankSignal signal)
{
    pid_t shim;

    world_start_rank(&w, job, 1, "wait");
    world_signal(&w, job, 1, signal); /* most likely before its folder is there */
    shim = wait_for_shim(0);
    let_through(shim);
    return world_wait(&w, &at, GONE, job)->rank_gone->exited;
}

static void a_plan_hears_what_was_asked_before(void **state)
{
    (void)state;
    assert_int_equal(asked_at_the_gate("t4", STOP)->result, LT__V1__JOB_RESULT__STOPPED);
    assert_int_equal(asked_at_the_gate("t5", CANCEL)->result, LT__V1__JOB_RESULT__CANCELLED);
}

/* By SIGTERM, not by SIGKILL when its patience is over. */
static void a_command_is_told_when_it_runs(void **state)
{
    pid_t shim;
    int32_t status;

    (void)state;
    w.command = "trap 'exit 7' TERM; while :; do sleep 0.01; done";
    world_start_rank(&w, "t6", 1, "");
    shim = wait_for_shim(0);
    world_signal(&w, "t6", 1, STOP);
    world_spin(&w, 50);
    let_through(shim);
    status = world_wait(&w, &at, GONE, "t6")->rank_gone->exited->status;
    assert_true(status == 7 || status == 128 + SIGTERM); /* it may not have got as far as its trap */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rank_that_came_meanwhile_is_taken_over),
        TEST(a_rank_whose_shim_is_late_is_the_rank),
        TEST(a_shim_without_a_folder_goes),
        TEST(a_plan_hears_what_was_asked_before),
        TEST(a_command_is_told_when_it_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
