/* watch.c - noticing that a shim ended, whoever started it
 *
 * A pidfd is readable when its process has ended, be it our child or one that an earlier agent
 * started. The pid comes from the folder; its identity (start time, boot) is compared after the
 * pidfd is there, so a reused pid is never taken for it. The lock decides: a shim without it is
 * gone.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/attempt.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/log.h"

static int pidfd_open_(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void on_watch_closed(uv_handle_t *h)
{
    struct lt_rank *r = h->data;

    lt_free(h);
    lt_rank_release(r);
}

void lt_rank_unwatch(struct lt_rank *r)
{
    if (!r->watch)
        return;
    uv_poll_stop(r->watch);
    uv_close((uv_handle_t *)r->watch, on_watch_closed);
    r->watch = NULL;
    close(r->pidfd);
    r->pidfd = -1;
}

static void on_gone(uv_poll_t *w, int status, int events)
{
    struct lt_rank *r = w->data;

    (void)status;
    (void)events;
    lt_rank_hold(r);
    lt_rank_unwatch(r);
    lt_rank_shim_gone(r);
    lt_rank_release(r);
}

/* Watches that very process. -ESRCH: it is gone. */
static int watch(struct lt_rank *r, const struct lt_identity *id)
{
    int fd = pidfd_open_(id->pid);

    if (fd < 0)
        return -errno;
    if (!lt_identity_alive(id)) {
        close(fd);
        return -ESRCH;
    }
    r->pidfd = fd;
    r->watch = lt_calloc(1, sizeof *r->watch);
    uv_poll_init(r->node->loop, r->watch, fd);
    r->watch->data = lt_rank_hold(r);
    uv_poll_start(r->watch, UV_READABLE, on_gone);
    return 0;
}

static void learn_worker(struct lt_rank *r)
{
    struct lt_identity id;

    if (r->worker > 0 || lt_attempt_read_identity(r->dir, "worker", &id, NULL) < 0)
        return;
    r->worker = id.pid;
    lt_rank_tell_started(r);
    lt_rank_signal_asked(r);
}

void lt_rank_watch(struct lt_rank *r)
{
    LT_AUTO(lt_free) char *lock = lt_attempt_path(r->dir, "lock");
    struct lt_identity id;
    int rc = -ENOENT;

    learn_worker(r);
    if (r->watch)
        return;
    if (lt_attempt_read_identity(r->dir, "shim", &id, NULL) == 0)
        rc = watch(r, &id);
    if (rc < 0 && !lt_lock_held(lock))
        lt_rank_shim_gone(r);
}

/* Without an exit record the worker should be dying with its shim: make sure, and wait for it. */
void lt_rank_shim_gone(struct lt_rank *r)
{
    struct lt_exit_record record;
    struct lt_identity worker;
    int rc;

    if (r->state == LT_RANK_ENDED)
        return;
    if (!r->gone_ns)
        r->gone_ns = lt_clock_mono_ns();
    rc = lt_attempt_read_exit(r->dir, &record, NULL);
    if (r->state == LT_RANK_RUNNING && lt_file_is_lack(rc))
        return; /* the tick asks again */
    if (rc < 0) {
        lt_rank_set_state(r, LT_RANK_ENDING);
        lt_rank_kill_all(r);
        lt_rank_end_peers(r);
        if (lt_attempt_read_identity(r->dir, "worker", &worker, NULL) == 0 &&
            watch(r, &worker) == 0)
            return;
    }
    lt_rank_ladder_stop(r);
    lt_rank_set_state(r, LT_RANK_ENDED);
    lt_rank_end_peers(r);
    lt_node_pmi_ended(r->node->pmi, r);
    lt_rank_cgroup_remove(r);
    lt_rank_tail(r);
    lt_node_reads_poke(r->node->reads);
}
