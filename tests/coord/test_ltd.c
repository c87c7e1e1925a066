/* test_ltd.c - the program itself: one per socket and state folder, configuration, signals, an
 * embedded one's end
 *
 * Coordinators alone: agents have tests of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "lt/v1/jobs.pb-c.h"
#include "rpc/client.h"
#include "sys/file.h"

extern char **environ;

struct place {
    char dir[64], socket[96], state[96], log[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    strcpy(p->dir, "/tmp/lt-ltd-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->socket, sizeof p->socket, "%s/sock", p->dir);
    snprintf(p->state, sizeof p->state, "%s/state", p->dir);
    snprintf(p->log, sizeof p->log, "%s/log", p->dir);
    setenv("XDG_RUNTIME_DIR", p->dir, 1);
    setenv("XDG_DATA_HOME", p->dir, 1);
    setenv("XDG_STATE_HOME", p->dir, 1);
    unsetenv("LTD_SOCKET");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    lt_file_remove_tree(p->dir, NULL);
    free(p);
    return 0;
}

/* ltd with these words (NULL-ended); its output goes to the log file, which is begun anew. */
static pid_t spawn(const struct place *p, const char *const *words)
{
    LT_AUTO(lt_free) char *program = lt_format("%s/daemon/main/ltd", getenv("LT_BUILD_ROOT"));
    const char *argv[16] = {program};
    posix_spawn_file_actions_t actions;
    pid_t pid;

    for (int i = 0; words[i]; i++)
        argv[i + 1] = words[i];
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, p->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    assert_int_equal(posix_spawn(&pid, program, &actions, NULL, (char *const *)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static int wait_exit(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool log_has(const struct place *p, const char *text)
{
    LT_BUF_AUTO log = {0};

    lt_file_read(p->log, 1u << 20, &log, NULL);
    return log.data && strstr(log.data, text);
}

static void await_log(const struct place *p, const char *text)
{
    for (int i = 0; i < 5000 && !log_has(p, text); i++)
        nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
    assert_true(log_has(p, text));
}

static pid_t start(const struct place *p)
{
    pid_t pid = spawn(p, (const char *const[]){"--socket", p->socket, "--state-dir", p->state,
                                               "--role", "coordinator", NULL});

    await_log(p, "ready on");
    return pid;
}

static int stop(pid_t pid)
{
    kill(pid, SIGTERM);
    return wait_exit(pid);
}

static void it_serves_until_it_is_told_to_end(void **state)
{
    const struct place *p = *state;
    LT_AUTO(lt_free) char *target = lt_format("unix:%s", p->socket);
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    LT_AUTO(lt_client_close) struct lt_client *c = NULL;
    Lt__V1__ListRequest q = LT__V1__LIST_REQUEST__INIT;
    struct lt_rpc_status status = {0};
    ProtobufCMessage *r;
    pid_t pid = start(p);

    assert_int_equal(lt_client_open(target, &c, NULL), 0);
    assert_int_equal(lt_client_call(c, "/lt.v1.Jobs/List", &q.base,
                                    &lt__v1__list_response__descriptor, 10000, arena, &r, &status),
                     0);
    assert_int_equal(stop(pid), 0);
    assert_int_equal(access(p->socket, F_OK), -1);
    assert_int_equal(lt_client_call(c, "/lt.v1.Jobs/List", &q.base,
                                    &lt__v1__list_response__descriptor, 10000, arena, &r, &status),
                     -ECONNREFUSED);
    lt_rpc_status_done(&status);
}

static void a_second_one_says_who_is_there(void **state)
{
    const struct place *p = *state;
    struct place second = *p;
    char other[120], who[32];
    pid_t pid = start(p);

    snprintf(who, sizeof who, "%d", (int)pid);
    snprintf(second.log, sizeof second.log, "%s/log2", p->dir);
    snprintf(other, sizeof other, "%s2", p->state);
    assert_int_equal(
        wait_exit(spawn(&second, (const char *const[]){"--socket", p->socket, "--state-dir", other,
                                                       "--role", "coordinator", NULL})),
        1);
    assert_true(log_has(&second, who) && log_has(&second, p->socket));
    snprintf(other, sizeof other, "%s2", p->socket);
    assert_int_equal(
        wait_exit(spawn(&second, (const char *const[]){"--socket", other, "--state-dir", p->state,
                                                       "--role", "coordinator", NULL})),
        1);
    assert_true(log_has(&second, who) && log_has(&second, p->state));
    assert_int_equal(stop(pid), 0);
}

static void what_a_killed_one_left_is_no_obstacle(void **state)
{
    const struct place *p = *state;
    pid_t pid = start(p);

    kill(pid, SIGKILL);
    assert_int_equal(wait_exit(pid), 128 + SIGKILL);
    assert_int_equal(access(p->socket, F_OK), 0);
    assert_int_equal(stop(start(p)), 0);
}

static void an_embedded_one_ends_when_there_is_nothing_to_do(void **state)
{
    const struct place *p = *state;
    char mark[120];
    pid_t pid;

    snprintf(mark, sizeof mark, "%s/embedded", p->state);
    pid = spawn(p, (const char *const[]){"--embedded", "--idle-exit", "1", "--socket", p->socket,
                                         "--state-dir", p->state, "--role", "coordinator", NULL});
    assert_int_equal(wait_exit(pid), 0);
    assert_true(log_has(p, "ready on") && log_has(p, "nothing to do"));
    assert_int_equal(access(mark, F_OK), 0);
    assert_int_equal(stop(start(p)), 0); /* one by hand: it isn't the clients' any more */
    assert_int_equal(access(mark, F_OK), -1);
}

static int with_config(const struct place *p, const char *text)
{
    char path[120];

    snprintf(path, sizeof path, "%s/ltd.yaml", p->dir);
    assert_int_equal(lt_file_replace(path, text, strlen(text), 0600, NULL), 0);
    return wait_exit(spawn(p, (const char *const[]){"--config", path, NULL}));
}

static void a_wrong_configuration_is_named(void **state)
{
    const struct place *p = *state;

    assert_int_equal(with_config(p, "socket: sock\nrol: agent\n"), 2);
    assert_true(log_has(p, "ltd.yaml:2:1") && log_has(p, "role"));
    assert_int_equal(with_config(p, "role: agent\n"), 2);
    assert_true(log_has(p, "--coordinator"));
    assert_int_equal(with_config(p, "log_level: loud\n"), 2);
    assert_int_equal(wait_exit(spawn(p, (const char *const[]){"--nonsense", NULL})), 2);
    assert_int_equal(wait_exit(spawn(p, (const char *const[]){"--help", NULL})), 0);
    assert_true(log_has(p, "--state-dir DIR"));
}

static void a_configuration_file_does_what_flags_do(void **state)
{
    const struct place *p = *state;
    const char *text =
        "socket: sock\nstate_dir: state\nrole: coordinator\nembedded: true\nidle_exit: 1\n";

    assert_int_equal(with_config(p, text), 0);
    assert_true(log_has(p, p->socket));
    assert_int_equal(access(p->state, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_serves_until_it_is_told_to_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_one_says_who_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_killed_one_left_is_no_obstacle, setup, teardown),
        cmocka_unit_test_setup_teardown(an_embedded_one_ends_when_there_is_nothing_to_do, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_wrong_configuration_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_configuration_file_does_what_flags_do, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
