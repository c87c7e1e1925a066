/* test_lock.c - locks and identities, with real processes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/auto.h"
#include "base/error.h"
#include "sys/attempt.h"
#include "sys/lock.h"
#include "tests/support/tmp.h"

/* A child that dies with us, even when an assertion ends the test. */
static pid_t child(void)
{
    pid_t pid = fork();

    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* A child that takes the lock, says so through a pipe, and waits to be killed. */
static pid_t holder(const char *path)
{
    int ends[2];
    char c;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = child();
    if (pid == 0) {
        c = lt_lock_take(path, NULL) >= 0 ? 'y' : 'n';
        if (write(ends[1], &c, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void second_taker_learns_who_has_it(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "lock");
    struct lt_error err = {0};
    char want[32];
    pid_t pid;
    int fd;

    assert_false(lt_lock_held(path));
    pid = holder(path);
    assert_true(lt_lock_held(path));
    assert_int_equal(lt_lock_take(path, &err), -EWOULDBLOCK);
    snprintf(want, sizeof want, "process %d", (int)pid);
    assert_non_null(strstr(err.text, want));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_false(lt_lock_held(path));
    fd = lt_lock_take(path, &err);
    assert_true(fd >= 0);
    close(fd);
}

static void asking_does_not_take(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "lock");
    pid_t asker = child();

    if (asker == 0)
        for (;;)
            lt_lock_held(path);
    for (int i = 0; i < 200; i++) {
        int fd = lt_lock_take(path, NULL);

        assert_true(fd >= 0);
        close(fd);
    }
    kill(asker, SIGKILL);
    waitpid(asker, NULL, 0);
}

/* Killed just after a fork: the child has the lock until it execs, and isn't meant to. */
static void a_dead_holders_child_is_waited_for(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "lock");
    pid_t first = child();
    int fd;

    if (first == 0) {
        if (lt_lock_take(path, NULL) < 0)
            _exit(1);
        if (fork() == 0) {
            usleep(50000); /* on its way to exec */
        }
        _exit(0);
    }
    waitpid(first, NULL, 0);
    assert_true(lt_lock_held(path));
    fd = lt_lock_take(path, NULL);
    assert_true(fd >= 0);
    close(fd);
}

static void removed_lock_file_is_not_the_lock(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "lock");
    int first = lt_lock_take(path, NULL), second;

    unlink(path);
    second = lt_lock_take(path, NULL);
    assert_true(second >= 0);
    close(first);
    assert_true(lt_lock_held(path));
    close(second);
}

static void identity_ends_with_the_process(void **state)
{
    (void)state;
    pid_t pid = child();
    struct lt_identity id, other;
    siginfo_t info;

    if (pid == 0)
        for (;;)
            pause();
    assert_int_equal(lt_identity_of(pid, &id), 0);
    assert_true(lt_identity_alive(&id));
    other = id;
    other.start_ticks++;
    assert_false(lt_identity_alive(&other)); /* the number was used again */
    other = id;
    other.boot_id[0] ^= 1;
    assert_false(lt_identity_alive(&other));
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(lt_identity_alive(&id)); /* a zombie */
    waitpid(pid, NULL, 0);
    assert_false(lt_identity_alive(&id));
    assert_int_equal(lt_identity_of(pid, &id), -ESRCH);
}

static void *run_on(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void other_threads_keep_a_process_alive(void **state)
{
    (void)state;
    pid_t pid = child();
    struct lt_identity id;
    char path[40], *text = NULL;
    siginfo_t info;

    if (pid == 0) {
        pthread_t t;

        pthread_create(&t, NULL, run_on, NULL);
        pthread_exit(NULL);
    }
    assert_int_equal(lt_identity_of(pid, &id), 0);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    do { /* until the first thread has ended */
        free(text);
        text = lt_test_read(path, NULL);
    } while (!strstr(text, ") Z "));
    free(text);
    assert_true(lt_identity_alive(&id));
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(lt_identity_alive(&id));
    waitpid(pid, NULL, 0);
}

static void attempt_files_come_back(void **state)
{
    (void)state;
    const char *dir = lt_test_dir();
    struct lt_identity id;
    struct lt_exit_record out;
    static const struct lt_exit_record rows[] = {
        {false, 0, false, 0}, {false, 3, false, 17}, {true, 9, true, 0}, {true, 9, true, 1ull << 60}};

    assert_int_equal(lt_attempt_read_exit(dir, &out, NULL), -ENOENT);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(lt_attempt_write_exit(dir, &rows[i], NULL), 0);
        assert_int_equal(lt_attempt_read_exit(dir, &out, NULL), 0);
        assert_int_equal(out.signaled, rows[i].signaled);
        assert_int_equal(out.status, rows[i].status);
        assert_int_equal(out.oom, rows[i].oom);
        assert_true(out.at_ns == rows[i].at_ns);
    }
    assert_int_equal(lt_attempt_write_identity(dir, "worker", getpid(), NULL), 0);
    assert_int_equal(lt_attempt_read_identity(dir, "worker", &id, NULL), 0);
    assert_int_equal(id.pid, getpid());
    assert_true(lt_identity_alive(&id));
}

static void damaged_attempt_files_are_refused(void **state)
{
    (void)state;
    const char *dir = lt_test_dir();
    static const char *const exits[] = {"", "exit\n", "exit 1", "quit 1\n", "exit 1\nx", "signal 9\noom", "exit x\n",
                                        "exit 1\nat\n", "exit 1\nat 5", "exit 1\nat 5\nx"};
    static const char *const ids[] = {"", "1\n", "1 2 b", "1 2 b\nx", "-1 2 b\n", "x 2 b\n"};
    struct lt_exit_record e;
    struct lt_identity id;

    for (size_t i = 0; i < LT_ARRAY_LEN(exits); i++) {
        lt_test_write(lt_test_path(dir, "exit"), exits[i], strlen(exits[i]));
        assert_int_equal(lt_attempt_read_exit(dir, &e, NULL), -EPROTO);
    }
    for (size_t i = 0; i < LT_ARRAY_LEN(ids); i++) {
        lt_test_write(lt_test_path(dir, "shim"), ids[i], strlen(ids[i]));
        assert_int_equal(lt_attempt_read_identity(dir, "shim", &id, NULL), -EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_taker_learns_who_has_it),
        cmocka_unit_test(asking_does_not_take),
        cmocka_unit_test(a_dead_holders_child_is_waited_for),
        cmocka_unit_test(removed_lock_file_is_not_the_lock),
        cmocka_unit_test(identity_ends_with_the_process),
        cmocka_unit_test(other_threads_keep_a_process_alive),
        cmocka_unit_test(attempt_files_come_back),
        cmocka_unit_test(damaged_attempt_files_are_refused),
    };

    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
