/* shm_move.c - chunks through shared memory
 *
 * A collective is cut into chunks that stay in cache, numbered over the life of the comm; all ranks
 * cut alike, so a number means the same everywhere. Of each chunk a rank
 *
 *   puts    what others need of it into its own slot             then in      = number
 *   reduces its slice over all ranks' slots, in rank order,      then reduced = number
 *           into the result's slot           (all_reduce only)
 *   takes   what it wants out of the slots                       then out     = number
 *
 * each step when every rank is far enough: reduce when all are in, take when all have reduced (are in,
 * where nothing is), put when all are out of the chunk that had the slot before. A rank that is early
 * does the next chunk's put meanwhile. A rank never copies its own slice. Small all_reduces have no
 * second step: everybody adds everything up, which is one meeting less, and the same bits.
 */
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/comm/shm.h"

#define SLEEP_NS 2000000
#define DIRECT_BYTES ((size_t)8 << 10) /* at most so much in all is added up by everybody */

/* ---- where things are */

static size_t slot_bytes(const struct shm *s)
{
    return (size_t)(s->areas - s->result) / SHM_SLOTS;
}

static char *slot_of(const struct shm *s, int rank, uint64_t number)
{
    return s->areas + ((size_t)rank * SHM_SLOTS + number % SHM_SLOTS) * slot_bytes(s);
}

static char *result_of(const struct shm *s, uint64_t number)
{
    return s->result + number % SHM_SLOTS * slot_bytes(s);
}

struct chunk {
    uint64_t number;
    size_t at, n; /* elements */
};

static struct chunk chunk_of(const struct shm *s, size_t i)
{
    struct chunk c = {.number = s->base + i + 1, .at = i * s->each};

    c.n = LT_MIN(s->each, s->total - c.at);
    return c;
}

/* Rank r's slice of a chunk: offset in it, and elements. */
static size_t slice_of(const struct shm *s, struct chunk c, int r, size_t *n)
{
    size_t each = (c.n + (size_t)s->world - 1) / (size_t)s->world, from = each * (size_t)r;

    from = LT_MIN(from, c.n);
    *n = LT_MIN(each, c.n - from);
    return from;
}

/* ---- marks */

static uint64_t mark_of(const struct shm_marks *m, enum shm_mark mark)
{
    const _Atomic uint64_t *at = mark == SHM_IN ? &m->in : mark == SHM_REDUCED ? &m->reduced : &m->out;

    return atomic_load_explicit(at, memory_order_acquire);
}

static bool all_are(struct shm *s, enum shm_mark mark, uint64_t number)
{
    uint64_t least = UINT64_MAX;

    if (s->seen[mark] >= number)
        return true;
    for (int r = 0; r < s->world; r++) {
        uint64_t m = mark_of(&s->marks[r], mark);

        if (m < number)
            return false;
        least = LT_MIN(least, m);
    }
    s->seen[mark] = least;
    return true;
}

/* ---- one row of functions for each kind */

static void copy(struct shm *s, void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    s->sent += bytes;
}

/* A stretch of each term into the slot, at the place it has in the chunk. */
static void put_terms(struct shm *s, const struct lt_coll *k, struct chunk c, size_t from, size_t n)
{
    size_t size = lt_dtype_sizes[k->dtype];

    for (int t = 0; n && t < lt_coll_terms(k); t++) {
        char *to = slot_of(s, s->rank, c.number) + ((size_t)t * c.n + from) * size;
        const void *in = lt_coll_in(k, t, c.at + from, n, to);

        if (in != to)
            memcpy(to, in, n * size);
        s->sent += n * size;
    }
}

static void put_reduce(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    size_t n, own = slice_of(s, c, s->rank, &n);

    if (s->direct) {
        put_terms(s, k, c, 0, c.n);
        return;
    }
    put_terms(s, k, c, 0, own);
    put_terms(s, k, c, own + n, c.n - own - n);
}

