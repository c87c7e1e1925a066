/* test_helpers.c - what an agent asks of a program that never answers ends with the agent */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sys/lock.h"
#include "tests/node/world.h"
#include "tests/support/tmp.h"

/* Says who it is, in a file of its first argument's name, and waits. */
#define SCRIPT "#!/bin/sh\necho $$ >%s/pid\"$1\"\nexec sleep 600\n"

static struct world w;

static int setup(void **state)
{
    LT_AUTO(lt_free) char *script = NULL;
    size_t at = 0;

    (void)state;
    world_open(&w);
    w.worker = lt_test_path(w.dir, "worker");
    script = lt_format(SCRIPT, w.dir);
    lt_test_write(w.worker, script, strlen(script));
    assert_int_equal(chmod(w.worker, 0755), 0);
    agent_start(&w);
    world_welcome(&w, &at);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static bool alive(pid_t pid)
{
    struct lt_identity id;

    return lt_identity_of(pid, &id) == 0 && lt_identity_alive(&id);
}

/* Waits until it runs. */
static pid_t helper(const char *argument)
{
    LT_AUTO(lt_free) char *name = lt_format("pid%s", argument);
    pid_t pid = 0;

    for (int i = 0; i < 6000 && pid == 0; i++) {
        char *text = lt_test_read(lt_test_path(w.dir, name), NULL);

        if (text && strchr(text, '\n'))
            pid = (pid_t)atoi(text);
        free(text);
        world_spin(&w, 10);
    }
    assert_true(pid > 1);
    assert_true(alive(pid));
    return pid;
}

static void ask_for_a_check(void)
{
    Lt__V1__CheckRequest m = LT__V1__CHECK_REQUEST__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;

    spec.kind_case = LT__V1__JOB_SPEC__KIND_PLAN;
    spec.plan = &plan;
    m.job = (char *)world_job(&w, "h");
    m.spec = &spec;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK, &m);
}

static void wait_dead(pid_t pid)
{
    for (int i = 0; i < 1000 && alive(pid); i++)
        world_spin(&w, 10);
    assert_false(alive(pid));
}

static void they_die_with_a_killed_agent(void **state)
{
    pid_t check, libraries;

    (void)state;
    ask_for_a_check();
    check = helper("--plan-only");
    libraries = helper("--libraries");
    agent_kill(&w);
    wait_dead(check);
    wait_dead(libraries);
}

static void they_are_ended_by_one_that_ends(void **state)
{
    pid_t check, libraries;

    (void)state;
    ask_for_a_check();
    check = helper("--plan-only");
    libraries = helper("--libraries");
    assert_int_equal(agent_stop(&w), 0);
    wait_dead(check);
    wait_dead(libraries);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(they_die_with_a_killed_agent),
        TEST(they_are_ended_by_one_that_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
