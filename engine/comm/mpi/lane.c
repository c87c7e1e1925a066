/* lane.c - one chunk of a collective on its way
 *
 * Chunk j of a collective goes through lane j % LANES, and a message's tag is (phase, lane): so
 * messages between two ranks match whatever order the lanes' phases end in, because a lane's own
 * messages follow each other on both sides alike.
 *
 * The gather begins when every message of the exchange is over, sent ones too: in place, it writes
 * where the exchange read. What doesn't lie together (several parts, several terms) is packed into
 * the lane's memory; everything else is sent from and received where it lies.
 */
#include "engine/comm/mpi/lane.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/mem.h"

#define DIRECT_BYTES ((size_t)16 << 10) /* at most so much in all is sent to everybody at once */
#define SLACK ((size_t)16 << 10)        /* slices are rounded up to whole elements */

/* ---- memory */

static size_t lane_room(const struct mpi *m)
{
    return MPI_CHUNK + SLACK + (size_t)m->world * 16;
}

int mpi_lanes_open(struct mpi *m, struct lt_error *err)
{
    size_t room = lane_room(m);

    m->bytes = MPI_LANES * 3 * room;
    m->memory = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (m->memory == MAP_FAILED) {
        m->memory = NULL;
        return lt_error_set(err, -ENOMEM, "no room for %zu bytes of messages", m->bytes);
    }
    m->sources = lt_calloc(LT_MAX((size_t)m->world, (size_t)LT_COLL_TERMS_MAX), sizeof *m->sources);
    m->statuses = lt_calloc((size_t)m->world, 2 * sizeof *m->statuses);
    for (int i = 0; i < MPI_LANES; i++) {
        struct lane *l = &m->lane[i];

        l->index = i;
        l->received = m->memory + (size_t)(3 * i) * room;
        l->stage = l->received + room;
        l->mine = l->stage + room;
        l->requests = lt_calloc((size_t)m->world, 2 * sizeof(MPI_Request));
    }
    return 0;
}

void mpi_lanes_close(struct mpi *m)
{
    for (int i = 0; i < MPI_LANES; i++)
        lt_free(m->lane[i].requests);
    lt_free(m->statuses);
    lt_free(m->sources);
    if (m->memory)
        munmap(m->memory, m->bytes);
}

/* ---- slices of a chunk */

struct slice {
    size_t at, n;
};

/* Rank r's share of the lane's chunk. */
static struct slice slice_of(const struct mpi *m, const struct lane *l, int r)
{
    size_t w = (size_t)m->world, each = (l->n + w - 1) / w, from = (size_t)r * each;
    struct slice s;

    if (from > l->n)
        from = l->n;
    s.at = l->at + from;
    s.n = LT_MIN(each, l->n - from);
    return s;
}

static size_t slice_room(const struct mpi *m, const struct lane *l) /* elements */
{
    return (l->n + (size_t)m->world - 1) / (size_t)m->world;
}

static bool in_slices(const struct lt_coll *k)
{
    return k->kind == LT_COLL_ALL_REDUCE || k->kind == LT_COLL_BROADCAST;
}

/* Elements of a chunk, so that what is received fits a lane. */
static size_t chunk_elements(const struct mpi *m, const struct lt_coll *k)
{
    size_t size = lt_dtype_sizes[k->dtype], w = (size_t)m->world;
    size_t n = in_slices(k) ? MPI_CHUNK / (size * (size_t)lt_coll_terms(k)) / w * w
                            : MPI_CHUNK / size / w;

    return n ? n : in_slices(k) ? w : 1;
}

static bool is_direct(const struct mpi *m, const struct lt_coll *k)
{
    size_t all = m->total * lt_dtype_sizes[k->dtype];

    if (k->kind == LT_COLL_ALL_REDUCE)
        all *= (size_t)lt_coll_terms(k) * (size_t)m->world;
    return in_slices(k) && all <= DIRECT_BYTES;
}

/* ---- messages */

static int tag(const struct lane *l)
{
    return (l->state == LANE_GATHER) * MPI_LANES + l->index;
}

static int post_send(struct mpi *m, struct lane *l, int to, const void *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    m->sent += bytes;
    return MPI_Isend(data, (int)bytes, MPI_BYTE, to, tag(l), m->comm,
                     &l->requests[l->n_requests++]) == MPI_SUCCESS ? 0 : -EIO;
}

static int post_receive(struct mpi *m, struct lane *l, int from, void *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    return MPI_Irecv(data, (int)bytes, MPI_BYTE, from, tag(l), m->comm,
                     &l->requests[l->n_requests++]) == MPI_SUCCESS ? 0 : -EIO;
}

/* All of this rank's terms of a slice, one behind the other. */
static const void *terms_of(const struct lt_coll *k, struct slice s, char *room)
{
    size_t bytes = s.n * lt_dtype_sizes[k->dtype];

    if (lt_coll_terms(k) == 1)
        return lt_coll_in(k, 0, s.at, s.n, room);
    for (int t = 0; t < lt_coll_terms(k); t++) {
        char *to = room + (size_t)t * bytes;
        const void *from = lt_coll_in(k, t, s.at, s.n, to);

        if (bytes && from != to)
            memcpy(to, from, bytes);
    }
    return room;
}

