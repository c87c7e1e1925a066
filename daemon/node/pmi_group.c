/* pmi_group.c - when is a barrier over, and what may a get be told?
 *
 * Barrier n is over when every rank waits in it or is beyond it: a rank that was let out by an
 * earlier agent says so in its HELLO. A get of a key that isn't there waits until every rank has
 * come and sent again what it had put; only then the key is missing for certain.
 *
 * All ranks are on this node. With several nodes, `release` is where the local ranks' arrival goes
 * to the coordinator, and its answer comes back.
 */
#include "daemon/node/pmi_group.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/pmi.h"

#define KEYS_MAX 1048576
#define BYTES_MAX (256u << 20)

struct member {
    bool here, ended;
    uint64_t beyond;  /* barriers it has left */
    uint64_t waiting; /* in this one; 0: in none */
    uint64_t puts;    /* that are to come, before it is known */
    uint64_t get;     /* number of the get that waits; 0: none */
    char *key;
};

struct lt_pmi_group {
    char *job;
    uint32_t attempt, generation, world;
    struct member *member;
    struct lt_map *values;
    size_t bytes;
    lt_pmi_emit_fn *emit;
    void *user;
};

struct lt_pmi_group *lt_pmi_group_new(const char *job, uint32_t attempt, uint32_t generation,
                                      uint32_t world, lt_pmi_emit_fn *emit, void *user)
{
    struct lt_pmi_group *g = lt_calloc(1, sizeof *g);

    g->job = lt_strdup(job);
    g->attempt = attempt;
    g->generation = generation;
    g->world = world;
    g->member = lt_calloc(world, sizeof *g->member);
    g->values = lt_map_new(lt_free);
    g->emit = emit;
    g->user = user;
    return g;
}

void lt_pmi_group_free(struct lt_pmi_group *g)
{
    if (!g)
        return;
    for (uint32_t r = 0; r < g->world; r++)
        lt_free(g->member[r].key);
    lt_free(g->member);
    lt_map_free(g->values);
    lt_free(g->job);
    lt_free(g);
}

bool lt_pmi_group_is(const struct lt_pmi_group *g, const char *job, uint32_t attempt,
                     uint32_t generation)
{
    return strcmp(g->job, job) == 0 && g->attempt == attempt && g->generation == generation;
}

static void tell(struct lt_pmi_group *g, uint32_t rank, enum lt_pmi_kind kind, uint64_t seq,
                 const char *value)
{
    struct lt_pmi_msg m = {.kind = kind,
                           .job = g->job,
                           .attempt = g->attempt,
                           .generation = g->generation,
                           .rank = rank,
                           .world = g->world,
                           .seq = seq,
                           .value = value};

    g->emit(g->user, rank, &m);
}

/* ---- barriers */

/* Every rank of this node has come to barrier n. */
static void release(struct lt_pmi_group *g, uint64_t n)
{
    for (uint32_t r = 0; r < g->world; r++) {
        struct member *m = &g->member[r];

        if (m->waiting != n)
            continue;
        m->waiting = 0;
        m->beyond = n;
        tell(g, r, LT_PMI_OUT, n, NULL);
    }
}

static void look_at_barrier(struct lt_pmi_group *g, uint64_t n)
{
    for (uint32_t r = 0; r < g->world; r++) {
        const struct member *m = &g->member[r];

        if (!m->ended && m->beyond < n && m->waiting != n)
            return;
    }
    release(g, n);
}

static void look_at_barriers(struct lt_pmi_group *g)
{
    for (uint32_t r = 0; r < g->world; r++) {
        if (g->member[r].waiting)
            look_at_barrier(g, g->member[r].waiting);
    }
}

/* ---- key-values */

static bool all_are_known(const struct lt_pmi_group *g)
{
    for (uint32_t r = 0; r < g->world; r++) {
        const struct member *m = &g->member[r];

        if (!m->ended && (!m->here || m->puts > 0))
            return false;
    }
    return true;
}

