/* impl.h - what an implementation of collectives is; for this folder and its plug-ins
 *
 * comm.c checks what is asked for, keeps the queue, the flight recorder and the counts; an implementation is given one
 * collective at a time, the queue's head, and makes progress on it. First in, first out: so every rank works on the same
 * one, messages match by their order, and scratch memory is one collective's whatever is queued. What keeps a wire full is
 * the pipeline inside a large collective, and the next one starts in the same poke in which its predecessor ends.
 *
 * A plug-in is a shared object with one symbol, lt_comm_plugin_NAME, a struct lt_comm_plugin. HACKING tells how to add one.
 */
#ifndef LT_COMM_IMPL_H
#define LT_COMM_IMPL_H

#include "engine/comm/comm.h"

enum lt_coll_state { LT_COLL_IDLE, LT_COLL_QUEUED, LT_COLL_ACTIVE, LT_COLL_DONE };

struct lt_comm {
    const struct lt_comm_impl *impl;
    struct lt_comm_config config;
    int rank, world;
    void *own;     /* the implementation's */
    void *library; /* of a plug-in */
    struct lt_coll *head, *tail; /* under way, oldest first */
    uint64_t seq;                /* of the newest */
    uint64_t moves;              /* goes up whenever a collective got on: who waits for it has patience again */
    unsigned crowded;            /* naps to come: somebody else wants our core */
    int failed;                  /* -errno of the first failure: nothing works any more */
    struct lt_comm_stats stats;
};

struct lt_comm_impl {
    const char *name;
    int (*open)(struct lt_comm *c, struct lt_error *err);
    void (*close)(struct lt_comm *c); /* NULL: nothing to do; called also when open failed */
    /* k has become the head. 1: done at once; 0; -errno. */
    int (*begin)(struct lt_comm *c, struct lt_coll *k);
    /* 1: done; 0: not yet; -errno. Never blocks. Counts in c->moves what it could do. */
    int (*progress)(struct lt_comm *c, struct lt_coll *k);
    /* The core is wanted by others: sleeps until there may be progress, a few milliseconds at most. NULL: for a fixed
     * moment. */
    void (*sleep)(struct lt_comm *c);
    /* Fills in what it knows. NULL: it needs no library. */
    void (*versions)(struct lt_comm_versions *out);
};

#define LT_COMM_PLUGIN_ABI 3

struct lt_comm_plugin {
    uint32_t abi;
    const char *version; /* LT_VERSION: a plug-in goes with its worker */
    const struct lt_comm_impl *impl;
};

extern const struct lt_comm_impl lt_comm_none, lt_comm_null, lt_comm_shm;
size_t lt_comm_shm_bytes(const struct lt_comm_config *c);

/* ---- plugin.c: loads lib/liblt_NAME.so; package is what err says to install */
int lt_comm_plugin_load(struct lt_comm *c, const char *name, const char *package, struct lt_error *err);

/* ---- flat.c: the parts of a collective as one flat sequence of elements */
static inline const struct lt_coll_part *lt_coll_parts(const struct lt_coll *k)
{
    return k->parts ? k->parts : &k->one;
}
static inline size_t lt_coll_n_parts(const struct lt_coll *k)
{
    return k->parts ? k->n_parts : 1;
}
static inline int lt_coll_terms(const struct lt_coll *k)
{
    return k->terms > 1 ? k->terms : 1;
}
size_t lt_coll_count(const struct lt_coll *k); /* elements of the flat sequence: the sum of the parts' counts */
/* Elements [at, at + n) of a term. The address when they lie together, else they are copied to `room`, which is returned. */
const void *lt_coll_in(const struct lt_coll *k, int term, size_t at, size_t n, void *room);
/* Where they lie in out, when together; else NULL. */
void *lt_coll_out(const struct lt_coll *k, size_t at, size_t n);
void lt_coll_put(const struct lt_coll *k, size_t at, size_t n, const void *from); /* copies to out */

/* ---- reduce.c */
/* out[i] = src[0][i] op src[1][i] op … in this order; out may be any of them, not overlap them otherwise. n_src >= 1. */
void lt_coll_reduce(enum lt_dtype dtype, enum lt_coll_op op, const void *const *src, int n_src, void *out, size_t n);
bool lt_coll_reduces(enum lt_dtype dtype, enum lt_coll_op op);

#endif
