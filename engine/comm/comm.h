/* comm.h - collectives between the ranks of a job
 *
 * One lt_comm a rank, opened from a table of implementations:
 *   none   a world of one: every collective is a copy, or nothing at all
 *   null   computes nothing: counts collectives, bytes, and what they would cost on a world of any size
 *   shm    several ranks on one node: memory that they share
 *   mpi    several ranks otherwise: MPICH, a plug-in (liblt_mpi.so), loaded only then
 *
 * Sums are made in RANK ORDER: x0 + x1 + x2 + …, each addition in the element's type (bfloat16: in float32, rounded once
 * at the end), wherever the ranks are placed and whatever the size: the same inputs give the same bits.
 * docs/decisions/0050-sums-in-rank-order.md
 *
 * A collective is prepared once (struct lt_coll, the caller's memory) and started as often as one likes; nothing here
 * allocates after lt_comm_open(). Every rank starts the same collectives in the same order; any number may be under way.
 * Buffers are the comm's from start to done. Progress happens inside lt_comm_poke(), _test() and _wait() alone, which
 * never block in the kernel: the executor pokes between operators, and a wait yields its core.
 * A rank whose peers are gone waits until it is killed, or `give_up` says so. One thread.
 */
#ifndef LT_COMM_COMM_H
#define LT_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "engine/graph/type.h"

struct lt_comm;
struct lt_error;
struct lt_page;

enum lt_coll_kind {
    LT_COLL_ALL_REDUCE,     /* out = the reduction of every rank's in; the same on all */
    LT_COLL_REDUCE_SCATTER, /* rank r gets the r-th `count` elements of it; in has world * count */
    LT_COLL_ALL_GATHER,     /* out: every rank's `count` elements, in rank order */
    LT_COLL_BROADCAST,      /* out of every rank = in of `root` */
    LT_COLL_ALL_TO_ALL,     /* the r-th `count` elements of in go to rank r; in and out have world * count */
    LT_COLL_BARRIER,        /* done when every rank has started it */
    LT_COLL_N
};
extern const char *const lt_coll_names[LT_COLL_N]; /* "all_reduce", … */

enum lt_coll_op { LT_COLL_SUM, LT_COLL_MAX, LT_COLL_MIN, LT_COLL_OR /* integers' bits */, LT_COLL_OP_N };

/* A piece of a buffer. Several make one flat sequence of elements: a bucket of gradients needn't be copied together. */
struct lt_coll_part {
    const void *in;
    void *out;     /* may be in itself (all_reduce, broadcast); else they don't overlap */
    size_t count;  /* elements */
    size_t stride; /* bytes from one term's `in` to the next one's, when terms > 1 */
};

#define LT_COLL_TERMS_MAX 1024 /* of all ranks together, where a rank brings more than one */

struct lt_coll {
    enum lt_coll_kind kind;
    enum lt_dtype dtype; /* LT_F32, LT_F64, LT_BF16, LT_I32, LT_I64 to reduce; any to move */
    enum lt_coll_op op;
    int root;            /* broadcast */
    int terms;           /* all_reduce: this rank brings so many terms (logical shards): the sum is of rank 0's terms in
                          their order, then of rank 1's, …; 0 means 1; the same on every rank */
    const char *name;  /* what it is for, in the flight recorder; borrowed; NULL: none */
    struct lt_coll_part one;          /* used when parts is NULL */
    const struct lt_coll_part *parts; /* all_reduce and broadcast only; borrowed */
    size_t n_parts;

    struct { /* the comm's own; zeros before the first start */
        struct lt_coll *next;
        uint64_t seq;
        uint64_t bytes; /* of the flat sequence */
        size_t at, sent;
        uint32_t state;
        int rc;
    } own;
};

