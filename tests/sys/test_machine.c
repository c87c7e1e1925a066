/* test_machine.c - clock, log, paths, digests, memory, CPUs, cgroups, service manager */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/cpuset.h"
#include "sys/log.h"
#include "sys/notify.h"
#include "sys/paths.h"
#include "sys/proc.h"
#include "sys/rss.h"
#include "sys/sha256.h"
#include "tests/support/tmp.h"

static void time_is_formatted_as_rfc3339(void **state)
{
    (void)state;
    char text[32];

    lt_clock_format(1769860800123456789ull, text);
    assert_string_equal(text, "2026-01-31T12:00:00.123Z");
    lt_clock_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

static void wall_clock_can_be_turned_back(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "offset");
    uint64_t real, turned, mono;

    lt_test_write(path, "-86400\n", 7);
    unsetenv("LT_CLOCK_OFFSET_FILE");
    real = lt_clock_wall_ns();
    mono = lt_clock_mono_ns();
    setenv("LT_CLOCK_OFFSET_FILE", path, 1);
    turned = lt_clock_wall_ns();
    assert_true(lt_clock_mono_ns() >= mono);
    unsetenv("LT_CLOCK_OFFSET_FILE");
    assert_true(turned < real - 86000ull * 1000000000u);
    assert_true(turned > real - 87000ull * 1000000000u);
}

static void a_log_message_is_one_line(void **state)
{
    (void)state;
    int ends[2], saved = dup(STDERR_FILENO);
    char text[512];
    ssize_t n;
    enum lt_log_level level;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    lt_log_init("part", LT_LOG_INFO);
    lt_debug("not shown");
    lt_warning("two\nlines %d", 3);
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    n = read(ends[0], text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "Z warning part: two lines 3\n"));
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    close(ends[0]);
    assert_int_equal(lt_log_level_parse("error", &level), 0);
    assert_int_equal(level, LT_LOG_ERROR);
    assert_int_equal(lt_log_level_parse("loud", &level), -EINVAL);
}

static void path_is(char *got, const char *want)
{
    assert_string_equal(got, want);
    lt_free(got);
}

static void paths_follow_xdg(void **state)
{
    (void)state;
    setenv("HOME", "/home/x", 1);
    unsetenv("XDG_STATE_HOME");
    path_is(lt_path_state_dir(), "/home/x/.local/state/ltd");
    setenv("XDG_STATE_HOME", "relative", 1); /* to be ignored, says the specification */
    path_is(lt_path_state_dir(), "/home/x/.local/state/ltd");
    setenv("XDG_STATE_HOME", "/s", 1);
    path_is(lt_path_state_dir(), "/s/ltd");
    setenv("XDG_RUNTIME_DIR", "/run/user/5", 1);
    path_is(lt_path_user_socket(), "/run/user/5/ltd/ltd.sock");
    path_is(lt_path_dirname("a/b"), "a");
    path_is(lt_path_dirname("/a/b//"), "/a");
    path_is(lt_path_dirname("/a"), "/");
    path_is(lt_path_dirname("/"), "/");
    path_is(lt_path_dirname("a"), ".");
    path_is(lt_path_join("a/", "b"), "a/b");
    path_is(lt_path_join("a", "b"), "a/b");
}

static void programs_are_searched_first_where_the_variable_says(void **state)
{
    (void)state;
    const char *dir = lt_test_dir(), *file = lt_test_path(dir, "lt-shim");
    char value[600];
    char *got;

    lt_test_write(file, "", 0);
    assert_int_equal(chmod(file, 0755), 0);
    snprintf(value, sizeof value, "/nowhere:%s:", dir);
    setenv("LT_PROGRAM_PATH", value, 1);
    path_is(lt_path_program("lt-shim"), file);
    unsetenv("LT_PROGRAM_PATH");
    got = lt_path_program("lt-shim");
    assert_true(lt_str_ends(got, "/libexec/ltd/lt-shim"));
    lt_free(got);
}

