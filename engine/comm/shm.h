/* shm.h - the segment that the ranks of a node share; for shm.c and shm_move.c */
#ifndef LT_COMM_SHM_H
#define LT_COMM_SHM_H

#include <stdatomic.h>
#include "engine/comm/impl.h"

#define SHM_MAGIC 0x316d68736c746cu
#define SHM_SLOTS 4
#define SHM_CHUNK ((size_t)256 << 10) /* bytes a rank brings of one chunk, at most */

/* Numbers of chunks, counted over all collectives: what this rank has done of which. Only it writes them. */
struct shm_marks {
    _Alignas(128) _Atomic uint64_t in; /* what it brings of chunk n lies in its slot n % SLOTS */
    _Atomic uint64_t reduced;          /* its slice of chunk n is in the result's slot */
    _Atomic uint64_t out;              /* it needs nothing of chunk n any more */
    _Alignas(128) _Atomic uint32_t asleep; /* it waits for the bell; others set it to 0 when they ring */
    _Atomic uint32_t bell;             /* a futex: goes up when another one's marks did */
};

struct shm_header {
    _Atomic uint64_t magic; /* written last */
    uint32_t world, slots;
    uint64_t chunk, bytes;
    _Atomic uint32_t attached;
};

enum shm_mark { SHM_IN, SHM_REDUCED, SHM_OUT, SHM_MARK_N };

struct shm {
    struct shm_header *header;
    size_t bytes;
    int rank, world;
    struct shm_marks *marks; /* by rank */
    char *result;            /* SLOTS chunks */
    char *areas;             /* by rank: SLOTS chunks each */
    char *scratch;           /* a chunk of our own */
    const void **sources;    /* LT_COLL_TERMS_MAX, or world if that is more */
    uint64_t seen[SHM_MARK_N]; /* every rank is known to be so far */
    uint64_t base;           /* chunks before this collective */
    size_t chunks, each;     /* of this collective; elements of one */
    size_t total;            /* elements */
    bool direct;             /* everybody adds everything up */
    size_t put, reduced, taken; /* chunks of this collective that we have done */
    uint64_t sent, moves;
};

/* ---- shm_move.c */
void shm_begin(struct shm *s, const struct lt_coll *k);
bool shm_progress(struct shm *s, const struct lt_coll *k); /* done? */
void shm_sleep(struct lt_comm *c); /* until another rank got on, or a moment is over */

#endif
