/* shim.c - lt-shim ATTEMPT_DIR: the parent of one rank
 *
 * Single-threaded and tiny, because it must outlive everything above it. It holds the attempt's
 * lock for as long as it lives, starts the worker with the rank's log files as its stdout and
 * stderr (no copying process in between: docs/decisions/0003-logs-are-files.md), waits for it, and
 * writes the exit record before it lets the lock go. The worker dies with it (PR_SET_PDEATHSIG, set
 * between fork and exec, then getppid checked), and what a worker leaves behind is killed, so that
 * "lock free" means "nothing of this rank runs".
 *
 * A command (a program that isn't ours) gets an environment of its own, and on rank 0 a pipe for
 * metrics with a recorder behind it.
 *
 * stdout is the agent's: one line, then it is closed: `started PID`, `failed REASON`,
 * `unfit REASON` when it is the command's fault and trying again won't help, or `held REASON` when
 * another shim runs this attempt: an agent that was killed had started it.
 *
 * lt-shim --bound PID PROGRAM [ARGUMENT…] is something else, in the same tiny program: shim_bound.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/worker/command.h"
#include "engine/worker/shim_bound.h"
#include "engine/worker/shim_env.h"
#include "engine/worker/shim_leftovers.h"
#include "engine/worker/shim_peers.h"
#include "engine/worker/shim_recorder.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/log.h"
#include "sys/paths.h"

#define SPEC_MAX (64u << 20)
#define CHILDREN_MAX (1u << 20)

struct shim {
    const char *dir;
    struct lt_arena *arena;
    const Lt__V1__StartRank *spec;
    const char *worker;       /* program to run for plans; NULL: lt-worker beside us */
    int out, log;             /* the rank's stdout and stderr */
    struct lt_cgroup *own;    /* made for this rank by the agent; NULL: none */
    struct lt_cgroup *counts; /* where the kernel counts its out-of-memory kills: own, else the one
                                 we are in; NULL: nowhere */
    uint64_t oom_before;
    pid_t pid;
    int status; /* waitpid's, when over */
    bool over;
    struct lt_shim_recorder recorder;
    struct lt_shim_peers peers;
    bool unfit; /* the command can't be run as it is given */
    bool held;  /* another shim has the attempt's lock */
};

static const Lt__V1__Command *command_of(const struct shim *s)
{
    return s->spec->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND ? s->spec->spec->command : NULL;
}

static int read_spec(struct shim *s, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(s->dir, "spec");
    LT_BUF_AUTO bytes = {0};
    ProtobufCMessage *m;
    int rc = lt_file_read(path, SPEC_MAX, &bytes, err);

    if (rc < 0)
        return rc;
    s->arena = lt_arena_new(0);
    rc = lt_wire_decode(&lt__v1__start_rank__descriptor, bytes.data, bytes.len, s->arena, &m, err);
    if (rc < 0)
        return lt_error_prefix(err, "%s", path);
    s->spec = (const Lt__V1__StartRank *)m;
    if (!s->spec->job || !s->spec->run_dir || !s->spec->spec)
        return lt_error_set(err, -EPROTO, "%s: lacks job, run_dir or spec", path);
    return 0;
}

static int open_log(const struct shim *s, const char *suffix, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = lt_format("%s/logs/%u", s->spec->run_dir, s->spec->attempt);
    LT_AUTO(lt_free) char *path = lt_format("%s/%u.%s", dir, s->spec->rank, suffix);
    int rc = lt_file_make_dirs(dir, 0777, err);

    return rc < 0 ? rc : lt_file_open(path, O_WRONLY | O_APPEND | O_CREAT, 0666, err);
}

static int open_cgroups(struct shim *s, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = NULL;
    enum lt_cgroup_kind kind;

    if (s->spec->cgroup && s->spec->cgroup[0]) {
        int rc = lt_cgroup_open(s->spec->cgroup, &s->own, err);

        s->counts = s->own;
        return rc;
    }
    dir = lt_cgroup_own_dir("memory", &kind);
    if (dir && lt_cgroup_open(dir, &s->counts, NULL) < 0)
        s->counts = NULL;
    return 0;
}

static int prepare(struct shim *s, struct lt_error *err)
{
    LT_AUTO(lt_free) char *lock = lt_attempt_path(s->dir, "lock");
    LT_AUTO(lt_free) char *done = lt_attempt_path(s->dir, "exit");
    int rc = lt_lock_take(lock, err); /* never closed: the kernel lets it go when we die */

    s->held = rc == -EWOULDBLOCK;
    if (rc < 0)
        return rc;
    if (lt_file_exists(done))
        return lt_error_set(err, -EEXIST, "this attempt is over: %s exists", done);
    rc = read_spec(s, err);
    if (rc == 0)
        rc = open_cgroups(s, err);
    if (rc == 0)
        rc = lt_attempt_write_identity(s->dir, "shim", getpid(), err);
    if (rc < 0)
        return rc;
    s->out = open_log(s, "out", err);
    s->log = s->out < 0 ? -1 : open_log(s, "err", err);
    return s->out < 0 ? s->out : s->log < 0 ? s->log : 0;
}

