/* cgroup.c - a group around a rank, where the node can make one: its memory limit, and all its processes
 *
 * The limit is the admitted number and some room: page cache and code count, too, and a rank that
 * keeps its promise must never be killed by it. It is there for the one that doesn't. A command that
 * reserved no memory has none, but its group, too, says what belongs to it: a process that gave
 * itself another environment carries no token (kill.c).
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"
#include "sys/cgroup.h"
#include "sys/log.h"

#define ROOM_LEAST (256u << 20)
#define LEAVE_TRIES 100
#define LEAVE_PAUSE_NS 1000000

void lt_rank_cgroup_make(struct lt_rank *r)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    LT_AUTO(lt_free) char *name = lt_format("ltd-%s", r->name);
    uint64_t memory = r->spec->memory_bytes;
    struct lt_error err = {0};

    if (lt_str_eq(r->node->inventory->memory_limits, lt_cgroup_kind_names[LT_CGROUP_NONE]))
        return;
    if (memory)
        memory += LT_MAX(memory / 4, (uint64_t)ROOM_LEAST);
    if (lt_cgroup_create(name, memory, &g, &err) < 0) {
        lt_warning("agent: %s runs without a control group: %s", r->name, err.text);
        return;
    }
    r->spec->cgroup = lt_arena_strdup(r->arena, lt_cgroup_dir(g));
}

/* Who was killed leaves it a moment later. */
static void remove_group(struct lt_cgroup *g, const char *name)
{
    struct lt_error err = {0};
    int rc = -EBUSY;

    lt_cgroup_kill(g, NULL);
    for (int i = 0; rc == -EBUSY && i < LEAVE_TRIES; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){0, LEAVE_PAUSE_NS}, NULL);
        rc = lt_cgroup_remove(g, &err);
    }
    if (rc < 0)
        lt_warning("agent: %s: %s", name, err.text);
}

void lt_rank_cgroup_remove(struct lt_rank *r)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;

    if (r->spec->cgroup && r->spec->cgroup[0] && lt_cgroup_open(r->spec->cgroup, &g, NULL) == 0)
        remove_group(g, r->name);
}

void lt_node_cgroup_remove(const struct lt_node *n, const char *rank)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    LT_AUTO(lt_free) char *name = lt_format("ltd-%s", rank);

    if (!lt_str_eq(n->inventory->memory_limits, lt_cgroup_kind_names[LT_CGROUP_NONE]) &&
        lt_cgroup_create(name, 0, &g, NULL) == 0) /* one that is there is taken over */
        remove_group(g, rank);
}
