/* cgroup.c - a group around a rank, where the node can make one: its memory limit, and all its processes
 *
 * The limit is the admitted number and some room: page cache and code count, too, and a rank that
 * keeps its promise must never be killed by it. It is there for the one that doesn't. A command that
 * reserved no memory has none, but its group, too, says what belongs to it: a process that gave
 * itself another environment carries no token (kill.c).
 *
 * A group can be removed when the kernel has let all its processes go, which takes a moment, or longer
 * where one waits for a disk. Nobody waits for that but the attempt's folder: it names the group, so it
 * goes after it, and an agent that is killed meanwhile leaves the next one something to go on with.
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
#define LEAVE_MS 60000 /* so long the kernel may take to let go of what was killed */
#define PAUSE_MOST_MS 1000
#define START_TRIES 100
#define START_PAUSE_NS 1000000

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

/* Who is listed is killed, and leaves it a moment later. -EBUSY: somebody is still inside. */
static int try_to_remove(struct lt_cgroup *g, struct lt_error *err)
{
    int rc = lt_cgroup_remove(g, err);

    if (rc == -EBUSY)
        lt_cgroup_kill_now(g);
    return rc;
}

/* ---- of a rank: on the loop, which doesn't wait for it */

struct lt_rank_group {
    uv_timer_t timer;
    struct lt_cgroup *group;
    struct lt_rank *rank;
    uint64_t waited_ms, pause_ms;
};

static void on_group_closed(uv_handle_t *h)
{
    struct lt_rank_group *l = h->data;

    lt_cgroup_free(l->group);
    lt_rank_release(l->rank);
    lt_free(l);
}

void lt_rank_cgroup_leave(struct lt_rank *r)
{
    if (!r->group)
        return;
    uv_timer_stop(&r->group->timer);
    uv_close((uv_handle_t *)&r->group->timer, on_group_closed);
    r->group = NULL;
}

static void group_over(struct lt_rank *r)
{
    lt_rank_cgroup_leave(r);
    r->group_over = true;
    if (r->removing)
        lt_rank_remove(r);
}

static void on_again(uv_timer_t *t)
{
    struct lt_rank_group *l = t->data;
    struct lt_rank *r = l->rank;
    struct lt_error err = {0};
    int rc = try_to_remove(l->group, &err);

    l->waited_ms += l->pause_ms;
    l->pause_ms = LT_MIN(2 * l->pause_ms, PAUSE_MOST_MS);
    if (rc == -EBUSY && l->waited_ms < LEAVE_MS) {
        uv_timer_start(t, on_again, l->pause_ms, 0);
        return;
    }
    if (rc < 0)
        lt_warning("agent: %s: %s", r->name, err.text);
    group_over(r);
}

static void remove_later(struct lt_rank *r, struct lt_cgroup *g)
{
    struct lt_rank_group *l = lt_calloc(1, sizeof *l);

    l->group = g;
    l->rank = lt_rank_hold(r);
    l->pause_ms = 1;
    uv_timer_init(r->node->loop, &l->timer);
    l->timer.data = l;
    r->group = l;
    uv_timer_start(&l->timer, on_again, l->pause_ms, 0);
}

bool lt_rank_cgroup_remove(struct lt_rank *r)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    struct lt_error err = {0};
    int rc;

    if (r->group || r->group_over)
        return r->group_over;
    if (!r->spec->cgroup || !r->spec->cgroup[0] || lt_cgroup_open(r->spec->cgroup, &g, NULL) < 0)
        return true;
    rc = try_to_remove(g, &err);
    if (rc == -EBUSY) {
        remove_later(r, LT_TAKE(g));
        return false;
    }
    if (rc < 0)
        lt_warning("agent: %s: %s", r->name, err.text);
    return true;
}

/* ---- of one that an earlier agent didn't get to start: before the loop turns */

void lt_node_cgroup_remove(const struct lt_node *n, const char *rank)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    LT_AUTO(lt_free) char *name = lt_format("ltd-%s", rank);
    struct lt_error err = {0};
    int rc = -EBUSY;

    if (lt_str_eq(n->inventory->memory_limits, lt_cgroup_kind_names[LT_CGROUP_NONE]) ||
        lt_cgroup_create(name, 0, &g, NULL) < 0) /* one that is there is taken over */
        return;
    for (int i = 0; rc == -EBUSY && i < START_TRIES; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){0, START_PAUSE_NS}, NULL);
        rc = try_to_remove(g, &err);
    }
    if (rc < 0)
        lt_warning("agent: %s: %s", rank, err.text);
}