/* ---- in the child */

static int set_affinity(const char *list, struct lt_error *err)
{
    cpu_set_t set;
    int rc = lt_shim_parse_cpus(list, &set, err);

    if (rc < 0)
        return rc;
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        return lt_error_set(err, -errno, "processors %s: %s", list, strerror(errno));
    return 0;
}

static void reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    for (int i = 1; i < SIGRTMAX; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int exec_worker(const struct shim *s, struct lt_error *err)
{
    LT_AUTO(lt_free) char *worker = s->worker ? lt_strdup(s->worker) : lt_path_program("lt-worker");
    char *argv[] = {worker, (char *)s->dir, NULL};

    lt_shim_peers_enter(&s->peers, s->spec);
    execv(worker, argv);
    return lt_error_set(err, -errno, "exec %s: %s", worker, strerror(errno));
}

/* What goes wrong here is the command's. */
static int exec_command(const struct shim *s, const Lt__V1__Command *c, struct lt_error *err)
{
    const char *dir = lt_command_dir(c, s->spec->run_dir);
    LT_AUTO(lt_free) char *program = NULL;
    char **argv = lt_calloc(c->n_argv + 1, sizeof *argv);
    int rc = lt_shim_command_env(s->spec, s->recorder.out, err);

    if (rc == 0)
        rc = lt_command_find(c, dir, &program, err);
    if (rc < 0)
        return rc;
    if (chdir(dir) < 0)
        return lt_error_set(err, -errno, "working_dir %s: %s", dir, strerror(errno));
    memcpy(argv, c->argv, c->n_argv * sizeof *argv);
    if (s->recorder.out >= 0)
        fcntl(s->recorder.out, F_SETFD, 0);
    lt_shim_peers_enter(&s->peers, s->spec);
    execv(program, argv);
    return lt_error_set(err, -errno, "exec %s: %s", program, strerror(errno));
}

static int become_rank(struct shim *s, pid_t shim, struct lt_error *err)
{
    const Lt__V1__Command *command = command_of(s);
    int null, rc;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return lt_error_set(err, -errno, "PR_SET_PDEATHSIG: %s", strerror(errno));
    if (getppid() != shim) /* it died before the line above */
        _exit(127);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* so that lt-stacks may look at it */
    setpgid(0, 0);
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->log, 2) < 0)
        return lt_error_set(err, -errno, "the rank's files: %s", strerror(errno));
    rc = s->own ? lt_cgroup_add(s->own, 0, err) : 0;
    if (rc < 0)
        return rc;
    if (s->spec->cpu_set && s->spec->cpu_set[0]) {
        rc = set_affinity(s->spec->cpu_set, err);
        if (rc < 0)
            return rc;
    }
    reset_signals();
    s->unfit = command;
    return command ? exec_command(s, command, err) : exec_worker(s, err);
}

/* ---- in the shim */

struct word {
    struct lt_error error;
    bool unfit;
};

/* Starts the rank; what goes wrong up to and with exec comes back through a pipe that exec closes.
 */
static int start(struct shim *s, struct lt_error *err)
{
    pid_t self = getpid();
    struct word word = {0};
    ssize_t n;
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return lt_error_set(err, -errno, "pipe: %s", strerror(errno));
    s->pid = fork();
    if (s->pid < 0)
        return lt_error_set(err, -errno, "fork: %s", strerror(errno));
    if (s->pid == 0) {
        become_rank(s, self, &word.error);
        word.unfit = s->unfit;
        n = write(fd[1], &word, sizeof word);
        _exit(n == sizeof word ? 127 : 126);
    }
    close(fd[1]);
    setpgid(s->pid, s->pid); /* here, too: whoever comes first */
    do
        n = read(fd[0], &word, sizeof word);
    while (n < 0 && errno == EINTR);
    close(fd[0]);
    if (n == 0)
        return lt_attempt_write_identity(s->dir, "worker", s->pid, err);
    waitpid(s->pid, NULL, 0);
    s->unfit = word.unfit;
    return n == sizeof word
               ? lt_error_set(err, word.error.code, "%s", word.error.text)
               : lt_error_set(err, -EIO, "the worker died before it was started");
}

/* SIGKILL to our children but the recorder; how many there were. */
static unsigned kill_children(const struct shim *s)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/self/task/%d/children", (int)getpid());
    LT_BUF_AUTO list = {0};
    unsigned n = 0;

    if (lt_file_read(path, CHILDREN_MAX, &list, NULL) < 0 || !list.data)
        return 0;
    for (char *save = NULL, *w = strtok_r(list.data, " \n", &save); w;
         w = strtok_r(NULL, " \n", &save)) {
        pid_t pid = (pid_t)strtol(w, NULL, 10);

        if (pid == s->recorder.pid)
            continue;
        kill(pid, SIGKILL);
        n++;
    }
    return n;
}