/* Sources of the sum over a stretch of the chunk, in order. */
static int sources_of(struct shm *s, const struct lt_coll *k, struct chunk c, size_t from, size_t n)
{
    size_t size = lt_dtype_sizes[k->dtype];
    int count = 0;

    for (int r = 0; r < s->world; r++) {
        for (int t = 0; t < lt_coll_terms(k); t++) {
            char *at = slot_of(s, r, c.number) + ((size_t)t * c.n + from) * size;

            s->sources[count++] = r == s->rank && !s->direct ? lt_coll_in(k, t, c.at + from, n, at)
                                                             : at;
        }
    }
    return count;
}

static void reduce_slice(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    size_t n, own = slice_of(s, c, s->rank, &n);
    char *to = result_of(s, c.number) + own * lt_dtype_sizes[k->dtype];

    lt_coll_reduce(k->dtype, k->op, s->sources, sources_of(s, k, c, own, n), to, n);
    lt_coll_put(k, c.at + own, n, to);
}

static void take_reduced(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    size_t size = lt_dtype_sizes[k->dtype];

    if (s->direct) {
        void *out = lt_coll_out(k, c.at, c.n);

        lt_coll_reduce(k->dtype, k->op, s->sources, sources_of(s, k, c, 0, c.n),
                       out ? out : s->scratch, c.n);
        if (!out)
            lt_coll_put(k, c.at, c.n, s->scratch);
        return;
    }
    for (int r = 0; r < s->world; r++) {
        size_t n, from = slice_of(s, c, r, &n);

        if (r != s->rank)
            lt_coll_put(k, c.at + from, n, result_of(s, c.number) + from * size);
    }
}

/* Blocks of `count` elements for each rank: of each the stretch that the chunk is. */
static void put_blocks(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    size_t size = lt_dtype_sizes[k->dtype];
    char *slot = slot_of(s, s->rank, c.number);

    for (size_t r = 0; r < (size_t)s->world; r++) {
        if (r != (size_t)s->rank)
            copy(s, slot + r * c.n * size,
                 (const char *)k->one.in + (r * k->one.count + c.at) * size, c.n * size);
    }
}

static void take_scattered(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    size_t size = lt_dtype_sizes[k->dtype], me = (size_t)s->rank;

    for (int r = 0; r < s->world; r++)
        s->sources[r] = r == s->rank
                            ? (const char *)k->one.in + (me * k->one.count + c.at) * size
                            : slot_of(s, r, c.number) + me * c.n * size;
    lt_coll_reduce(k->dtype, k->op, s->sources, s->world, (char *)k->one.out + c.at * size, c.n);
}

/* Everybody's block for me (all_to_all), or everybody's block (all_gather). */
static void take_blocks(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    size_t size = lt_dtype_sizes[k->dtype], bytes = c.n * size;
    bool gather = k->kind == LT_COLL_ALL_GATHER;

    for (int r = 0; r < s->world; r++) {
        size_t block = ((size_t)r * k->one.count + c.at) * size;
        char *to = (char *)k->one.out + block;
        const char *from = slot_of(s, r, c.number) + (gather ? 0 : (size_t)s->rank * bytes);

        if (r == s->rank)
            from = (const char *)k->one.in + (gather ? c.at * size : block);
        if (to != from)
            memmove(to, from, bytes);
    }
}

static void put_all(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    put_terms(s, k, c, 0, c.n);
}

static void put_root(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    if (s->rank == k->root)
        put_terms(s, k, c, 0, c.n);
}

static void take_root(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    const void *out = lt_coll_out(k, c.at, c.n);

    /* The root's own copy isn't made where it is in place (parts are so alike: put writes the same). */
    if (s->rank != k->root || !out || out != lt_coll_in(k, 0, c.at, c.n, s->scratch))
        lt_coll_put(k, c.at, c.n, slot_of(s, k->root, c.number));
}

static void nothing(struct shm *s, const struct lt_coll *k, struct chunk c)
{
    (void)s, (void)k, (void)c;
}

typedef void step_fn(struct shm *s, const struct lt_coll *k, struct chunk c);

