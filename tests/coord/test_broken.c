/* test_broken.c - a store that takes no more writes: new work is refused with the reason, reading
 * goes on, nothing that was acknowledged is lost, and everything goes on by itself once there is
 * room again
 *
 * The full disk is a limit on the size of files (RLIMIT_FSIZE), so that it needs no privileges.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <cmocka.h>
#include "fixture.h"

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void full(struct world *w, void *arg)
{
    (void)w;
    (void)arg;
    limit_files(1);
}

/* Until the store is probed again and the agent is back. */
static int submit_until_it_works(struct world *w, const char *request_id, const char **job)
{
    int rc = -1;

    for (int i = 0; i < 1000 && (rc = world_submit(w, request_id, job)) < 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    return rc;
}

static void a_full_store_refuses_and_recovers(void **state)
{
    const char *before, *job;
    Lt__V1__JobStatus *s;
    struct world w;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    world_make(&w);
    world_up(&w, true);
    before = world_running(&w, "before");
    world_do(&w, full, NULL);
    assert_true(world_submit(&w, "during", &job) < 0);
    assert_true(strlen(w.status.text) > 0);
    world_await(&w.sessions_lost, 1);
    assert_int_equal(world_get(&w, before, &s), 0); /* reading goes on */
    assert_int_equal(s->state, LT__V1__JOB_STATE__RUNNING);
    assert_true(world_submit(&w, "during", &job) < 0);
    limit_files(RLIM_INFINITY);
    assert_int_equal(submit_until_it_works(&w, "during", &job), 0);
    world_await(&w.welcomed, 2);
    world_await_state(&w, job, LT__V1__JOB_STATE__QUEUED); /* the first one has all cores */
    assert_int_equal(world_get(&w, before, &s), 0);
    world_down(&w);
    world_up(&w, true);
    assert_int_equal(world_get(&w, before, &s), 0);
    assert_int_equal(world_get(&w, job, &s), 0);
    world_down(&w);
    world_drop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_store_refuses_and_recovers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