/* ---- the exchange: one row of functions for each kind */

/* What I send to rank `to` and take from rank `from` in the exchange. */
typedef int exchange_fn(struct mpi *m, const struct lt_coll *k, struct lane *l, int peer);

static int exchange_reduce(struct mpi *m, const struct lt_coll *k, struct lane *l, int peer)
{
    size_t size = lt_dtype_sizes[k->dtype], terms = (size_t)lt_coll_terms(k);
    struct slice whole = {l->at, l->n}, mine = l->direct ? whole : slice_of(m, l, m->rank),
                 theirs = l->direct ? whole : slice_of(m, l, peer);
    size_t each = (l->direct ? l->n : slice_room(m, l)) * terms * size;
    char *room = l->direct ? l->stage : l->stage + (size_t)peer * each;
    int rc = post_receive(m, l, peer, l->received + (size_t)peer * each, mine.n * terms * size);

    return rc < 0 ? rc : post_send(m, l, peer, terms_of(k, theirs, room), theirs.n * terms * size);
}

static int exchange_broadcast(struct mpi *m, const struct lt_coll *k, struct lane *l, int peer)
{
    size_t size = lt_dtype_sizes[k->dtype];
    struct slice whole = {l->at, l->n};

    if (m->rank == k->root) {
        struct slice s = l->direct ? whole : slice_of(m, l, peer);
        char *room = l->stage + (l->direct ? 0 : (size_t)peer * slice_room(m, l) * size);

        return post_send(m, l, peer, lt_coll_in(k, 0, s.at, s.n, room), s.n * size);
    }
    if (peer == k->root) {
        struct slice s = l->direct ? whole : slice_of(m, l, m->rank);
        void *to = lt_coll_out(k, s.at, s.n);

        return post_receive(m, l, peer, to ? to : l->mine, s.n * size);
    }
    return 0;
}

static int exchange_blocks(struct mpi *m, const struct lt_coll *k, struct lane *l, int peer)
{
    size_t size = lt_dtype_sizes[k->dtype], bytes = l->n * size;
    size_t theirs = ((size_t)peer * k->one.count + l->at) * size;
    char *to = k->kind == LT_COLL_ALL_TO_ALL ? (char *)k->one.out + theirs
                                             : l->received + (size_t)peer * bytes;
    int rc = post_receive(m, l, peer, to, bytes);

    return rc < 0 ? rc : post_send(m, l, peer, (const char *)k->one.in + theirs, bytes);
}

static int exchange_all_gather(struct mpi *m, const struct lt_coll *k, struct lane *l, int peer)
{
    size_t size = lt_dtype_sizes[k->dtype], bytes = l->n * size;
    char *to = (char *)k->one.out + ((size_t)peer * k->one.count + l->at) * size;
    int rc = post_receive(m, l, peer, to, bytes);

    return rc < 0 ? rc : post_send(m, l, peer, (const char *)k->one.in + l->at * size, bytes);
}

/* ---- between the phases: what I have of my slice becomes the result */

typedef void combine_fn(struct mpi *m, const struct lt_coll *k, struct lane *l);

static void combine_reduce(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    size_t size = lt_dtype_sizes[k->dtype];
    struct slice whole = {l->at, l->n}, s = l->direct ? whole : slice_of(m, l, m->rank);
    size_t terms = (size_t)lt_coll_terms(k), each = (l->direct ? l->n : slice_room(m, l)) * terms;
    const char *own = terms_of(k, s, l->mine);
    void *out = lt_coll_out(k, s.at, s.n);
    int n = 0;

    for (int r = 0; r < m->world; r++) {
        const char *from = r == m->rank ? own : l->received + (size_t)r * each * size;

        for (size_t t = 0; t < terms; t++)
            m->sources[n++] = from + t * s.n * size;
    }
    lt_coll_reduce(k->dtype, k->op, m->sources, n, out ? out : l->mine, s.n);
    if (!out)
        lt_coll_put(k, s.at, s.n, l->mine);
}

static void combine_broadcast(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    struct slice whole = {l->at, l->n}, s = l->direct ? whole : slice_of(m, l, m->rank);

    if (m->rank != k->root) {
        if (!lt_coll_out(k, s.at, s.n))
            lt_coll_put(k, s.at, s.n, l->mine);
        return;
    }
    /* the root's own copy */
    lt_coll_put(k, l->at, l->n, lt_coll_in(k, 0, l->at, l->n, l->received));
}

static void combine_scatter(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    size_t size = lt_dtype_sizes[k->dtype], bytes = l->n * size;

    for (int r = 0; r < m->world; r++)
        m->sources[r] = r == m->rank
                            ? (const char *)k->one.in + ((size_t)r * k->one.count + l->at) * size
                            : l->received + (size_t)r * bytes;
    lt_coll_reduce(k->dtype, k->op, m->sources, m->world, (char *)k->one.out + l->at * size, l->n);
}

