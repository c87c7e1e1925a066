/* peers.c - one rank failed: the others of its generation on this node are killed
 *
 * They would wait in a collective for ever, or compute on for nothing. The coordinator decides alike
 * as soon as it hears of the exit, but it may be away, and then hears of all exits when it is back:
 * which of them was the first, and so the reason, their times say.
 *
 * Left alone are ranks whose peer ended well, and those of a command that was told to end: such
 * programs end as they like, within their grace.
 */
#include <stdint.h>

#include "daemon/node/internal.h"
#include "sys/log.h"
#include "sys/page.h"

static struct lt_rank *peer(const struct lt_rank *r, uint32_t rank)
{
    struct lt_rank *o = lt_rank_find(r->node, r->spec->job, r->spec->attempt, rank);

    return o && o->spec->generation == r->spec->generation ? o : NULL;
}

/* Any of them: they are told one after the other. */
static bool told_to_end(const struct lt_rank *r)
{
    for (uint32_t i = 0; i < r->spec->world_size; i++) {
        const struct lt_rank *o = peer(r, i);

        if (o && o->page &&
            (atomic_load(&o->page->command) & (LT_COMMAND_STOP | LT_COMMAND_CANCEL)))
            return true;
    }
    return false;
}

static bool ends_others(struct lt_rank *r)
{
    bool command = r->spec->spec && r->spec->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;

    return !r->bereft && r->spec->world_size > 1 && lt_rank_failed(r) &&
           !(command && told_to_end(r));
}

void lt_rank_end_peers(struct lt_rank *r)
{
    if (!ends_others(r))
        return;
    for (uint32_t i = 0; i < r->spec->world_size; i++) {
        struct lt_rank *o = peer(r, i);

        if (!o || o == r || o->bereft || o->state > LT_RANK_RUNNING)
            continue;
        lt_info("agent: %s is killed: %s failed", o->name, r->name);
        o->bereft = true;
        lt_rank_signal(o, LT__V1__RANK_SIGNAL__SIGNAL_KILL); /* o may be gone now */
    }
}