static void runtime_folder_must_be_ours_alone(void **state)
{
    (void)state;
    const char *dir = lt_test_path(lt_test_dir(), "run"), *link = lt_test_path(lt_test_dir(), "link");
    struct stat st;

    assert_int_equal(lt_path_make_runtime_dir(dir, NULL), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(lt_path_make_runtime_dir(dir, NULL), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(symlink(dir, link), 0);
    assert_int_equal(lt_path_make_runtime_dir(link, NULL), -ENOTDIR);
}

static void sha256_known_answer(void **state)
{
    (void)state;
    char hex[65];

    lt_sha256_hex_of("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    lt_sha256_hex_of("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void rss_counts_touched_memory(void **state)
{
    (void)state;
    const size_t size = 32u << 20;
    uint64_t before, after, total, available;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(lt_rss_of(0, &before), 0);
    memset(p, 1, size);
    assert_int_equal(lt_rss_of(getpid(), &after), 0);
    assert_true(after - before > size - (1u << 20));
#if !defined(__SANITIZE_THREAD__) /* keeps shadow pages of its own */
    assert_true(after - before < size + (4u << 20));
#endif
    munmap(p, size);
    assert_int_equal(lt_rss_of(0x3fffffff, &after), -ESRCH);
    assert_int_equal(lt_memory_of_machine(&total, &available), 0);
    assert_true(total > available && available > 0);
}

static void cpus(void **state)
{
    (void)state;
    int ids[1024], n = lt_cpu_ids(ids, 1024);
    char model[128];
    pid_t pid;
    int status;

    assert_true(n >= 1 && lt_cpu_usable() >= 1 && lt_cpu_usable() <= n);
    lt_cpu_model(model, sizeof model);
    assert_true(model[0] != '\0');
    pid = fork();
    if (pid == 0) {
        int only[1];

        _exit(lt_cpu_bind(&ids[n - 1], 1, NULL) == 0 && lt_cpu_ids(only, 1) == 1 &&
                      only[0] == ids[n - 1] && lt_cpu_usable() == 1
                  ? 0
                  : 1);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(lt_cpu_bind(NULL, 0, NULL), -EINVAL);
}

static void isa_can_be_capped(void **state)
{
    (void)state;
    enum lt_isa isa;

    setenv("LT_MAX_ISA", "sse41", 1);
    assert_true(lt_cpu_isa() <= LT_ISA_SSE41);
    unsetenv("LT_MAX_ISA");
    assert_int_equal(lt_isa_parse("avx512_core", &isa), 0);
    assert_int_equal(isa, LT_ISA_AVX512);
    assert_int_equal(lt_isa_parse("avx1024", &isa), -EINVAL);
#if defined(__x86_64__)
    assert_int_equal(lt_cpu_isa() >= LT_ISA_AVX2,
                     __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal(lt_cpu_isa() >= LT_ISA_AVX512,
                     __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#endif
}

static void notify_speaks_to_the_service_manager(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "notify");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    char text[64];
    ssize_t n;

    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(lt_notify("READY=1"), 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    assert_int_equal(lt_notify("READY=1"), 1);
    n = recv(fd, text, sizeof text, MSG_DONTWAIT);
    assert_int_equal(n, 7);
    assert_memory_equal(text, "READY=1", 7);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_int_equal(lt_notify("READY=1"), -EINVAL);
    unsetenv("NOTIFY_SOCKET");
    close(fd);
}

/* Touches more than its group may hold. */
static void hog(struct lt_cgroup *g)
{
    const size_t size = 64u << 20;
    char *p;

    if (lt_cgroup_add(g, 0, NULL) < 0)
        _exit(2);
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, size);
    _exit(0);
}

static void cgroup_limits_counts_and_kills(void **state)
{
    (void)state;
    char name[64];
    struct lt_cgroup *g = NULL, *again = NULL;
    struct lt_error err = {0};
    int status;
    pid_t pid;

    if (lt_cgroup_probe() == LT_CGROUP_NONE) {
        assert_int_equal(lt_cgroup_create("ltd-test", 16u << 20, &g, &err), -ENOTSUP);
        return; /* no memory controller that we may use */
    }
    snprintf(name, sizeof name, "ltd-test-%d", (int)getpid());
    assert_int_equal(lt_cgroup_create(name, 16u << 20, &g, &err), 0);
    assert_true(lt_cgroup_empty(g));
    pid = fork();
    if (pid == 0)
        hog(g);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(lt_cgroup_oom_kills(g) >= 1);

    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    assert_int_equal(lt_cgroup_add(g, pid, NULL), 0);
    assert_int_equal(lt_cgroup_remove(g, &err), -EBUSY);
    assert_int_equal(lt_cgroup_open(lt_cgroup_dir(g), &again, NULL), 0);
    assert_false(lt_cgroup_empty(again));
    lt_cgroup_kill(again, NULL); /* a zombie of ours may stay listed: the result is the signal */
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(lt_cgroup_remove(g, &err), 0);
    assert_int_equal(lt_cgroup_open(lt_cgroup_dir(g), &again, NULL), -ENOENT);
    lt_cgroup_free(again);
    lt_cgroup_free(g);
}

static void processes_are_seen_from_outside(void **state)
{
    int status, fd[2];
    struct lt_proc p;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fd), 0);
    pid = fork();
    if (pid == 0) {
        char c;

        close(fd[1]);
        _exit(read(fd[0], &c, 1) == 0 ? 0 : 1);
    }
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    assert_int_equal(lt_proc_look(pid, &p), 0);
    assert_int_equal(p.state, 'T');
    assert_string_equal(lt_proc_state_name(p.state), "stopped");
    kill(pid, SIGCONT);
    close(fd[0]);
    close(fd[1]);
    waitpid(pid, NULL, 0);
    assert_int_equal(lt_proc_look(pid, &p), -ESRCH);
    assert_int_equal(lt_proc_look(getpid(), &p), 0);
    assert_int_equal(p.state, 'R');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_are_seen_from_outside),
        cmocka_unit_test(time_is_formatted_as_rfc3339),
        cmocka_unit_test(wall_clock_can_be_turned_back),
        cmocka_unit_test(a_log_message_is_one_line),
        cmocka_unit_test(paths_follow_xdg),
        cmocka_unit_test(programs_are_searched_first_where_the_variable_says),
        cmocka_unit_test(runtime_folder_must_be_ours_alone),
        cmocka_unit_test(sha256_known_answer),
        cmocka_unit_test(rss_counts_touched_memory),
        cmocka_unit_test(cpus),
        cmocka_unit_test(isa_can_be_capped),
        cmocka_unit_test(notify_speaks_to_the_service_manager),
        cmocka_unit_test(cgroup_limits_counts_and_kills),
    };

    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
