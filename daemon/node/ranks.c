/* ranks.c - the table of this node's ranks, and what an earlier agent left on disk
 *
 * Names are JOB.ATTEMPT.RANK: of the table's keys and of the folders. A folder in which nothing
 * ever ran (no lock held, no worker's identity, no exit record) is removed: the coordinator asks
 * again. Its lock is taken first, so that a shim which is still on its way finds it taken, or finds
 * no spec.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "proto/plan.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/lock.h"
#include "sys/log.h"
#include "sys/page.h"
#include "sys/paths.h"

#define SPEC_MAX (64u << 20)

static char *rank_name(const char *job, uint32_t attempt, uint32_t rank)
{
    return lt_format("%s.%u.%u", job, attempt, rank);
}

static struct lt_rank *insert(struct lt_node *n, struct lt_arena *arena, Lt__V1__StartRank *spec)
{
    struct lt_rank *r = lt_calloc(1, sizeof *r);

    r->node = n;
    r->refs = 1;
    r->pidfd = -1;
    r->arena = arena;
    r->spec = spec;
    r->name = rank_name(spec->job, spec->attempt, spec->rank);
    r->dir = lt_path_join(n->attempts_dir, r->name);
    lt_map_set(n->ranks, r->name, r);
    lt_node_hold(n);
    return r;
}

struct lt_rank *lt_rank_new(struct lt_node *n, const Lt__V1__StartRank *spec)
{
    struct lt_arena *arena = lt_arena_new(0);

    return insert(n, arena, (Lt__V1__StartRank *)lt_message_copy(&spec->base, arena));
}

struct lt_rank *lt_rank_find(struct lt_node *n, const char *job, uint32_t attempt, uint32_t rank)
{
    LT_AUTO(lt_free) char *name = rank_name(job, attempt, rank);

    return lt_map_get(n->ranks, name);
}

struct lt_rank *lt_rank_hold(struct lt_rank *r)
{
    r->refs++;
    return r;
}

void lt_rank_release(struct lt_rank *r)
{
    struct lt_node *n = r->node;

    if (--r->refs > 0)
        return;
    lt_page_unmap(r->page);
    lt_journal_reader_close(r->reader);
    lt_buf_done(&r->line);
    lt_free(r->reason);
    lt_free(r->stalled);
    lt_free(r->name);
    lt_free(r->dir);
    lt_arena_free(r->arena);
    lt_free(r);
    lt_node_release(n);
}

void lt_rank_drop(struct lt_rank *r)
{
    if (r->dropped)
        return;
    r->dropped = true;
    lt_rank_unwatch(r);
    lt_rank_ladder_stop(r);
    lt_rank_leave_shim(r);
    lt_rank_cgroup_leave(r);
    lt_map_remove(r->node->ranks, r->name);
    if (r->need) {
        lt_node_need_cancel(r->need);
        r->need = NULL;
        lt_rank_release(r);
    }
    lt_rank_release(r);
}

void lt_rank_remove(struct lt_rank *r)
{
    struct lt_error err = {0};

    r->removing = true;
    if (!lt_rank_cgroup_remove(r))
        return;
    if (lt_file_remove_tree(r->dir, &err) < 0)
        lt_warning("agent: %s", err.text);
    lt_rank_drop(r);
}

void lt_rank_set_state(struct lt_rank *r, enum lt_rank_state s)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "page");

    r->state = s;
    if (s != LT_RANK_RUNNING)
        return;
    if (!r->page)
        lt_page_map(path, &r->page,
                    NULL); /* without it there are no samples; the tick doesn't insist */
    lt_node_tick_start(r->node);
}

/* ---- what is on disk */

static int read_spec(const char *dir, struct lt_arena *arena, Lt__V1__StartRank **out,
                     struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(dir, "spec");
    LT_BUF_AUTO bytes = {0};
    ProtobufCMessage *m;
    int rc = lt_file_read(path, SPEC_MAX, &bytes, err);

    if (rc == 0)
        rc = lt_wire_decode(&lt__v1__start_rank__descriptor, bytes.data, bytes.len, arena, &m, err);
    if (rc < 0)
        return rc;
    *out = (Lt__V1__StartRank *)m;
    return (*out)->job && (*out)->run_dir
               ? 0
               : lt_error_set(err, -EPROTO, "%s: lacks job or run_dir", path);
}

/* Nothing ever ran in it, or what it says can't be read. False: it is in use. */
static bool remove_folder(const struct lt_node *n, const char *dir)
{
    LT_AUTO(lt_free) char *lock = lt_attempt_path(dir, "lock");
    struct lt_error err = {0};
    int fd = lt_lock_take(lock, &err);

    if (fd < 0 && fd != -ENOENT) {
        lt_warning("agent: %s stays: %s", dir, err.text);
        return false;
    }
    lt_node_cgroup_remove(n, strrchr(dir, '/') + 1);
    if (lt_file_remove_tree(dir, &err) < 0)
        lt_warning("agent: %s", err.text);
    if (fd >= 0)
        close(fd);
    return true;
}

static bool ever_ran(const char *dir)
{
    LT_AUTO(lt_free) char *worker = lt_attempt_path(dir, "worker");
    LT_AUTO(lt_free) char *done = lt_attempt_path(dir, "exit");

    return lt_file_exists(worker) || lt_file_exists(done);
}

static void adopt(struct lt_node *n, const char *dir)
{
    LT_AUTO(lt_free) char *lock = lt_attempt_path(dir, "lock");
    struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__StartRank *spec = NULL;
    struct lt_error err = {0};
    bool held = lt_lock_held(lock), readable = read_spec(dir, arena, &spec, &err) == 0;
    struct lt_rank *r;

    if (err.code)
        lt_warning("agent: %s", err.text);
    if (!readable || (!held && !ever_ran(dir))) {
        held = !remove_folder(n, dir); /* its shim may come just now */
        if (!readable || !held) {
            lt_arena_free(arena);
            return;
        }
    }
    r = insert(n, arena, spec);
    r->acked = r->acked_saved = lt_rank_read_ack(r);
    lt_rank_set_state(r, LT_RANK_RUNNING);
    if (held)
        lt_rank_watch(r);
    else
        lt_rank_shim_gone(r);
    if (r->state == LT_RANK_RUNNING)
        lt_rank_signal_again(r);
}

/* Those that died while there was no agent, or whose peers weren't in the table yet. */
static void end_peers_of_ended(struct lt_node *n)
{
    void *r;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &r);)
        if (((struct lt_rank *)r)->state > LT_RANK_RUNNING)
            lt_rank_end_peers(r);
}

int lt_ranks_scan(struct lt_node *n, struct lt_error *err)
{
    DIR *d = opendir(n->attempts_dir);
    const struct dirent *e;

    if (!d)
        return lt_error_set(err, -errno, "%s: %s", n->attempts_dir, strerror(errno));
    while ((e = readdir(d))) {
        LT_AUTO(lt_free) char *dir = lt_path_join(n->attempts_dir, e->d_name);

        if (e->d_name[0] != '.')
            adopt(n, dir);
    }
    closedir(d);
    end_peers_of_ended(n);
    return 0;
}
