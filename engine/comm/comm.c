/* comm.c - what every implementation has in common: choice, checks, queue, flight recorder, waits
 *
 * The queue is a list through the caller's collectives; only its head is worked on (impl.h). A
 * failed collective fails all behind it: the ranks can't be known to agree any more.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/impl.h"
#include "sys/clock.h"
#include "sys/page.h"

#define ASK_EVERY 256 /* polls between two questions whether to give up */
#define SPIN 64       /* polls before a wait gives its core away: peers are often that near */
#define PATIENCE_NS 200000 /* so long it polls and yields, then it sleeps */
#define PATIENCE_UNWOKEN_NS 2000000 /* where nobody wakes it: a nap makes the peer wait until it naps, too */
#define CROWDED_NS 20000   /* a yield that took so long: somebody else wants the core */
#define REMEMBER 500       /* naps before yielding is tried again */
#define NAP_NS 50000
#define MIB ((size_t)1 << 20)

const char *const lt_coll_names[LT_COLL_N] = {
    "all_reduce", "reduce_scatter", "all_gather", "broadcast", "all_to_all", "barrier",
};

/* What is built in, and what is loaded: with the package that it needs, and what it maps in a world
 * of W: bytes + W * bytes_per_rank. */
static const struct lt_comm_impl *const built_in[] = {&lt_comm_none, &lt_comm_null,
                                                     &lt_comm_shm};
static const struct plugin {
    const char *name, *package;
    size_t bytes, bytes_per_rank;
} plugins[] = {{"mpi", "libmpich12", 32 * MIB, 4 * MIB}};

/* ---- choice */

static const char *kind_of(const struct lt_comm_config *c)
{
    if (c->kind && c->kind[0])
        return c->kind;
    if (c->world <= 1)
        return "none";
    return !c->local_world || c->local_world == c->world ? "shm" : "mpi";
}

static int find(struct lt_comm *c, const char *kind, struct lt_error *err)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(built_in); i++) {
        if (strcmp(built_in[i]->name, kind) == 0) {
            c->impl = built_in[i];
            return 0;
        }
    }
    for (size_t i = 0; i < LT_ARRAY_LEN(plugins); i++) {
        if (strcmp(plugins[i].name, kind) == 0)
            return lt_comm_plugin_load(c, kind, plugins[i].package, err);
    }
    return lt_error_set(err, -EINVAL, "there are no collectives of the kind '%s'", kind);
}

static int check_config(const struct lt_comm_config *c, struct lt_error *err)
{
    if (c->world < 1 || c->rank < 0 || c->rank >= c->world)
        return lt_error_set(err, -EINVAL, "rank %d of %d", c->rank, c->world);
    if (c->world > 1 && strcmp(kind_of(c), "none") == 0)
        return lt_error_set(err, -EINVAL, "collectives 'none' are for one rank, not %d", c->world);
    return 0;
}

size_t lt_comm_bytes(const struct lt_comm_config *c)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(plugins); i++) {
        if (strcmp(plugins[i].name, kind_of(c)) == 0)
            return plugins[i].bytes + (size_t)c->world * plugins[i].bytes_per_rank;
    }
    return strcmp(kind_of(c), "shm") == 0 ? lt_comm_shm_bytes(c) : 0;
}