/* Waits for a child. An orphan of the rank's needs no more than that; a recorder is replaced. */
static pid_t reap(struct shim *s, int *status, int flags)
{
    int how = 0;
    pid_t pid;

    do
        pid = waitpid(-1, &how, flags);
    while (pid < 0 && errno == EINTR);
    if (pid > 0 && pid == s->recorder.pid)
        lt_shim_recorder_ended(&s->recorder, how);
    if (pid > 0 && status)
        *status = how;
    return pid;
}

/* What the rank left behind: its process group, its cgroup, and orphans, which come to us
 * (subreaper). */
static void sweep(struct shim *s)
{
    kill(-s->pid, SIGKILL);
    if (s->own)
        lt_cgroup_kill(s->own, NULL);
    while (kill_children(s) > 0)
        reap(s, NULL, 0);
    while (reap(s, NULL, WNOHANG) > 0)
        continue;
}

static uint64_t oom_kills(const struct shim *s)
{
    return s->counts ? lt_cgroup_oom_kills(s->counts) : 0;
}

/* The rank's own end; other children that have ended are reaped on the way. */
static bool is_over(void *arg)
{
    struct shim *s = arg;
    pid_t pid;

    do
        pid = reap(s, &s->status, WNOHANG);
    while (pid > 0 && pid != s->pid);
    s->over = pid < 0 || pid == s->pid;
    return s->over;
}

static int wait_and_record(struct shim *s, struct lt_error *err)
{
    struct lt_exit_record e = {0};
    int status;
    pid_t pid = s->pid;

    lt_shim_peers_serve(&s->peers, s->dir, is_over, s);
    while (!s->over && pid >= 0) {
        pid = reap(s, &s->status, 0);
        s->over = pid == s->pid;
    }
    status = s->status;
    e.at_ns = lt_clock_mono_ns();
    e.signaled = WIFSIGNALED(status);
    e.status = e.signaled ? WTERMSIG(status) : WEXITSTATUS(status);
    e.oom = e.signaled && e.status == SIGKILL && oom_kills(s) > s->oom_before;
    sweep(s);
    lt_shim_remove_leftovers(s->pid);
    lt_shim_recorder_finish(&s->recorder);
    return lt_attempt_write_exit(s->dir, &e, err);
}

static void report(const char *word, const char *text)
{
    LT_AUTO(lt_free) char *line = lt_format("%s %s\n", word, text);
    ssize_t n = write(1, line, strlen(line));
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)n; /* the agent may have died meanwhile: its successor reads our files */
    if (null >= 0)
        dup2(null, 1);
}

static int run(struct shim *s, struct lt_error *err)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    int rc;
    char pid[16];

    for (size_t i = 0; i < LT_ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    rc = prepare(s, err);
    if (rc < 0)
        return rc;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    rc = lt_shim_peers_open(&s->peers, s->spec, err);
    if (rc == 0 && command_of(s) && s->spec->rank == 0)
        rc = lt_shim_recorder_start(&s->recorder, s->dir, s->log, err);
    if (rc < 0)
        return rc;
    if (!command_of(s))
        lt_shim_set_env(s->spec, lt_shim_is_whole_machine(s->spec));
    s->oom_before = oom_kills(s);
    rc = start(s, err);
    lt_shim_recorder_leave_pipe(&s->recorder);
    if (rc < 0) {
        lt_shim_recorder_finish(&s->recorder);
        return rc;
    }
    close(s->out);
    close(s->log);
    snprintf(pid, sizeof pid, "%d", (int)s->pid);
    report("started", pid);
    return wait_and_record(s, err);
}

int main(int argc, char **argv)
{
    struct shim s = {.dir = argc > 1 ? argv[1] : NULL,
                     .worker = argc > 2 ? argv[2] : NULL,
                     .out = -1,
                     .log = -1,
                     .recorder = {.in = -1, .out = -1},
                     .peers = {.ours = -1, .rank = -1}};
    struct lt_error err = {0};
    int rc;

    if (argc >= 4 && strcmp(argv[1], "--bound") == 0)
        return lt_shim_bound_main(argv + 2);
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: lt-shim ATTEMPT_DIR [WORKER] | --bound PID PROGRAM [ARGUMENT…]\nStarted by ltd; not "
                        "for use by hand.\n");
        return 2;
    }
    lt_log_init("lt-shim", LT_LOG_INFO);
    rc = run(&s, &err);
    if (rc < 0) {
        lt_err("%s: %s", s.dir, err.text);
        report(s.unfit ? "unfit" : s.held ? "held" : "failed", err.text);
    }
    lt_shim_peers_close(&s.peers);
    lt_cgroup_free(s.own);
    if (s.counts != s.own)
        lt_cgroup_free(s.counts);
    lt_arena_free(s.arena);
    return rc < 0 ? 1 : 0;
}
