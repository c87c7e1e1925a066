/* ranks.c - starts ranks and serves them: engine/worker/shim_pmi.c and daemon/node/pmi_group.c back to
 * back, without sockets between them */
#include "tests/support/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/node/pmi_group.h"
#include "engine/comm/comm.h"
#include "engine/worker/shim_pmi.h"
#include "sys/clock.h"
#include "sys/page.h"
#include "sys/pmi.h"
#include "tests/support/tmp.h"

/* Without a collective that ended: only a deadlock reaches it. Four times that at a sanitizer's pace. */
#define TIMEOUT_S 60

struct rank {
    int fd; /* to its process; -1: closed */
    struct lt_shim_pmi *pmi;
    struct lt_buf from_agent;
};

struct world {
    struct lt_test_ranks *t;
    struct rank rank[LT_TEST_RANKS_MAX];
    struct lt_pmi_group *group;
    int messages, next_restart; /* so many more each time: what is sent again counts, too */
};

void *lt_test_shared(size_t bytes)
{
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                   0);

    if (p == MAP_FAILED)
        abort();
    return p;
}

/* ---- in the rank */

static volatile sig_atomic_t terminated;

static void on_term(int sig)
{
    (void)sig;
    terminated = 1;
}

static bool give_up(void *arg)
{
    (void)arg;
    return terminated;
}

static int be_rank(const struct lt_test_ranks *t, int rank, int fd)
{
    struct lt_comm_config c = {.kind = t->kind,
                               .rank = rank,
                               .world = t->world,
                               .page = t->page[rank],
                               .give_up = give_up};
    struct lt_comm *comm = NULL;
    struct lt_error err = {0};
    int rc;

    signal(SIGTERM, on_term);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(fd, F_SETFD, 0);
    lt_shim_pmi_env(fd, (uint32_t)rank, (uint32_t)t->world);
    if (t->argv) {
        execvp(t->argv[0], t->argv);
        perror(t->argv[0]);
        return 127;
    }
    if (t->kind && !t->kind[0])
        return t->fn(NULL, t->arg);
    if (lt_comm_open(&c, &comm, &err) < 0) {
        fprintf(stderr, "rank %d: %s\n", rank, err.text);
        return 4;
    }
    rc = t->fn(comm, t->arg);
    if (rc == 0 && lt_comm_barrier(comm, &err) < 0) {
        fprintf(stderr, "rank %d: %s\n", rank, err.text);
        return 5;
    }
    return rc;
}

/* ---- in the parent */

static void on_emit(void *user, uint32_t rank, const struct lt_pmi_msg *m)
{
    lt_pmi_print(m, &((struct world *)user)->rank[rank].from_agent);
}

static void start_agent(struct world *w)
{
    lt_pmi_group_free(w->group);
    w->group = lt_pmi_group_new("test", 1, 1, (uint32_t)w->t->world, on_emit, w);
    w->messages = 0;
    w->next_restart += w->t->restart_agent_every;
    for (int r = 0; r < w->t->world; r++) {
        w->rank[r].from_agent.len = 0;
        lt_shim_pmi_disconnected(w->rank[r].pmi);
        lt_shim_pmi_connected(w->rank[r].pmi);
    }
}

static void to_agent(struct world *w, struct rank *r)
{
    struct lt_buf *b = lt_shim_pmi_to_agent(r->pmi);
    LT_AUTO(lt_free) char *lines = lt_buf_take(b);
    char *save = NULL;

    for (char *l = strtok_r(lines, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        struct lt_pmi_msg m;
        struct lt_error err = {0};

        if (lt_pmi_parse(l, &m, &err) < 0 || lt_pmi_group_take(w->group, &m, &err) < 0) {
            fprintf(stderr, "agent: %s\n", err.text);
            abort();
        }
        if (++w->messages == w->next_restart) {
            start_agent(w);
            return;
        }
    }
}

/* Until nothing moves between the ranks' shims and the agent. */
static void exchange(struct world *w)
{
    bool moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < w->t->world; i++) {
            struct rank *r = &w->rank[i];

            if (lt_shim_pmi_to_agent(r->pmi)->len > 0) {
                moved = true;
                to_agent(w, r);
            }
        }
        for (int i = 0; i < w->t->world; i++) {
            struct rank *r = &w->rank[i];
            size_t n = r->from_agent.len;
            LT_AUTO(lt_free) char *text = lt_buf_take(&r->from_agent);

            moved |= n > 0;
            if (n > 0)
                lt_shim_pmi_from_agent(r->pmi, text, n);
        }
    }
}

static void to_ranks(struct world *w)
{
    for (int i = 0; i < w->t->world; i++) {
        struct lt_buf *b = lt_shim_pmi_to_rank(w->rank[i].pmi);

        if (b->len > 0 && w->rank[i].fd >= 0)
            (void)!send(w->rank[i].fd, b->data, b->len, MSG_NOSIGNAL);
        b->len = 0;
    }
}

