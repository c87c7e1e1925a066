/* shim_peers.c - see shim_peers.h
 *
 * The rank has one end of a socket pair under the name that MPICH looks for; the shim answers on the
 * other (shim_pmi.c). It sleeps in poll meanwhile, so the end of a child comes as a descriptor, too.
 */
#include "engine/worker/shim_peers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/worker/shim_pmi.h"
#include "sys/attempt.h"

int lt_shim_peers_open(struct lt_shim_peers *p, const Lt__V1__StartRank *spec, struct lt_error *err)
{
    const struct lt_shim_pmi_config c = {.job = spec->job,
                                         .attempt = spec->attempt,
                                         .generation = spec->generation,
                                         .rank = spec->rank,
                                         .world = spec->world_size,
                                         .local_world = spec->local_world_size};
    int fd[2];

    p->ours = p->rank = -1;
    if (spec->world_size <= 1)
        return 0;
    if (!c.local_world || c.world % c.local_world)
        return lt_error_set(err, -EINVAL, "%u ranks, %u of them here: nodes have equal numbers",
                            c.world, c.local_world);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return lt_error_set(err, -errno, "socketpair: %s", strerror(errno));
    p->ours = fd[0];
    p->rank = fd[1];
    p->pmi = lt_shim_pmi_new(&c);
    return 0;
}

void lt_shim_peers_enter(const struct lt_shim_peers *p, const Lt__V1__StartRank *spec)
{
    if (!p->pmi)
        return;
    fcntl(p->rank, F_SETFD, 0);
    lt_shim_pmi_env(p->rank, spec->rank, spec->world_size);
}

struct wait {
    int wake;
    bool (*over)(void *arg);
    void *arg;
};

static bool ended(void *arg)
{
    const struct wait *w = arg;
    struct signalfd_siginfo info;

    while (w->wake >= 0 && read(w->wake, &info, sizeof info) > 0)
        continue;
    return w->over(w->arg);
}

void lt_shim_peers_serve(struct lt_shim_peers *p, const char *attempt_dir, bool (*over)(void *arg),
                         void *arg)
{
    LT_AUTO(lt_free) char *socket_path = lt_attempt_path(attempt_dir, "../../pmi");
    struct wait w = {.over = over, .arg = arg};
    sigset_t children;

    if (!p->pmi)
        return;
    close(p->rank);
    p->rank = -1;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL); /* before over() is first asked: none is missed */
    w.wake = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    if (w.wake < 0)
        return; /* the rank finds its socket closed, and ends */
    lt_shim_pmi_serve(p->pmi, p->ours, socket_path, w.wake, ended, &w);
    p->ours = -1;
    close(w.wake);
    sigprocmask(SIG_UNBLOCK, &children, NULL);
}

void lt_shim_peers_close(struct lt_shim_peers *p)
{
    if (p->ours >= 0)
        close(p->ours);
    if (p->rank >= 0)
        close(p->rank);
    lt_shim_pmi_free(p->pmi);
    *p = (struct lt_shim_peers){.ours = -1, .rank = -1};
}
