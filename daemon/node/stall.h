/* stall.h - ranks that stand still: who is to blame, and when it is for good
 *
 * Judged from outside: the numbers in the shared pages (steps, batches, collectives) and what /proc
 * tells of the processes. Pure: looks are handed in, so that a test can make them.
 */
#ifndef LT_DAEMON_NODE_STALL_H
#define LT_DAEMON_NODE_STALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sys/page.h"

struct lt_buf;

enum lt_still { /* what a rank that doesn't move does instead */
    LT_STILL_MOVES,   /* it does move */
    LT_STILL_STOPPED, /* by a signal or a debugger */
    LT_STILL_IDLE,    /* neither computes nor reads nor writes */
    LT_STILL_WAITS,   /* in a collective: for others */
    LT_STILL_BUSY,    /* computes, reads or writes, and no number in its page moves */
    LT_STILL_N
};

struct lt_still_rank { /* one rank, now */
    uint32_t rank;
    bool there;           /* it runs on this node; else nothing below counts */
    uint64_t still_ns;    /* for how long no number moved */
    enum lt_still how;
    enum lt_phase phase;
    uint64_t step;
    uint64_t started, done; /* collectives */
    struct lt_collective last; /* seq 0: none */
    char state;           /* of the process; see sys/proc.h */
    char wchan[64];
};

struct lt_stall {
    const struct lt_still_rank *who; /* NULL: nobody stands still for long enough */
    bool hang;                       /* for good: its generation is to be ended */
};

/* n ranks of one attempt; hang_ns: how long standing still is for good (60 s). A condition is told
 * after a sixth of it; a rank that computes or loads has ten times as long. */
struct lt_stall lt_stall_judge(const struct lt_still_rank *ranks, size_t n, uint64_t hang_ns);
/* One sentence without a moving number: rank, what it does, operator, collective, who waits for it. */
void lt_stall_describe(const struct lt_still_rank *ranks, size_t n, const struct lt_still_rank *who,
                       struct lt_buf *out);

#endif
