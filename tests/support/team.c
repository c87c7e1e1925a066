/* team.c - collectives between threads
 *
 * Every rank shows its collective by number; when all have, each makes its own result aside, says
 * that it has read, and writes it once all have.
 */
#include "tests/support/team.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "engine/comm/impl.h"

#define WORLD_MAX 8

struct team {
    int world;
    _Atomic(struct lt_coll *) shown[WORLD_MAX];
    _Atomic uint64_t came[WORLD_MAX], read[WORLD_MAX]; /* newest collective a rank showed, has read */
    atomic_bool broken;
};

struct member {
    struct lt_comm comm;
    struct team *team;
    void (*fn)(void *arg, struct lt_comm *comm);
    void *arg;
    uint64_t seq;
    char *result;
    size_t bytes, cap;
    pthread_t thread;
};

static bool all_at(const struct team *t, const _Atomic uint64_t *marks, uint64_t seq)
{
    for (int r = 0; r < t->world; r++)
        if (atomic_load(&marks[r]) < seq)
            return false;
    return true;
}

static void gather(const struct team *t, const struct lt_coll *k, struct member *m)
{
    size_t n = lt_coll_count(k), size = lt_dtype_sizes[k->dtype];

    for (int r = 0; r < t->world; r++)
        memcpy(m->result + (size_t)r * n * size, lt_coll_parts(atomic_load(&t->shown[r]))->in,
               n * size);
    m->bytes = n * size * (size_t)t->world;
}

static void reduce(const struct team *t, const struct lt_coll *k, struct member *m)
{
    size_t n = lt_coll_count(k), size = lt_dtype_sizes[k->dtype];
    int terms = lt_coll_terms(k), n_src = 0;
    const void *src[LT_COLL_TERMS_MAX];
    char *room = malloc((size_t)(terms * t->world) * n * size + 1);

    for (int r = 0; r < t->world; r++)
        for (int i = 0; i < terms; i++, n_src++)
            src[n_src] = lt_coll_in(atomic_load(&t->shown[r]), i, 0, n,
                                    room + (size_t)n_src * n * size);
    lt_coll_reduce(k->dtype, k->op, src, n_src, m->result, n);
    m->bytes = n * size;
    free(room);
}

static void make_result(struct member *m, const struct lt_coll *k)
{
    size_t need = lt_coll_count(k) * 8 * (size_t)m->team->world + 1;

    if (need > m->cap)
        m->result = realloc(m->result, m->cap = need);
    m->bytes = 0;
    if (k->kind == LT_COLL_ALL_REDUCE) {
        reduce(m->team, k, m);
    } else if (k->kind == LT_COLL_ALL_GATHER) {
        gather(m->team, k, m);
    } else if (k->kind == LT_COLL_BROADCAST) {
        m->bytes = lt_coll_count(k) * lt_dtype_sizes[k->dtype];
        memcpy(m->result, lt_coll_parts(atomic_load(&m->team->shown[k->root]))->in, m->bytes);
    } else if (k->kind != LT_COLL_BARRIER) {
        abort();
    }
}

static int team_progress(struct lt_comm *c, struct lt_coll *k)
{
    struct member *m = c->own;
    struct team *t = m->team;

    if (atomic_load(&t->broken))
        return -EIO;
    if (!all_at(t, t->came, m->seq))
        return 0;
    if (atomic_load(&t->read[c->rank]) < m->seq) {
        make_result(m, k);
        atomic_store(&t->read[c->rank], m->seq);
    }
    if (!all_at(t, t->read, m->seq))
        return 0;
    if (k->kind == LT_COLL_ALL_GATHER)
        memcpy(lt_coll_parts(k)->out, m->result, m->bytes);
    else if (m->bytes)
        lt_coll_put(k, 0, lt_coll_count(k), m->result);
    return 1;
}

static int team_begin(struct lt_comm *c, struct lt_coll *k)
{
    struct member *m = c->own;

    m->seq++;
    atomic_store(&m->team->shown[c->rank], k);
    atomic_store(&m->team->came[c->rank], m->seq);
    return team_progress(c, k);
}

static const struct lt_comm_impl impl = {
    .name = "team", .begin = team_begin, .progress = team_progress};

static void *member_main(void *arg)
{
    struct member *m = arg;

    m->fn(m->arg, &m->comm);
    free(m->result);
    return NULL;
}

void team_run(int world, void (*fn)(void *arg, struct lt_comm *comm), void *arg)
{
    struct team team = {.world = world};
    struct member members[WORLD_MAX];

    memset(members, 0, sizeof members);
    for (int r = 0; r < world; r++) {
        struct member *m = &members[r];

        m->comm = (struct lt_comm){.impl = &impl, .rank = r, .world = world, .own = m};
        m->team = &team;
        m->fn = fn;
        m->arg = arg;
        pthread_create(&m->thread, NULL, member_main, m);
    }
    for (int r = 0; r < world; r++)
        pthread_join(members[r].thread, NULL);
}

void team_break(struct lt_comm *comm)
{
    atomic_store(&((struct member *)comm->own)->team->broken, true);
}
