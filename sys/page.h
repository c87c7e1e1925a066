/* page.h - the shared page between a rank and its agent: one 4 KiB file, mapped by both
 *
 * The rank writes where it is (free for training), the agent reads it many times a second, and asks for
 * something at the next step boundary through `command`. A file in the attempt's folder: it survives a
 * restart of the agent. Plain numbers are C11 atomics, relaxed; texts are written before `phase_seq` moves on.
 */
#ifndef LT_SYS_PAGE_H
#define LT_SYS_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_error;

#define LT_PAGE_MAGIC 0x3147504cu /* "LPG1" */

enum lt_page_command { /* bits of `command`, set by the agent, never cleared but CHECKPOINT (by the rank) */
    LT_COMMAND_STOP = 1,       /* finish the step, save a checkpoint, end */
    LT_COMMAND_CANCEL = 2,     /* end at the step boundary without a checkpoint */
    LT_COMMAND_CHECKPOINT = 4, /* save one and go on */
};

enum lt_phase { /* what a rank is doing */
    LT_PHASE_STARTING, LT_PHASE_COMPILING, LT_PHASE_SANITY, LT_PHASE_TRAINING, LT_PHASE_VALIDATING, LT_PHASE_TESTING,
    LT_PHASE_CHECKPOINTING, LT_PHASE_FINISHING, LT_PHASE_N
};
extern const char *const lt_phase_names[LT_PHASE_N];

/* The flight recorder: the newest collectives of this rank, number n in entry n % LT_PAGE_COLLECTIVES. */
#define LT_PAGE_COLLECTIVES 24
#define LT_PAGE_COLLECTIVE_NAME 48

enum lt_collective_state { LT_COLLECTIVE_NONE, LT_COLLECTIVE_STARTED, LT_COLLECTIVE_DONE };

struct lt_page_collective {
    _Atomic uint64_t seq;          /* written last; 0: none yet */
    _Atomic uint64_t bytes;
    _Atomic uint64_t started_ns;   /* monotonic */
    _Atomic uint32_t state;        /* enum lt_collective_state */
    char kind[20];                 /* "all_reduce" */
    char name[LT_PAGE_COLLECTIVE_NAME]; /* the node of the graph it belongs to; cut */
};

struct lt_page {
    uint32_t magic;
    uint32_t version;
    _Atomic uint32_t command;
    _Atomic uint32_t phase;        /* enum lt_phase */
    _Atomic uint64_t heartbeat_ns; /* monotonic */
    _Atomic uint64_t epoch;        /* 0-based, running */
    _Atomic uint64_t step;         /* completed optimiser steps */
    _Atomic uint64_t batch;        /* within the epoch */
    _Atomic uint64_t total_steps;  /* 0: unknown */
    _Atomic uint64_t total_epochs;
    _Atomic uint64_t step_ns;      /* moving average */
    _Atomic uint64_t memory_bytes; /* RssAnon + RssShmem */
    _Atomic uint64_t loss_bits;    /* the newest loss, a double's bits */
    _Atomic uint64_t collective_seq; /* the newest that was started, from 1; 0: none */
    _Atomic uint32_t pid;
    _Atomic uint64_t first_step_ns; /* monotonic: when this attempt's first update was done */
    /* since version 2 (zeros in a page of version 1) */
    _Atomic uint64_t collective_done; /* the newest that is over; they end in order */
    struct lt_page_collective collectives[LT_PAGE_COLLECTIVES];
};

/* Creates (zeroed, with magic) or maps an existing one. */
int lt_page_create(const char *path, struct lt_page **out, struct lt_error *err);
int lt_page_map(const char *path, struct lt_page **out, struct lt_error *err); /* -ENOENT, -EPROTO */
void lt_page_unmap(struct lt_page *p);

/* For the rank; numbers go up by one. Texts are cut. */
void lt_page_collective_start(struct lt_page *p, uint64_t seq, const char *name, const char *kind, uint64_t bytes,
                              uint64_t now_ns);
void lt_page_collective_done(struct lt_page *p, uint64_t seq);
/* For the agent: a copy of number seq; false: it isn't there any more (or yet), or was being overwritten. */
struct lt_collective {
    uint64_t seq, bytes, started_ns;
    enum lt_collective_state state;
    char kind[20], name[LT_PAGE_COLLECTIVE_NAME];
};
bool lt_page_collective(const struct lt_page *p, uint64_t seq, struct lt_collective *out);
LT_DEFINE_AUTO(struct lt_page *, lt_page_unmap)

#endif