static const struct row {
    step_fn *put, *reduce, *take; /* reduce: NULL, the step isn't there */
    bool blocks;                  /* a chunk is a stretch of each rank's block */
} rows[LT_COLL_N] = {
    [LT_COLL_ALL_REDUCE] = {put_reduce, reduce_slice, take_reduced, false},
    [LT_COLL_REDUCE_SCATTER] = {put_blocks, NULL, take_scattered, true},
    [LT_COLL_ALL_GATHER] = {put_all, NULL, take_blocks, false},
    [LT_COLL_BROADCAST] = {put_root, NULL, take_root, false},
    [LT_COLL_ALL_TO_ALL] = {put_blocks, NULL, take_blocks, true},
    [LT_COLL_BARRIER] = {nothing, NULL, nothing, false},
};

/* ---- steps */

/* Who sleeps has said so before it looked at the marks for the last time, and we look behind our
 * mark: one of us sees the other. */
static void mark(struct shm *s, _Atomic uint64_t *m, uint64_t number)
{
    atomic_store_explicit(m, number, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    for (int r = 0; r < s->world; r++) {
        struct shm_marks *other = &s->marks[r];

        if (r == s->rank || !atomic_load_explicit(&other->asleep, memory_order_relaxed))
            continue;
        atomic_store(&other->asleep, 0);
        atomic_fetch_add(&other->bell, 1);
        syscall(SYS_futex, &other->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

void shm_sleep(struct lt_comm *c)
{
    const struct shm *s = c->own;
    struct shm_marks *me = &s->marks[s->rank];
    const struct lt_coll *head = c->head;
    uint32_t bell = atomic_load(&me->bell);

    atomic_store(&me->asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
    lt_comm_poke(c);
    if (c->head && c->head == head)
        syscall(SYS_futex, &me->bell, FUTEX_WAIT, bell, &(struct timespec){0, SLEEP_NS}, NULL, 0);
    atomic_store(&me->asleep, 0);
}

static bool do_put(struct shm *s, const struct lt_coll *k)
{
    struct chunk c = chunk_of(s, s->put);

    if (s->put == s->chunks ||
        (c.number > SHM_SLOTS && !all_are(s, SHM_OUT, c.number - SHM_SLOTS)))
        return false;
    rows[k->kind].put(s, k, c);
    mark(s, &s->marks[s->rank].in, c.number);
    s->put++;
    return true;
}

static bool do_reduce(struct shm *s, const struct lt_coll *k)
{
    struct chunk c = chunk_of(s, s->reduced);

    if (s->direct || !rows[k->kind].reduce) {
        s->reduced = s->put;
        return false;
    }
    if (s->reduced == s->put || !all_are(s, SHM_IN, c.number))
        return false;
    rows[k->kind].reduce(s, k, c);
    mark(s, &s->marks[s->rank].reduced, c.number);
    s->reduced++;
    return true;
}

static bool do_take(struct shm *s, const struct lt_coll *k)
{
    struct chunk c = chunk_of(s, s->taken);
    bool reduces = rows[k->kind].reduce && !s->direct;

    if (s->taken == s->reduced || !all_are(s, reduces ? SHM_REDUCED : SHM_IN, c.number))
        return false;
    rows[k->kind].take(s, k, c);
    mark(s, &s->marks[s->rank].out, c.number);
    s->taken++;
    return true;
}

void shm_begin(struct shm *s, const struct lt_coll *k)
{
    size_t size = lt_dtype_sizes[k->dtype], terms = (size_t)lt_coll_terms(k);

    s->total = k->kind == LT_COLL_BARRIER ? 0 : lt_coll_count(k);
    s->each = SHM_CHUNK / (size * terms) / (rows[k->kind].blocks ? (size_t)s->world : 1);
    s->each = LT_MAX(s->each, (size_t)1);
    s->chunks = k->kind == LT_COLL_BARRIER ? 1 : (s->total + s->each - 1) / s->each;
    s->direct = k->kind == LT_COLL_ALL_REDUCE &&
                s->total * size * terms * (size_t)s->world <= DIRECT_BYTES;
    s->put = s->reduced = s->taken = 0;
}

bool shm_progress(struct shm *s, const struct lt_coll *k)
{
    bool moved = true;

    while (moved) {
        moved = do_put(s, k);
        moved |= do_reduce(s, k);
        moved |= do_take(s, k);
        s->moves += moved;
    }
    if (s->taken < s->chunks)
        return false;
    s->base += s->chunks;
    return true;
}
