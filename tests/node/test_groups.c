/* test_groups.c - a rank's control group goes when the kernel lets it go, and nobody waits for that
 *
 * A process that version 1's freezer holds dies when it is thawed: it stands for those that take their time. What
 * version 2 freezes can be killed.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/cgroup.h"
#include "sys/file.h"
#include "sys/paths.h"
#include "tests/node/world.h"

#define STARTED LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED
#define FAILED_ LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED
#define GONE LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE
#define KILL LT__V1__RANK_SIGNAL__SIGNAL_KILL

static struct world w;
static size_t at;
static char *parent, *freezers; /* where groups are made */

/* ---- a process that is in a group and doesn't die before it is thawed */

static struct {
    pid_t pid;
    char *group, *freezer;
} guest;

static void put(const char *dir, const char *file, const char *text)
{
    LT_AUTO(lt_free) char *path = lt_path_join(dir, file);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static bool is_frozen(void)
{
    LT_AUTO(lt_free) char *path = lt_path_join(guest.freezer, "freezer.state");
    LT_BUF_AUTO text = {0};

    return lt_file_read(path, 64, &text, NULL) == 0 && text.len && strcmp(text.data, "FROZEN\n") == 0;
}

static void guest_comes(const char *job)
{
    LT_AUTO(lt_free) char *pid = NULL;

    guest.group = lt_format("%s/ltd-%s.1.0", parent, world_job(&w, job));
    guest.freezer = lt_format("%s/ltd-%s", freezers, world_job(&w, job));
    guest.pid = fork();
    if (guest.pid == 0)
        for (;;)
            pause();
    pid = lt_format("%d", (int)guest.pid);
    mkdir(guest.group, 0755); /* one that is there is taken over */
    assert_int_equal(mkdir(guest.freezer, 0755), 0);
    put(guest.group, "cgroup.procs", pid);
    put(guest.freezer, "cgroup.procs", pid);
    put(guest.freezer, "freezer.state", "FROZEN");
    while (!is_frozen())
        usleep(1000);
}

/* Whether it has been killed or not. */
static void guest_leaves(void)
{
    put(guest.freezer, "freezer.state", "THAWED");
    kill(guest.pid, SIGKILL);
    assert_int_equal(waitpid(guest.pid, NULL, 0), guest.pid);
    assert_int_equal(rmdir(guest.freezer), 0);
    lt_free(guest.freezer);
    guest.pid = 0;
}

static void group_goes(void)
{
    for (int i = 0; i < 1000 && lt_file_exists(guest.group); i++)
        world_spin(&w, 10);
    assert_false(lt_file_exists(guest.group));
    lt_free(guest.group);
}

/* ---- */

static int setup(void **state)
{
    (void)state;
    world_open(&w);
    at = 0;
    agent_start(&w);
    world_welcome(&w, &at);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (guest.pid)
        guest_leaves();
    world_close(&w);
    return 0;
}

static void agent_again(void)
{
    agent_kill(&w);
    at = w.n;
    agent_start(&w);
    world_welcome(&w, &at);
}

static void start_and_kill(const char *job)
{
    world_start_rank(&w, job, 1, "step hang");
    world_wait(&w, &at, STARTED, job);
    guest_comes(job);
    world_signal(&w, job, 1, KILL);
    assert_int_equal(world_wait(&w, &at, GONE, job)->rank_gone->exited->status, 128 + SIGKILL);
    assert_true(lt_file_exists(guest.group));
}

static void forget(const char *job)
{
    Lt__V1__ForgetAttempt m = LT__V1__FORGET_ATTEMPT__INIT;

    m.job = (char *)world_job(&w, job);
    m.has_attempt = true;
    m.attempt = 1;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET, &m);
}

static void folder_goes(const char *job)
{
    LT_AUTO(lt_free) char *dir = world_attempt_file(&w, job, "");

    for (int i = 0; i < 1000 && lt_file_exists(dir); i++)
        world_spin(&w, 10);
    assert_false(lt_file_exists(dir));
}

/* Its end is told, another rank comes and goes, and the group still isn't empty. */
static void nobody_waits_for_a_group(void **state)
{
    (void)state;
    start_and_kill("g1");
    world_start_rank(&w, "g2", 1, "finish");
    world_wait(&w, &at, GONE, "g2");
    assert_true(lt_file_exists(guest.group));
    guest_leaves();
    group_goes();
}

/* The folder that names the group is there as long as it. */
static void a_forgotten_ranks_folder_goes_behind_its_group(void **state)
{
    LT_AUTO(lt_free) char *spec = world_attempt_file(&w, "g3", "spec");

    (void)state;
    start_and_kill("g3");
    forget("g3");
    world_start_rank(&w, "g4", 1, "finish"); /* later than the forgetting, and carried out */
    world_wait(&w, &at, GONE, "g4");
    assert_true(lt_file_exists(spec));
    guest_leaves();
    group_goes();
    folder_goes("g3");
}

static void the_next_agent_goes_on_with_it(void **state)
{
    (void)state;
    start_and_kill("g5");
    forget("g5");
    world_start_rank(&w, "g6", 1, "finish");
    world_wait(&w, &at, GONE, "g6");
    agent_again();
    assert_int_equal(world_wait(&w, &at, GONE, "g5")->rank_gone->exited->status, 128 + SIGKILL);
    assert_true(lt_file_exists(guest.group));
    guest_leaves();
    group_goes();
    forget("g5");
    folder_goes("g5");
}

/* A start that failed is answered at once, and again when asked again, until its folder is gone. */
static void a_failed_start_is_answered_while_its_group_goes(void **state)
{
    (void)state;
    w.worker = "/nowhere/lt-worker";
    agent_again();
    guest_comes("g7");
    for (int i = 0; i < 2; i++) {
        world_start_rank(&w, "g7", 1, "finish");
        assert_non_null(strstr(world_wait(&w, &at, FAILED_, "g7")->start_failed->reason, "/nowhere/lt-worker"));
        assert_true(lt_file_exists(guest.group));
    }
    guest_leaves();
    group_goes();
    folder_goes("g7");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    enum lt_cgroup_kind kind = lt_cgroup_probe(), freezer = LT_CGROUP_NONE;
    const struct CMUnitTest tests[] = {
        TEST(nobody_waits_for_a_group),
        TEST(a_forgotten_ranks_folder_goes_behind_its_group),
        TEST(the_next_agent_goes_on_with_it),
        TEST(a_failed_start_is_answered_while_its_group_goes),
    };
    int rc;

    freezers = lt_cgroup_own_dir("freezer", &freezer);
    if (kind != LT_CGROUP_V1 || freezer != LT_CGROUP_V1 || access(freezers, W_OK) < 0) {
        printf("1..0 # SKIP memory groups here: %s, freezers: %s\n", lt_cgroup_kind_names[kind],
               lt_cgroup_kind_names[freezer]);
        lt_free(freezers);
        return 0;
    }
    parent = lt_cgroup_own_dir("memory", &kind);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    lt_free(parent);
    lt_free(freezers);
    return rc;
}