static void look_at_get(struct lt_pmi_group *g, uint32_t rank, bool all)
{
    struct member *m = &g->member[rank];
    const char *value = m->get ? lt_map_get(g->values, m->key) : NULL;
    uint64_t get = m->get;

    if (!get || (!value && !all))
        return;
    m->get = 0;
    tell(g, rank, value ? LT_PMI_VALUE : LT_PMI_MISSING, get, value);
}

static void look_at_gets(struct lt_pmi_group *g)
{
    bool all = all_are_known(g);

    for (uint32_t r = 0; r < g->world; r++)
        look_at_get(g, r, all);
}

/* ---- messages */

static int take_hello(struct lt_pmi_group *g, struct member *m, const struct lt_pmi_msg *msg,
                      struct lt_error *err)
{
    (void)err;
    m->here = true;
    m->beyond = LT_MAX(m->beyond, msg->seq);
    m->puts = msg->puts;
    m->waiting = m->get = 0;
    look_at_barriers(g);
    look_at_gets(g);
    return 0;
}

static int take_put(struct lt_pmi_group *g, struct member *m, const struct lt_pmi_msg *msg,
                    struct lt_error *err)
{
    const char *old = lt_map_get(g->values, msg->key);

    g->bytes -= old ? strlen(old) : 0;
    if (lt_map_count(g->values) >= KEYS_MAX || g->bytes + strlen(msg->value) > BYTES_MAX)
        return lt_error_set(err, -E2BIG, "more was put than a job may");
    g->bytes += strlen(msg->value);
    lt_map_set(g->values, msg->key, lt_strdup(msg->value));
    if (m->puts > 0)
        m->puts--;
    look_at_gets(g);
    return 0;
}

static int take_get(struct lt_pmi_group *g, struct member *m, const struct lt_pmi_msg *msg,
                    struct lt_error *err)
{
    if (msg->seq == 0)
        return lt_error_set(err, -EPROTO, "a get without number");
    lt_free(m->key);
    m->key = lt_strdup(msg->key);
    m->get = msg->seq;
    look_at_get(g, msg->rank, all_are_known(g));
    return 0;
}

static int take_barrier(struct lt_pmi_group *g, struct member *m, const struct lt_pmi_msg *msg,
                        struct lt_error *err)
{
    if (msg->seq == 0)
        return lt_error_set(err, -EPROTO, "a barrier without number");
    m->waiting = msg->seq;
    if (m->beyond < msg->seq - 1) /* it left the one before, or it couldn't wait in this one */
        m->beyond = msg->seq - 1;
    look_at_barrier(g, msg->seq);
    return 0;
}

typedef int take_fn(struct lt_pmi_group *g, struct member *m, const struct lt_pmi_msg *msg,
                    struct lt_error *err);
static take_fn *const takes[LT_PMI_KIND_N] = {
    [LT_PMI_HELLO] = take_hello,
    [LT_PMI_PUT] = take_put,
    [LT_PMI_GET] = take_get,
    [LT_PMI_BARRIER] = take_barrier,
};

int lt_pmi_group_take(struct lt_pmi_group *g, const struct lt_pmi_msg *m, struct lt_error *err)
{
    if (!lt_pmi_group_is(g, m->job, m->attempt, m->generation))
        return lt_error_set(err, -ESTALE, "generation %u of %s is over", m->generation, m->job);
    if (m->rank >= g->world || (m->kind == LT_PMI_HELLO && m->world != g->world))
        return lt_error_set(err, -EPROTO, "rank %u of %u in a world of %u", m->rank, m->world,
                            g->world);
    if (!takes[m->kind] || (m->kind != LT_PMI_HELLO && !g->member[m->rank].here))
        return lt_error_set(err, -EPROTO, "a message that doesn't belong here");
    return takes[m->kind](g, &g->member[m->rank], m, err);
}

void lt_pmi_group_lost(struct lt_pmi_group *g, uint32_t rank)
{
    struct member *m = &g->member[rank];

    m->here = false;
    m->waiting = m->get = 0;
}

void lt_pmi_group_ended(struct lt_pmi_group *g, uint32_t rank)
{
    if (rank >= g->world)
        return;
    g->member[rank].ended = true;
    look_at_barriers(g);
    look_at_gets(g);
}
