/* shim_recorder.c - see shim_recorder.h */
#include "engine/worker/shim_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/paths.h"

#define PIPE_BYTES (1 << 20) /* so much may wait while another recorder starts */
#define SECOND_NS 1000000000ull
#define FINISH_NS (10 * SECOND_NS)
#define PAUSE_NS 1000000

/* Its environment is the shim's: without the rank's token, so that what kills a rank spares it. */
static void become_recorder(const struct lt_shim_recorder *r, pid_t shim)
{
    LT_AUTO(lt_free) char *program = lt_path_program("lt-recorder");
    char *argv[] = {program, (char *)r->dir, NULL};
    int null = open("/dev/null", O_WRONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != shim || dup2(r->in, 0) < 0 || dup2(null, 1) < 0 || dup2(r->log, 2) < 0)
        _exit(127);
    execv(program, argv);
    lt_err("exec %s: %s", program, strerror(errno));
    _exit(127);
}

static int run(struct lt_shim_recorder *r, struct lt_error *err)
{
    pid_t self = getpid();

    r->began_ns = lt_clock_mono_ns();
    r->pid = fork();
    if (r->pid == 0)
        become_recorder(r, self);
    if (r->pid > 0)
        return 0;
    r->pid = 0;
    return lt_error_set(err, -errno, "fork: %s", strerror(errno));
}

int lt_shim_recorder_start(struct lt_shim_recorder *r, const char *attempt_dir, int log,
                           struct lt_error *err)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return lt_error_set(err, -errno, "pipe: %s", strerror(errno));
    fcntl(fd[0], F_SETPIPE_SZ, PIPE_BYTES); /* as much as we may; the default does, too */
    r->in = fd[0];
    r->out = fd[1];
    r->dir = attempt_dir;
    r->log = fcntl(log, F_DUPFD_CLOEXEC, 3);
    return run(r, err);
}

void lt_shim_recorder_ended(struct lt_shim_recorder *r, int status)
{
    uint64_t since = lt_clock_mono_ns() - r->began_ns;

    r->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    lt_warning("%s: its recorder ended; another one is started", r->dir);
    if (since < SECOND_NS)
        nanosleep(&(struct timespec){0, (long)(SECOND_NS - since)}, NULL);
    run(r, NULL); /* when that fails, what the command writes waits in the pipe */
}

void lt_shim_recorder_leave_pipe(struct lt_shim_recorder *r)
{
    if (r->out >= 0)
        close(r->out);
    r->out = -1;
}

/* No pidfd: it isn't everywhere, and this wait is short. */
void lt_shim_recorder_finish(struct lt_shim_recorder *r)
{
    uint64_t until = lt_clock_mono_ns() + FINISH_NS;

    if (r->pid <= 0)
        return;
    while (waitpid(r->pid, NULL, WNOHANG) == 0) {
        if (lt_clock_mono_ns() > until) {
            lt_warning("%s: its recorder doesn't end; killed", r->dir);
            kill(r->pid, SIGKILL);
            waitpid(r->pid, NULL, 0);
            break;
        }
        nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
    r->pid = 0;
}
