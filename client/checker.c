/* checker.c - one process, its three pipes, and poll(2) */
#include "client/checker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/ctl.h"
#include "proto/wire.h"
#include "sys/paths.h"

#define ANSWER_MAX (64u << 20)

struct checker {
    pid_t pid;
    int in, out, err; /* our ends; -1: closed */
    struct lt_buf spec, answer, notes;
    size_t sent;
    bool terminal, shown;
};

static void become_worker(const char *program, int fd[3][2])
{
    char *argv[] = {(char *)program, (char *)"--plan-only", NULL};

    signal(SIGPIPE, SIG_DFL);
    if (dup2(fd[0][0], 0) < 0 || dup2(fd[1][1], 1) < 0 || dup2(fd[2][1], 2) < 0)
        _exit(126);
    execv(program, argv);
    fprintf(stderr, "exec %s: %s\n", program, strerror(errno));
    _exit(127);
}

static int start(struct checker *c, struct lt_error *err)
{
    LT_AUTO(lt_free) char *program = lt_path_program("lt-worker");
    int fd[3][2];

    for (int i = 0; i < 3; i++) {
        if (pipe2(fd[i], O_CLOEXEC) < 0)
            return lt_error_set(err, -errno, "pipe: %s", strerror(errno));
    }
    c->pid = fork();
    if (c->pid < 0)
        return lt_error_set(err, -errno, "fork: %s", strerror(errno));
    if (c->pid == 0)
        become_worker(program, fd);
    close(fd[0][0]);
    close(fd[1][1]);
    close(fd[2][1]);
    c->in = fd[0][1];
    c->out = fd[1][0];
    c->err = fd[2][0];
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    return 0;
}

static void close_end(int *fd)
{
    close(*fd);
    *fd = -1;
}

static void feed(struct checker *c)
{
    ssize_t n = write(c->in, c->spec.data + c->sent, c->spec.len - c->sent);

    if (n > 0)
        c->sent += (size_t)n;
    if ((n < 0 && errno != EAGAIN) || c->sent == c->spec.len)
        close_end(&c->in);
}

static void take(int *fd, struct lt_buf *into)
{
    char chunk[65536];
    ssize_t n = read(*fd, chunk, sizeof chunk);

    if (n > 0 && into->len < ANSWER_MAX)
        lt_buf_append(into, chunk, (size_t)n);
    else if (n <= 0)
        close_end(fd);
}

/* Whole lines: progress is shown, the rest goes through. */
static void show_notes(struct checker *c)
{
    char *line = c->notes.data, *end;

    while (line && (end = memchr(line, '\n', (size_t)(c->notes.data + c->notes.len - line)))) {
        *end = 0;
        if (lt_str_starts(line, "progress ") && c->terminal) {
            fprintf(stderr, "\r\033[K%s", line + strlen("progress "));
            c->shown = true;
        } else if (!lt_str_starts(line, "progress ")) {
            fprintf(stderr, "%s\n", line);
        }
        line = end + 1;
    }
    if (line) {
        c->notes.len -= (size_t)(line - c->notes.data);
        memmove(c->notes.data, line, c->notes.len);
    }
}

static void talk(struct checker *c)
{
    while (c->out >= 0 || c->err >= 0) {
        struct pollfd p[] = {{c->in, POLLOUT, 0}, {c->out, POLLIN, 0}, {c->err, POLLIN, 0}};

        if (poll(p, 3, -1) < 0 && errno != EINTR)
            break;
        if (c->in >= 0 && p[0].revents)
            feed(c);
        if (c->out >= 0 && p[1].revents)
            take(&c->out, &c->answer);
        if (c->err >= 0 && p[2].revents) {
            take(&c->err, &c->notes);
            show_notes(c);
        }
    }
    if (c->shown)
        fputs("\r\033[K", stderr);
}

static int finish(struct lt_ctl *ctl, struct checker *c, Lt__V1__CheckDone **out)
{
    struct lt_error err = {0};
    ProtobufCMessage *m;
    int status = 0;

    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status))
        return lt_ctl_fail(ctl, LT_EXIT_ERROR,
                           "lt-worker was killed by signal %d while it looked at the plan",
                           WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return lt_ctl_fail(ctl, LT_EXIT_ERROR,
                           "lt-worker ended with code %d while it looked at the plan",
                           WEXITSTATUS(status));
    if (lt_wire_decode(&lt__v1__check_done__descriptor, c->answer.data, c->answer.len, ctl->arena,
                       &m, &err) < 0)
        return lt_ctl_fail(ctl, LT_EXIT_ERROR, "lt-worker's answer can't be read: %s", err.text);
    *out = (Lt__V1__CheckDone *)m;
    return 0;
}

int lt_checker_run(struct lt_ctl *ctl, const Lt__V1__JobSpec *spec, Lt__V1__CheckDone **out)
{
    struct checker c = {.in = -1, .out = -1, .err = -1, .terminal = isatty(2)};
    struct lt_error err = {0};
    int rc;

    lt_buf_reserve(&c.spec, lt__v1__job_spec__get_packed_size(spec) + 1);
    c.spec.len = lt__v1__job_spec__pack(spec, (uint8_t *)c.spec.data);
    signal(SIGPIPE, SIG_IGN); /* a worker that dies early says so by its exit */
    rc = start(&c, &err) < 0 ? lt_ctl_fail(ctl, LT_EXIT_ERROR, "%s", err.text) : 0;
    if (rc == 0) {
        talk(&c);
        rc = finish(ctl, &c, out);
    }
    signal(SIGPIPE, SIG_DFL);
    lt_buf_done(&c.spec);
    lt_buf_done(&c.answer);
    lt_buf_done(&c.notes);
    return rc;
}
