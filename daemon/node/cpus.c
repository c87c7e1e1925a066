/* cpus.c - which processors a rank gets
 *
 * As many as its spec counts, the lowest that no other rank on this node holds: the same job on an
 * idle node gets the same ones each time, so that its measured choices hold. Cores are the
 * coordinator's resource; where it has allowed that they be shared, with other jobs or among the
 * job's ranks, the rank isn't bound.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/arena.h"
#include "daemon/node/internal.h"
#include "sys/cpuset.h"

#define CPUS_MAX 4096

struct cpus {
    int ids[CPUS_MAX];
    bool used[CPUS_MAX];
    int n;
};

static void mark(struct cpus *c, const char *list)
{
    for (const char *p = list; *p;) {
        char *end;
        long first = strtol(p, &end, 10), last = first;

        if (end == p)
            return;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (int i = 0; i < c->n; i++)
            c->used[i] |= c->ids[i] >= first && c->ids[i] <= last;
        p = *end == ',' ? end + 1 : end;
    }
}

static void mark_others(struct cpus *c, const struct lt_rank *self)
{
    void *p;

    for (size_t i = 0; lt_map_next(self->node->ranks, &i, NULL, &p);) {
        const struct lt_rank *r = p;

        if (r != self && r->state != LT_RANK_ENDED && r->spec->cpu_set)
            mark(c, r->spec->cpu_set);
    }
}

/* The first `want` free ones in list form; false: there are fewer. */
static bool pick(const struct cpus *c, uint32_t want, struct lt_buf *list)
{
    uint32_t got = 0;

    for (int i = 0; i < c->n && got < want; i++) {
        if (c->used[i])
            continue;
        lt_buf_printf(list, "%s%d", got ? "," : "", c->ids[i]);
        got++;
    }
    return got == want;
}

void lt_rank_assign_cpus(struct lt_rank *r)
{
    static struct cpus c; /* loop thread; too large for a stack frame */
    LT_BUF_AUTO list = {0};

    if (r->spec->shares_cpus)
        return;
    memset(&c, 0, sizeof c);
    c.n = lt_cpu_ids(c.ids, CPUS_MAX);
    if (c.n > CPUS_MAX)
        c.n = CPUS_MAX;
    mark_others(&c, r);
    if (r->spec->cpus && pick(&c, r->spec->cpus, &list))
        r->spec->cpu_set = lt_arena_strdup(r->arena, list.data);
}
