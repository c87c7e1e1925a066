/* process.c - starts and asks lt-worker */
#include "tests/train/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/file.h"
#include "sys/paths.h"

char *attempt_make(struct rig *r, Lt__V1__JobSpec *spec, const char *checkpoint)
{
    Lt__V1__StartRank start = LT__V1__START_RANK__INIT;
    char *dir = lt_format("%s.attempt-%" PRIu32, r->run, ++r->attempt);
    LT_AUTO(lt_free) char *path = lt_format("%s/spec", dir);
    uint8_t *bytes;
    size_t n;

    start.job = (char *)(uintptr_t) "job-1";
    start.has_attempt = start.has_cpus = true;
    start.attempt = r->attempt;
    start.cpus = 1;
    start.spec = spec;
    start.run_dir = r->run;
    start.checkpoint = (char *)(uintptr_t)checkpoint;
    n = lt__v1__start_rank__get_packed_size(&start);
    bytes = lt_malloc(n);
    lt__v1__start_rank__pack(&start, bytes);
    assert_int_equal(lt_file_mkdirs(dir, 0755, NULL), 0);
    assert_int_equal(lt_file_replace(path, bytes, n, 0600, NULL), 0);
    lt_free(bytes);
    return dir;
}

static void become_worker(struct rig *r, const char *program, const char *arg, const char *backend,
                          int in, int out)
{
    LT_AUTO(lt_free) char *cache = lt_format("%s/xdg", r->dir);
    LT_AUTO(lt_free) char *log = lt_format("%s/out", r->dir);
    int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("LT_BACKEND", backend, 1);
    if (in >= 0)
        dup2(in, 0);
    dup2(out >= 0 ? out : err, 1);
    dup2(err, 2);
    execl(program, program, arg, (char *)NULL);
    _exit(127);
}

static pid_t start(struct rig *r, const char *arg, const char *backend, int in, int out)
{
    LT_AUTO(lt_free) char *program = lt_path_program("lt-worker");
    pid_t pid;

    assert_non_null(program);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become_worker(r, program, arg, backend, in, out);
    return pid;
}

pid_t worker_start(struct rig *r, const char *attempt, const char *backend)
{
    return start(r, attempt, backend, -1, -1);
}

int worker_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int worker_check(struct rig *r, const void *bytes, size_t n, const char *backend,
                 struct lt_buf *answer)
{
    LT_AUTO(lt_free) char *question = lt_format("%s/question", r->dir);
    LT_AUTO(lt_free) char *reply = lt_format("%s/answer", r->dir);
    int in, out, status;

    assert_int_equal(lt_file_replace(question, bytes, n, 0600, NULL), 0);
    in = open(question, O_RDONLY | O_CLOEXEC);
    out = open(reply, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    status = worker_wait(start(r, "--plan-only", backend, in, out));
    close(in);
    close(out);
    lt_buf_done(answer);
    assert_int_equal(lt_file_read(reply, 64 << 20, answer, NULL), 0);
    return status;
}