int lt_comm_open(const struct lt_comm_config *config, struct lt_comm **out, struct lt_error *err)
{
    struct lt_comm *c;
    int rc = check_config(config, err);

    if (rc < 0)
        return rc;
    c = lt_calloc(1, sizeof *c);
    c->config = *config;
    c->rank = config->rank;
    c->world = config->world;
    rc = find(c, kind_of(config), err);
    if (rc == 0 && c->impl->open)
        rc = c->impl->open(c, err);
    if (rc < 0) {
        lt_comm_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

int lt_comm_check(const struct lt_comm_config *config, struct lt_error *err)
{
    struct lt_comm c = {.config = *config};
    int rc = check_config(config, err);

    return rc < 0 ? rc : find(&c, kind_of(config), err);
}

int lt_comm_versions(const struct lt_comm_config *config, struct lt_comm_versions *out,
                     struct lt_error *err)
{
    struct lt_comm c = {.config = *config};
    int rc = find(&c, kind_of(config), err);

    *out = (struct lt_comm_versions){.mpich = "none", .ucx = "none"};
    if (rc == 0 && c.impl->versions)
        c.impl->versions(out);
    return rc;
}

/* A plug-in's code stays mapped: its library may have handlers for the end of the process. */
void lt_comm_close(struct lt_comm *c)
{
    if (!c)
        return;
    if (c->impl && c->impl->close)
        c->impl->close(c);
    lt_free(c);
}

const char *lt_comm_kind(const struct lt_comm *c)
{
    return c->impl->name;
}

int lt_comm_rank(const struct lt_comm *c)
{
    return c->rank;
}

int lt_comm_world(const struct lt_comm *c)
{
    return c->world;
}

void lt_comm_stats(const struct lt_comm *c, struct lt_comm_stats *out)
{
    *out = c->stats;
}

/* ---- flight recorder */

static void record_start(const struct lt_comm *c, const struct lt_coll *k)
{
    if (c->config.page)
        lt_page_collective_start(c->config.page, k->own.seq, k->name ? k->name : "",
                                 lt_coll_names[k->kind], k->own.bytes, lt_clock_mono_ns());
}

static void record_done(const struct lt_comm *c, const struct lt_coll *k)
{
    if (c->config.page)
        lt_page_collective_done(c->config.page, k->own.seq);
}

/* ---- the queue */

static int check(const struct lt_comm *c, const struct lt_coll *k, struct lt_error *err)
{
    const char *name = (unsigned)k->kind < LT_COLL_N ? lt_coll_names[k->kind] : "collective";
    bool adds = k->kind == LT_COLL_ALL_REDUCE || k->kind == LT_COLL_REDUCE_SCATTER;

    if ((unsigned)k->kind >= LT_COLL_N || (unsigned)k->dtype >= LT_DTYPE_N)
        return lt_error_set(err, -EINVAL, "%s: no such kind or type", name);
    if (adds && !lt_coll_reduces(k->dtype, k->op))
        return lt_error_set(err, -EINVAL, "%s: %s can't be reduced so", name,
                            lt_dtype_names[k->dtype]);
    if (k->parts && k->kind != LT_COLL_ALL_REDUCE && k->kind != LT_COLL_BROADCAST)
        return lt_error_set(err, -EINVAL, "%s: takes one part", name);
    if (k->terms > 1 && (k->kind != LT_COLL_ALL_REDUCE || k->terms > LT_COLL_TERMS_MAX / c->world))
        return lt_error_set(err, -EINVAL, "%s: %d terms", name, k->terms);
    if (k->kind == LT_COLL_BROADCAST && (k->root < 0 || k->root >= c->world))
        return lt_error_set(err, -EINVAL, "%s: root %d of %d ranks", name, k->root, c->world);
    return 0;
}

static uint64_t bytes_of(const struct lt_comm *c, const struct lt_coll *k)
{
    uint64_t n = k->kind == LT_COLL_BARRIER ? 0 : lt_coll_count(k) * lt_dtype_sizes[k->dtype];

    return k->kind == LT_COLL_REDUCE_SCATTER || k->kind == LT_COLL_ALL_TO_ALL
               ? n * (uint64_t)c->world
               : n;
}

/* The head is over: rc is 1 or -errno. */
static void finish_head(struct lt_comm *c, int rc)
{
    struct lt_coll *k = c->head;

    c->head = k->own.next;
    if (!c->head)
        c->tail = NULL;
    k->own.next = NULL;
    k->own.rc = rc < 0 ? rc : 0;
    k->own.state = LT_COLL_DONE;
    if (rc > 0)
        record_done(c, k);
}

static int advance_head(struct lt_comm *c)
{
    struct lt_coll *k = c->head;

    if (k->own.state != LT_COLL_QUEUED)
        return c->impl->progress(c, k);
    k->own.state = LT_COLL_ACTIVE;
    return c->failed ? c->failed : c->impl->begin(c, k);
}

static void advance(struct lt_comm *c)
{
    while (c->head) {
        int rc = advance_head(c);

        if (rc == 0)
            return;
        if (rc < 0)
            c->failed = rc;
        finish_head(c, rc);
    }
}

void lt_comm_poke(struct lt_comm *c)
{
    uint64_t from;

    if (!c->head)
        return;
    from = lt_clock_mono_ns();
    advance(c);
    c->stats.spent_ns += lt_clock_mono_ns() - from;
}

bool lt_comm_idle(const struct lt_comm *c)
{
    return !c->head;
}

int lt_comm_start(struct lt_comm *c, struct lt_coll *k, struct lt_error *err)
{
    int rc = check(c, k, err);

    if (rc < 0)
        return rc;
    if (k->own.state == LT_COLL_QUEUED || k->own.state == LT_COLL_ACTIVE)
        return lt_error_set(err, -EBUSY, "%s %s: is under way already", lt_coll_names[k->kind],
                            k->name ? k->name : "");
    memset(&k->own, 0, sizeof k->own);
    k->own.state = LT_COLL_QUEUED;
    k->own.seq = ++c->seq;
    k->own.bytes = bytes_of(c, k);
    c->stats.started[k->kind]++;
    c->stats.bytes[k->kind] += k->own.bytes;
    record_start(c, k);
    if (c->tail)
        c->tail->own.next = k;
    else
        c->head = k;
    c->tail = k;
    if (c->head == k)
        lt_comm_poke(c);
    return 0;
}

static int result(const struct lt_coll *k, struct lt_error *err)
{
    return k->own.rc < 0 ? lt_error_set(err, k->own.rc, "%s %s (number %llu) failed: %s",
                                        lt_coll_names[k->kind], k->name ? k->name : "",
                                        (unsigned long long)k->own.seq, strerror(-k->own.rc))
                         : 1;
}

int lt_comm_test(struct lt_comm *c, struct lt_coll *k, struct lt_error *err)
{
    if (k->own.state == LT_COLL_IDLE)
        return lt_error_set(err, -EINVAL, "%s: was never started", lt_coll_names[k->kind]);
    if (k->own.state != LT_COLL_DONE)
        advance(c);
    return k->own.state == LT_COLL_DONE ? result(k, err) : 0;
}

/* What is under way stays so for the peers; we never touch it again: it may lie on the stack. */
static int give_up(struct lt_comm *c, const struct lt_coll *k, struct lt_error *err)
{
    c->head = c->tail = NULL;
    c->failed = -ECANCELED;
    return lt_error_set(err, -ECANCELED, "%s %s (number %llu): gave up waiting for the other ranks",
                        lt_coll_names[k->kind], k->name ? k->name : "",
                        (unsigned long long)k->own.seq);
}

static void pause_a_moment(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void nap(struct lt_comm *c)
{
    if (c->impl->sleep)
        c->impl->sleep(c);
    else
        nanosleep(&(struct timespec){0, NAP_NS}, NULL);
}

static uint64_t patience_ns(const struct lt_comm *c)
{
    return c->impl->sleep ? PATIENCE_NS : PATIENCE_UNWOKEN_NS;
}

/* The i-th time in a row that a wait found that nothing moved, since `still_ns`. Peers are near on an idle machine, where
 * sleeping costs more than it waits; with other work on it, who yields comes behind all others' time slices, and who sleeps before them. */
static void let_others(struct lt_comm *c, unsigned i, uint64_t still_ns)
{
    uint64_t before = lt_clock_mono_ns();

    if (i <= SPIN) {
        pause_a_moment();
    } else if (c->crowded || before - still_ns > patience_ns(c)) {
        c->crowded -= c->crowded > 0;
        nap(c);
    } else {
        sched_yield();
        if (lt_clock_mono_ns() - before > CROWDED_NS)
            c->crowded = REMEMBER;
    }
}

int lt_comm_wait(struct lt_comm *c, struct lt_coll *k, struct lt_error *err)
{
    uint64_t from = lt_clock_mono_ns(), still = from, moves, took;
    int rc = lt_comm_test(c, k, err);

    for (unsigned i = 1; rc == 0; i++) {
        let_others(c, i, still);
        moves = c->moves;
        rc = lt_comm_test(c, k, err);
        if (c->moves != moves) {
            still = lt_clock_mono_ns();
            i = 0;
            continue;
        }
        if (rc == 0 && i % ASK_EVERY == 0 && c->config.give_up && c->config.give_up(c->config.arg))
            rc = give_up(c, k, err);
    }
    took = lt_clock_mono_ns() - from;
    c->stats.wait_ns += took;
    c->stats.spent_ns += took;
    return rc < 0 ? rc : 0;
}

int lt_comm_run(struct lt_comm *c, struct lt_coll *k, struct lt_error *err)
{
    int rc = lt_comm_start(c, k, err);

    return rc < 0 ? rc : lt_comm_wait(c, k, err);
}

/* ---- small things at once */

static int reduce_now(struct lt_comm *c, enum lt_dtype dtype, enum lt_coll_op op, void *data,
                      size_t count, const char *name, struct lt_error *err)
{
    struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE,
                        .dtype = dtype,
                        .op = op,
                        .name = name,
                        .one = {.in = data, .out = data, .count = count}};

    return lt_comm_run(c, &k, err);
}

int lt_comm_sum_f64(struct lt_comm *c, double *data, size_t count, const char *name,
                    struct lt_error *err)
{
    return reduce_now(c, LT_F64, LT_COLL_SUM, data, count, name, err);
}

int lt_comm_max_i64(struct lt_comm *c, int64_t *data, size_t count, const char *name,
                    struct lt_error *err)
{
    return reduce_now(c, LT_I64, LT_COLL_MAX, data, count, name, err);
}

int lt_comm_or_i32(struct lt_comm *c, int32_t *bits, size_t count, const char *name,
                   struct lt_error *err)
{
    return reduce_now(c, LT_I32, LT_COLL_OR, bits, count, name, err);
}

int lt_comm_broadcast(struct lt_comm *c, void *data, size_t bytes, int root, const char *name,
                      struct lt_error *err)
{
    struct lt_coll k = {.kind = LT_COLL_BROADCAST,
                        .dtype = LT_U8,
                        .root = root,
                        .name = name,
                        .one = {.in = data, .out = data, .count = bytes}};

    return lt_comm_run(c, &k, err);
}

int lt_comm_barrier(struct lt_comm *c, struct lt_error *err)
{
    struct lt_coll k = {.kind = LT_COLL_BARRIER};

    return lt_comm_run(c, &k, err);
}