struct lt_comm_config {
    const char *kind; /* name of an implementation; NULL: none for one rank, shm on one node, else mpi */
    int rank, world;  /* 0 <= rank < world */
    int local_rank, local_world; /* on this node; local_world 0: all */
    struct lt_page *page;        /* the flight recorder; NULL: none */
    const char *plugins;         /* folder of the plug-ins; NULL: that of the running binary */
    bool (*give_up)(void *arg);  /* asked now and then by a wait; true: it returns -ECANCELED. NULL: never */
    void *arg;
};

/* Memory that lt_comm_open() will map for such a comm, whatever is sent through it later; an upper bound. */
size_t lt_comm_bytes(const struct lt_comm_config *c);
/* May take as long as the other ranks need to come, in a world of more than one. -EINVAL: no such implementation, rank
 * or world; -ENOENT, -ELIBBAD: the plug-in isn't there or can't be loaded, err names the file and the package. */
int lt_comm_open(const struct lt_comm_config *c, struct lt_comm **out, struct lt_error *err);
/* Only of this side: peers aren't asked. An mpi rank is to _exit() soon after its last barrier. NULL is fine. */
void lt_comm_close(struct lt_comm *c);
LT_DEFINE_AUTO(struct lt_comm *, lt_comm_close)

/* Could it be opened here: is the plug-in there, and its library? As lt_comm_open, without waiting for anybody. */
int lt_comm_check(const struct lt_comm_config *c, struct lt_error *err);

/* What stands behind a kind: versions of libraries, "none" where there is no such part. Loads them, opens nothing. Errors
 * as lt_comm_check(). */
struct lt_comm_versions {
    char mpich[64], ucx[64];
};
int lt_comm_versions(const struct lt_comm_config *c, struct lt_comm_versions *out, struct lt_error *err);

const char *lt_comm_kind(const struct lt_comm *c);
int lt_comm_rank(const struct lt_comm *c);
int lt_comm_world(const struct lt_comm *c);

/* -EINVAL: what it asks for is malformed (a programmer's mistake, but named); -EBUSY: it is under way already. */
int lt_comm_start(struct lt_comm *c, struct lt_coll *k, struct lt_error *err);
/* Makes progress. Cheap when nothing is under way. */
void lt_comm_poke(struct lt_comm *c);
bool lt_comm_idle(const struct lt_comm *c); /* nothing is under way */
/* 1: done; 0: not yet (after a poke); -errno: it failed. */
int lt_comm_test(struct lt_comm *c, struct lt_coll *k, struct lt_error *err);
/* -ECANCELED: given up; -EIO: a peer or the library failed. Either way this and every later collective fails, and what
 * was under way may still be written to until the process ends. */
int lt_comm_wait(struct lt_comm *c, struct lt_coll *k, struct lt_error *err);
/* Start and wait. */
int lt_comm_run(struct lt_comm *c, struct lt_coll *k, struct lt_error *err);

/* Small things at once: count elements in place, start and wait. */
int lt_comm_sum_f64(struct lt_comm *c, double *data, size_t count, const char *name, struct lt_error *err);
int lt_comm_max_i64(struct lt_comm *c, int64_t *data, size_t count, const char *name, struct lt_error *err);
int lt_comm_or_i32(struct lt_comm *c, int32_t *bits, size_t count, const char *name, struct lt_error *err);
int lt_comm_broadcast(struct lt_comm *c, void *data, size_t bytes, int root, const char *name, struct lt_error *err);
int lt_comm_barrier(struct lt_comm *c, struct lt_error *err);

struct lt_comm_stats {
    uint64_t started[LT_COLL_N];
    uint64_t bytes[LT_COLL_N]; /* sizes of the flat sequences (in, before terms) */
    uint64_t sent;             /* bytes this rank sends to others, by the algorithm */
    uint64_t wait_ns;          /* time inside waits */
    uint64_t spent_ns;         /* time inside waits, and in pokes that found something under way */
    double cost_s;             /* null only: what all of it would take, see engine/comm/null.c */
};
void lt_comm_stats(const struct lt_comm *c, struct lt_comm_stats *out);

#endif
