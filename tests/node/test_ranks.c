/* test_ranks.c - several ranks of one attempt on a real agent: what they share, and how they end */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/attempt.h"
#include "sys/cpuset.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "tests/node/world.h"
#include "tests/support/tmp.h"

#define STARTED LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED
#define GONE LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE
#define CONDITION LT__V1__AGENT_MESSAGE__MESSAGE_RANK_CONDITION
#define KILL LT__V1__RANK_SIGNAL__SIGNAL_KILL
#define CANCEL LT__V1__RANK_SIGNAL__SIGNAL_CANCEL
#define HANG_MS 3000 /* where a hang is wanted */

static struct world w;
static size_t at;

static void begin(unsigned hang_ms)
{
    world_open(&w);
    w.hang_ms = hang_ms;
    at = 0;
    agent_start(&w);
    world_welcome(&w, &at);
}

static int setup(void **state)
{
    (void)state;
    begin(0);
    return 0;
}

static int setup_hangs(void **state)
{
    (void)state;
    begin(HANG_MS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static pid_t started(const char *job, uint32_t rank)
{
    const Lt__V1__RankStarted *m;
    size_t from = 0;

    do
        m = world_wait(&w, &from, STARTED, job)->rank_started;
    while (m->rank != rank);
    return (pid_t)m->pid;
}

static const Lt__V1__RankExited *gone(const char *job, uint32_t rank)
{
    const Lt__V1__RankExited *x;
    size_t from = 0;

    do
        x = world_wait(&w, &from, GONE, job)->rank_gone->exited;
    while (x->rank != rank);
    return x;
}

/* From the present position on. */
static const Lt__V1__RankCondition *condition(const char *job, bool active)
{
    const Lt__V1__RankCondition *c;

    do
        c = world_wait(&w, &at, CONDITION, job)->rank_condition;
    while (c->condition->active != active);
    return c;
}

/* Both have passed a collective: they really run. */
static void wait_for_step(const char *job)
{
    size_t from = 0;
    const Lt__V1__Samples *m;

    for (;;) {
        m = world_wait(&w, &from, LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES, NULL)->samples;
        for (size_t i = 0; i < m->n_samples; i++)
            if (strcmp(m->samples[i]->job, world_job(&w, job)) == 0 && m->samples[i]->step > 0)
                return;
    }
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("`%s` is not in: %s", part, text ? text : "(nothing)");
}

static char *log_of(uint32_t rank, const char *suffix)
{
    LT_AUTO(lt_free) char *name = lt_format("logs/1/%u.%s", rank, suffix);
    char *text = lt_test_read(lt_test_path(w.run, name), NULL);

    assert_non_null(text);
    return text;
}

static void log_has(uint32_t rank, const char *suffix, const char *part)
{
    char *text = log_of(rank, suffix);

    assert_has(text, part);
    free(text);
}

/* Processes that carry the job's token. */
static unsigned carriers(const char *job)
{
    LT_AUTO(lt_free) char *token = lt_format("LT_TOKEN=%s.", world_job(&w, job));
    DIR *d = opendir("/proc");
    const struct dirent *e;
    unsigned n = 0;

    while ((e = readdir(d))) {
        LT_AUTO(lt_free) char *path = lt_format("/proc/%s/environ", e->d_name);
        LT_BUF_AUTO text = {0};

        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
            lt_file_read(path, 1 << 20, &text, NULL) == 0 && text.len)
            n += memmem(text.data, text.len, token, strlen(token)) != NULL;
    }
    closedir(d);
    return n;
}

static void ranks_know_their_places(void **state)
{
    static const char *const scripts[] = {"env finish", "env finish"};
    char *a, *b;
    int ids[2];

    (void)state;
    world_start_ranks(&w, "ranks-p", 2, scripts);
    gone("ranks-p", 0);
    gone("ranks-p", 1);
    a = log_of(0, "out");
    b = log_of(1, "out");
    assert_has(a, "RANK=0\nWORLD_SIZE=2\nLOCAL_RANK=0\nLOCAL_WORLD_SIZE=2\n");
    assert_has(b, "RANK=1\nWORLD_SIZE=2\nLOCAL_RANK=1\nLOCAL_WORLD_SIZE=2\n");
    assert_has(a, "MASTER_PORT=");
    assert_string_equal(strstr(a, "MASTER_PORT="), strstr(b, "MASTER_PORT="));
    if (lt_cpu_ids(ids, 2) >= 2) /* each its own processor */
        assert_true(strcmp(strstr(a, "CPUS="), strstr(b, "CPUS=")) != 0);
    free(a);
    free(b);
}

static void where_processors_are_shared_nobody_is_bound(void **state)
{
    static const char *const scripts[] = {"wait", "wait"};
    LT_AUTO(lt_free) char *own = lt_test_read("/proc/self/status", NULL);
    LT_AUTO(lt_free) char *path = NULL;
    char *theirs, *line;

    (void)state;
    w.shares_cpus = true;
    world_start_ranks(&w, "ranks-q", 2, scripts);
    started("ranks-q", 0);
    path = lt_format("/proc/%d/status", (int)started("ranks-q", 1));
    theirs = lt_test_read(path, NULL);
    line = strstr(own, "Cpus_allowed_list:");
    line[strcspn(line, "\n")] = '\0';
    assert_has(theirs, line);
    free(theirs);
    world_signal_rank(&w, "ranks-q", 0, CANCEL);
    world_signal_rank(&w, "ranks-q", 1, CANCEL);
    gone("ranks-q", 0);
    gone("ranks-q", 1);
}

static void a_start_that_is_repeated_gives_the_same_port(void **state)
{
    static const char *const scripts[] = {"env wait", "env wait"};
    char *a, *b;

    (void)state;
    world_start_ranks(&w, "ranks-r", 1, scripts); /* rank 0 alone, then the agent dies */
    started("ranks-r", 0);
    agent_kill(&w);
    agent_start(&w);
    at = w.n;
    world_welcome(&w, &at);
    world_start_ranks(&w, "ranks-r", 2, scripts); /* the first one is there */
    started("ranks-r", 1);
    world_signal_rank(&w, "ranks-r", 0, CANCEL);
    world_signal_rank(&w, "ranks-r", 1, CANCEL);
    gone("ranks-r", 0);
    gone("ranks-r", 1);
    a = log_of(0, "out");
    b = log_of(1, "out");
    assert_string_equal(strstr(a, "MASTER_PORT="), strstr(b, "MASTER_PORT="));
    free(a);
    free(b);
}

static void the_first_to_die_is_known_by_its_time(void **state)
{
    static const char *const scripts[] = {"child loop", "child loop"};
    const Lt__V1__RankExited *x, *y;

    (void)state;
    world_start_ranks(&w, "ranks-k", 2, scripts);
    started("ranks-k", 0);
    kill(started("ranks-k", 1), SIGKILL);
    x = gone("ranks-k", 1);
    assert_string_equal(x->reason, "rank 1: killed by signal 9 (Killed)");
    y = gone("ranks-k", 0);
    assert_true(x->at_ns > 0 && x->at_ns < y->at_ns);
    assert_int_equal(carriers("ranks-k"), 0);
}

static char *folder_of(const char *job, uint32_t rank)
{
    return lt_format("%s/node/attempts/%s.1.%u", w.dir, world_job(&w, job), rank);
}

/* Its folder says so; messages may not come. */
static pid_t worker_of(const char *job, uint32_t rank)
{
    LT_AUTO(lt_free) char *dir = folder_of(job, rank);
    struct lt_identity worker;

    assert_int_equal(lt_attempt_read_identity(dir, "worker", &worker, NULL), 0);
    return worker.pid;
}

static void wait_for_end(const char *job)
{
    for (unsigned i = 0; i < 2000 && carriers(job); i++)
        world_spin(&w, 10);
    assert_int_equal(carriers(job), 0);
}

static void come_back(void)
{
    at = w.n;
    world_return(&w);
    world_welcome(&w, &at);
}

/* What the coordinator hears when it is back. */
static void expect_rank_1_was_first(const char *job)
{
    const Lt__V1__RankExited *x = gone(job, 1), *y = gone(job, 0);

    assert_string_equal(x->reason, "rank 1: killed by signal 9 (Killed)");
    assert_string_equal(y->reason, "rank 0: killed by signal 9 (Killed)");
    assert_true(x->at_ns > 0 && x->at_ns < y->at_ns);
}

static void a_failed_rank_ends_the_others_without_a_coordinator(void **state)
{
    static const char *const scripts[] = {"child loop", "child loop"};

    (void)state;
    world_start_ranks(&w, "ranks-a", 2, scripts);
    started("ranks-a", 0);
    started("ranks-a", 1);
    world_leave(&w);
    kill(worker_of("ranks-a", 1), SIGKILL);
    wait_for_end("ranks-a");
    come_back();
    expect_rank_1_was_first("ranks-a");
}

static void what_failed_before_the_agent_came_ends_the_others_too(void **state)
{
    static const char *const scripts[] = {"loop", "loop"};

    (void)state;
    world_start_ranks(&w, "ranks-b", 2, scripts);
    started("ranks-b", 0);
    started("ranks-b", 1);
    world_leave(&w);
    agent_kill(&w);
    kill(worker_of("ranks-b", 1), SIGKILL);
    agent_start(&w);
    wait_for_end("ranks-b");
    come_back();
    expect_rank_1_was_first("ranks-b");
}

static void a_rank_that_says_it_failed_ends_the_others(void **state)
{
    static const char *const scripts[] = {"hang", "step fail"};

    (void)state;
    world_start_ranks(&w, "ranks-f", 2, scripts);
    assert_string_equal(gone("ranks-f", 1)->reason, "rank 1: label out of range");
    gone("ranks-f", 0);
    assert_int_equal(carriers("ranks-f"), 0);
}

/* Who was to be killed is so before the other's end is told. */
static void a_rank_that_ends_well_leaves_the_others_alone(void **state)
{
    static const char *const scripts[] = {"step finish", "wait"};

    (void)state;
    world_start_ranks(&w, "ranks-e", 2, scripts);
    started("ranks-e", 1);
    assert_int_equal(gone("ranks-e", 0)->result, LT__V1__JOB_RESULT__SUCCEEDED);
    world_signal_rank(&w, "ranks-e", 1, CANCEL);
    assert_int_equal(gone("ranks-e", 1)->result, LT__V1__JOB_RESULT__CANCELLED);
}

static void shims_death_has_a_time_too(void **state)
{
    static const char *const scripts[] = {"loop", "loop"};
    LT_AUTO(lt_free) char *dir = folder_of("ranks-s", 1);
    const Lt__V1__RankExited *x;
    struct lt_identity shim;

    (void)state;
    world_start_ranks(&w, "ranks-s", 2, scripts);
    started("ranks-s", 1);
    started("ranks-s", 0);
    assert_int_equal(lt_attempt_read_identity(dir, "shim", &shim, NULL), 0);
    kill(shim.pid, SIGKILL);
    x = gone("ranks-s", 1);
    assert_has(x->reason, "lt-shim died");
    assert_true(x->at_ns > 0);
    assert_true(gone("ranks-s", 0)->at_ns > x->at_ns);
    assert_int_equal(carriers("ranks-s"), 0);
}

/* Killed while it is being started: not after the ladder's patience, but as soon as it is there. */
static void a_rank_can_be_killed_before_it_runs(void **state)
{
    static const char *const scripts[] = {"hang", "hang"};
    bool over[2] = {false, false};

    (void)state;
    world_start_ranks(&w, "ranks-d", 2, scripts);
    world_signal_rank(&w, "ranks-d", 0, KILL);
    world_signal_rank(&w, "ranks-d", 1, KILL);
    while (!over[0] || !over[1]) {
        const Lt__V1__AgentMessage *m = world_wait_over(&w, &at, "ranks-d");

        over[m->message_case == GONE ? m->rank_gone->exited->rank : m->start_failed->rank] = true;
    }
    assert_int_equal(carriers("ranks-d"), 0);
}

static void a_short_stop_is_a_condition_that_passes(void **state)
{
    static const char *const scripts[] = {"loop", "loop"};
    const Lt__V1__RankCondition *c;
    pid_t pid;

    (void)state;
    world_start_ranks(&w, "ranks-c", 2, scripts);
    pid = started("ranks-c", 1);
    wait_for_step("ranks-c");
    kill(pid, SIGSTOP);
    c = condition("ranks-c", true);
    kill(pid, SIGCONT);
    assert_int_equal(c->rank, 1);
    assert_int_equal(c->condition->kind, LT__V1__CONDITION__KIND__STALLED);
    assert_has(c->condition->detail, "rank 1 is stopped: stopped");
    condition("ranks-c", false);
    world_signal_rank(&w, "ranks-c", 0, CANCEL);
    world_signal_rank(&w, "ranks-c", 1, CANCEL);
    assert_int_equal(gone("ranks-c", 1)->result, LT__V1__JOB_RESULT__CANCELLED);
    assert_int_equal(gone("ranks-c", 0)->result, LT__V1__JOB_RESULT__CANCELLED);
}

static void expect_hang(const char *job, uint32_t rank, const char *what)
{
    const Lt__V1__RankExited *x = gone(job, rank);

    assert_int_equal(x->class_, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE);
    assert_has(x->reason, "hung: rank ");
    assert_has(x->reason, what);
}

static void a_stop_for_good_is_a_hang(void **state)
{
    static const char *const scripts[] = {"loop", "loop"};

    (void)state;
    world_start_ranks(&w, "ranks-h", 2, scripts);
    wait_for_step("ranks-h");
    kill(started("ranks-h", 1), SIGSTOP);
    expect_hang("ranks-h", 1, "rank 1 is stopped: stopped");
    assert_has(gone("ranks-h", 1)->reason, "for it wait in collectives: rank 0, in #");
    assert_has(gone("ranks-h", 1)->reason, "(all_reduce of conv1.weight.grad)");
    gone("ranks-h", 0);
    for (uint32_t i = 0; i < 2; i++) {
        log_has(i, "err", "seen from outside");
        log_has(i, "err", "  thread ");
    }
    log_has(1, "err", ": stopped");
    assert_int_equal(carriers("ranks-h"), 0);
}

/* The other one has left the common path, and sleeps. */
static void a_rank_that_sleeps_while_others_wait_is_named(void **state)
{
    static const char *const scripts[] = {"join step join", "join step hang"};

    (void)state;
    world_start_ranks(&w, "ranks-i", 2, scripts);
    started("ranks-i", 0);
    expect_hang("ranks-i", 1, "rank 1 does nothing: sleeping");
    assert_has(gone("ranks-i", 1)->reason, "which rank 1 has not begun");
    gone("ranks-i", 0);
}

static void a_single_rank_that_stands_still_is_a_hang(void **state)
{
    (void)state;
    world_start_rank(&w, "ranks-o", 1, "step hang");
    expect_hang("ranks-o", 0, "rank 0 does nothing: sleeping");
    log_has(0, "err", "seen from outside");
}

static void a_new_agent_says_again_that_a_rank_stands_still(void **state)
{
    static const char *const scripts[] = {"loop", "loop"};
    pid_t pid;

    (void)state;
    world_start_ranks(&w, "ranks-n", 2, scripts);
    pid = started("ranks-n", 0);
    started("ranks-n", 1);
    wait_for_step("ranks-n");
    kill(pid, SIGSTOP);
    assert_int_equal(condition("ranks-n", true)->rank, 0);
    agent_kill(&w);
    agent_start(&w);
    at = w.n;
    world_welcome(&w, &at);
    assert_int_equal(condition("ranks-n", true)->rank, 0);
    kill(pid, SIGCONT);
    condition("ranks-n", false);
    world_signal_rank(&w, "ranks-n", 0, CANCEL);
    world_signal_rank(&w, "ranks-n", 1, CANCEL);
    gone("ranks-n", 0);
    gone("ranks-n", 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define HANGS(name) cmocka_unit_test_setup_teardown(name, setup_hangs, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ranks_know_their_places),
        TEST(where_processors_are_shared_nobody_is_bound),
        TEST(a_start_that_is_repeated_gives_the_same_port),
        TEST(the_first_to_die_is_known_by_its_time),
        TEST(a_failed_rank_ends_the_others_without_a_coordinator),
        TEST(what_failed_before_the_agent_came_ends_the_others_too),
        TEST(a_rank_that_says_it_failed_ends_the_others),
        TEST(a_rank_that_ends_well_leaves_the_others_alone),
        TEST(shims_death_has_a_time_too),
        TEST(a_rank_can_be_killed_before_it_runs),
        HANGS(a_short_stop_is_a_condition_that_passes),
        HANGS(a_stop_for_good_is_a_hang),
        HANGS(a_rank_that_sleeps_while_others_wait_is_named),
        HANGS(a_single_rank_that_stands_still_is_a_hang),
        HANGS(a_new_agent_says_again_that_a_rank_stands_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