static void read_rank(struct rank *r)
{
    char bytes[LT_PMI_LINE_MAX];
    size_t room = lt_shim_pmi_room(r->pmi);
    ssize_t n = recv(r->fd, bytes, LT_MIN(room, sizeof bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !lt_shim_pmi_from_rank(r->pmi, bytes, (size_t)n)) {
        close(r->fd);
        r->fd = -1;
    }
}

static void wait_a_little(struct world *w)
{
    struct pollfd p[LT_TEST_RANKS_MAX];

    for (int i = 0; i < w->t->world; i++) {
        const struct rank *r = &w->rank[i];

        p[i] = (struct pollfd){.fd = r->fd >= 0 && lt_shim_pmi_room(r->pmi) ? r->fd : -1,
                               .events = POLLIN};
    }
    poll(p, (nfds_t)w->t->world, w->t->meanwhile ? 1 : 5);
    for (int i = 0; i < w->t->world; i++) {
        if (p[i].revents)
            read_rank(&w->rank[i]);
    }
}

static int reap(struct world *w)
{
    struct lt_test_ranks *t = w->t;
    int left = 0;

    for (int i = 0; i < t->world; i++) {
        int status;

        if (t->pid[i] && waitpid(t->pid[i], &status, WNOHANG) == t->pid[i]) {
            t->status[i] = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            t->pid[i] = 0;
            if (t->status[i] == 0)
                lt_pmi_group_ended(w->group, (uint32_t)i);
            else if (t->first_status == 0)
                t->first_status = t->status[i];
        }
        left += t->pid[i] != 0;
    }
    return left;
}

static int start_rank(struct world *w, int i)
{
    struct lt_test_ranks *t = w->t;
    const struct lt_shim_pmi_config c = {.job = "test",
                                         .attempt = 1,
                                         .generation = 1,
                                         .rank = (uint32_t)i,
                                         .world = (uint32_t)t->world};
    const char *path;
    char name[16];
    int fd[2];

    snprintf(name, sizeof name, "page.%d", i);
    path = lt_test_path(lt_test_dir(), name);
    unlink(path);
    if (lt_page_create(path, &t->page[i], NULL) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return -errno;
    t->pid[i] = fork();
    if (t->pid[i] == 0)
        _exit(be_rank(t, i, fd[1]));
    close(fd[1]);
    w->rank[i].fd = fd[0];
    w->rank[i].pmi = lt_shim_pmi_new(&c);
    return t->pid[i] > 0 ? 0 : -errno;
}

static void kill_all(struct world *w)
{
    for (int i = 0; i < w->t->world; i++) {
        if (w->t->pid[i] > 0)
            kill(w->t->pid[i], SIGKILL);
    }
    while (reap(w) > 0)
        poll(NULL, 0, 1);
}

/* What the ranks have done together so far. */
static uint64_t collectives_done(const struct world *w)
{
    uint64_t sum = 0;

    for (int i = 0; i < w->t->world; i++)
        sum += atomic_load_explicit(&w->t->page[i]->collective_done, memory_order_relaxed);
    return sum;
}

static int serve(struct world *w)
{
    struct lt_test_ranks *t = w->t;
    double limit_s = (t->timeout_s > 0 ? t->timeout_s : TIMEOUT_S) * (getenv("LT_SANITIZED") ? 4 : 1);
    uint64_t limit = (uint64_t)(limit_s * 1e9);
    uint64_t end = lt_clock_mono_ns() + limit, done = 0, now;

    while (reap(w) > 0) {
        exchange(w);
        to_ranks(w);
        wait_a_little(w);
        exchange(w);
        to_ranks(w);
        if (t->meanwhile)
            t->meanwhile(t, t->meanwhile_arg);
        now = lt_clock_mono_ns();
        if (done != collectives_done(w)) {
            done = collectives_done(w);
            end = now + limit;
        }
        if (now > end) {
            kill_all(w);
            return -ETIMEDOUT;
        }
    }
    return 0;
}

int lt_test_ranks_run(struct lt_test_ranks *t)
{
    struct world w = {.t = t};
    int rc = 0;

    fflush(NULL);
    t->first_status = 0;
    for (int i = 0; i < t->world && rc == 0; i++)
        rc = start_rank(&w, i);
    if (rc == 0) {
        start_agent(&w);
        rc = serve(&w);
    } else {
        kill_all(&w);
    }
    for (int i = 0; i < t->world; i++) {
        if (w.rank[i].fd >= 0)
            close(w.rank[i].fd);
        lt_shim_pmi_free(w.rank[i].pmi);
        lt_buf_done(&w.rank[i].from_agent);
    }
    lt_pmi_group_free(w.group);
    return rc;
}

int lt_test_ranks(int world, int (*fn)(struct lt_comm *c, void *arg), void *arg)
{
    struct lt_test_ranks t = {.world = world, .fn = fn, .arg = arg};
    int rc = lt_test_ranks_run(&t);

    return rc < 0 ? rc : t.first_status;
}
