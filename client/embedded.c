/* embedded.c - `ltd --embedded`: its own process session and log; it goes when idle for ten minutes
 *
 * Two callers may start one at the same moment: the second daemon finds the first one's lock and
 * exits, and its caller finds the first one's socket. <state>/embedded holds the socket of the last
 * daemon of that state, where that was an embedded one: jobs were there, so whoever asks for one
 * later, after idle minutes, a crash or a reboot, starts it again.
 */
#include "client/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/paths.h"

#define READY_NS 20000000000ull
#define AFTER_EXIT_NS 2000000000ull
#define POLL_NS 2000000
#define LOG_MAX (64u << 20)
#define TAIL 400

static void run_daemon(const char *program, const char *socket, const char *log)
{
    char *argv[] = {(char *)program, (char *)"--embedded", (char *)"--socket", (char *)socket,
                    NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    setsid();
    dup2(null, 0);
    dup2(out >= 0 ? out : null, 1);
    dup2(out >= 0 ? out : null, 2);
    if (chdir("/") == 0)
        execv(program, argv);
    dprintf(2, "exec %s: %s\n", program, strerror(errno));
    _exit(127);
}

static const char *last_words(const struct lt_buf *text)
{
    const char *at = text->data ? text->data : "";
    const char *p = text->len > TAIL ? text->data + text->len - TAIL : at;

    if (p != at && strchr(p, '\n'))
        p = strchr(p, '\n') + 1;
    return p;
}

static int died(const char *program, const char *log, int status, struct lt_error *err)
{
    LT_BUF_AUTO text = {0};

    lt_file_read(log, LOG_MAX, &text, NULL);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    return lt_error_set(
        err, -ECONNREFUSED, "%s couldn't be started (%s %d); its log %s ends with:\n%s", program,
        WIFSIGNALED(status) ? "signal" : "exit code",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), log, last_words(&text));
}

static int wait_ready(pid_t pid, const char *program, const char *socket, const char *log,
                      struct lt_error *err)
{
    const struct timespec pause = {0, POLL_NS};
    uint64_t deadline = lt_clock_mono_ns() + READY_NS;
    bool gone = false;
    int status = 0;

    while (!lt_embedded_answers(socket)) {
        if (!gone && waitpid(pid, &status, WNOHANG) == pid) {
            gone = true; /* perhaps because another one is coming up */
            deadline = lt_clock_mono_ns() + AFTER_EXIT_NS;
        }
        if (lt_clock_mono_ns() > deadline)
            return gone ? died(program, log, status, err)
                        : lt_error_set(err, -ETIMEDOUT, "%s doesn't answer at %s; see its log, %s",
                                       program, socket, log);
        nanosleep(&pause, NULL);
    }
    return 0;
}

int lt_embedded_start(const char *socket, bool say, struct lt_error *err)
{
    LT_AUTO(lt_free) char *program = lt_path_program("ltd");
    LT_AUTO(lt_free) char *state = lt_path_state_dir();
    LT_AUTO(lt_free) char *log = lt_path_join(state, "ltd.log");
    int rc = lt_file_mkdirs(state, 0700, err);
    pid_t pid;

    if (rc < 0)
        return rc;
    pid = fork();
    if (pid < 0)
        return lt_error_set(err, -errno, "fork: %s", strerror(errno));
    if (pid == 0)
        run_daemon(program, socket, log);
    rc = wait_ready(pid, program, socket, log, err);
    if (rc == 0 && say)
        lt_ctl_note(
            "started a daemon for you (ltd, pid %d, log %s); it ends when idle for 10 minutes",
            (int)pid, log);
    return rc;
}

bool lt_embedded_wanted(const char *socket)
{
    LT_AUTO(lt_free) char *state = lt_path_state_dir();
    LT_AUTO(lt_free) char *mark = lt_path_join(state, "embedded");
    LT_BUF_AUTO text = {0};

    if (lt_file_read(mark, 4096, &text, NULL) < 0 || !text.data)
        return false;
    text.data[strcspn(text.data, "\n")] = 0;
    return strcmp(text.data, socket) == 0;
}