/* My own block. */
static void combine_copy(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    size_t size = lt_dtype_sizes[k->dtype];
    size_t block = ((size_t)m->rank * k->one.count + l->at) * size;
    const char *from = (const char *)k->one.in + (k->kind == LT_COLL_ALL_TO_ALL ? block
                                                                                : l->at * size);

    if (from != (char *)k->one.out + block)
        memmove((char *)k->one.out + block, from, l->n * size);
}

static const struct row {
    exchange_fn *exchange;
    combine_fn *combine;
    bool gather; /* a second phase, unless direct */
} rows[LT_COLL_N] = {
    [LT_COLL_ALL_REDUCE] = {exchange_reduce, combine_reduce, true},
    [LT_COLL_REDUCE_SCATTER] = {exchange_blocks, combine_scatter, false},
    [LT_COLL_ALL_GATHER] = {exchange_all_gather, combine_copy, false},
    [LT_COLL_BROADCAST] = {exchange_broadcast, combine_broadcast, true},
    [LT_COLL_ALL_TO_ALL] = {exchange_blocks, combine_copy, false},
};

/* ---- the gather: slices of the result to everybody */

static int post_gather(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    size_t size = lt_dtype_sizes[k->dtype], each = slice_room(m, l) * size;
    struct slice mine = slice_of(m, l, m->rank);
    const void *have = lt_coll_out(k, mine.at, mine.n);
    bool root = k->kind == LT_COLL_BROADCAST && m->rank == k->root;
    int rc = 0;

    if (root && !have) /* its own copy is spread; what was sent lies in the stage */
        have = lt_coll_in(k, 0, mine.at, mine.n, l->mine);
    for (int i = 1; i < m->world && rc == 0; i++) {
        int to = (m->rank + i) % m->world, from = (m->rank - i + m->world) % m->world;
        struct slice s = slice_of(m, l, from);
        void *into = lt_coll_out(k, s.at, s.n);

        if (!root)
            rc = post_receive(m, l, from, into ? into : l->received + (size_t)from * each,
                              s.n * size);
        if (rc == 0 && !(k->kind == LT_COLL_BROADCAST && to == k->root))
            rc = post_send(m, l, to, have ? have : l->mine, mine.n * size);
    }
    return rc;
}

static void end_gather(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    size_t each = slice_room(m, l) * lt_dtype_sizes[k->dtype];

    if (k->kind == LT_COLL_BROADCAST && m->rank == k->root)
        return;
    for (int r = 0; r < m->world; r++) {
        struct slice s = slice_of(m, l, r);

        if (r != m->rank && s.n && !lt_coll_out(k, s.at, s.n))
            lt_coll_put(k, s.at, s.n, l->received + (size_t)r * each);
    }
}

/* ---- lanes */

static int begin_lane(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    size_t most = chunk_elements(m, k);
    int rc = 0;

    l->direct = m->next == 0 && is_direct(m, k);
    l->at = m->next;
    l->n = LT_MIN(most, m->total - m->next);
    m->next += l->n;
    m->turn++;
    l->state = LANE_EXCHANGE;
    l->n_requests = 0;
    for (int i = 1; i < m->world && rc == 0; i++)
        rc = rows[k->kind].exchange(m, k, l, (m->rank + i) % m->world);
    return rc;
}

/* The lane's messages are all over. */
static int next_phase(struct mpi *m, const struct lt_coll *k, struct lane *l)
{
    const struct row *row = &rows[k->kind];

    l->n_requests = 0;
    if (l->state == LANE_GATHER) {
        end_gather(m, k, l);
        l->state = LANE_FREE;
        return 0;
    }
    row->combine(m, k, l);
    if (!row->gather || l->direct) {
        l->state = LANE_FREE;
        return 0;
    }
    l->state = LANE_GATHER;
    return post_gather(m, k, l);
}

static int advance(struct mpi *m, const struct lt_coll *k, struct lane *l, bool *moved)
{
    int done = 1;

    while (l->state != LANE_FREE && done) {
        int rc;

        if (MPI_Testall(l->n_requests, l->requests, &done, m->statuses) != MPI_SUCCESS)
            return -EIO;
        rc = done ? next_phase(m, k, l) : 0;
        if (rc < 0)
            return rc;
        *moved |= done != 0;
    }
    return 0;
}

void mpi_lanes_begin(struct mpi *m, const struct lt_coll *k)
{
    m->next = 0;
    m->turn = 0;
    m->total = lt_coll_count(k);
}

/* Lanes are taken in turn: chunk j is lane j % LANES on every rank. */
int mpi_lanes_progress(struct mpi *m, const struct lt_coll *k)
{
    bool moved = true, busy = false;

    while (moved) {
        moved = false;
        while (m->next < m->total && m->lane[m->turn % MPI_LANES].state == LANE_FREE) {
            int rc = begin_lane(m, k, &m->lane[m->turn % MPI_LANES]);

            if (rc < 0)
                return rc;
        }
        busy = false;
        for (int i = 0; i < MPI_LANES; i++) {
            int rc = advance(m, k, &m->lane[i], &moved);

            if (rc < 0)
                return rc;
            busy |= m->lane[i].state != LANE_FREE;
        }
        m->moves += moved;
    }
    return !busy && m->next >= m->total;
}
