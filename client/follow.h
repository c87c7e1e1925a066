/* follow.h - a job's output, byte for byte, as it comes */
#ifndef LT_CLIENT_FOLLOW_H
#define LT_CLIENT_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

struct lt_ctl;

struct lt_follow {
    const char *job;
    bool follow; /* until the job is done; else what there is now */
    bool cancel; /* Ctrl-C cancels instead of detaching */
    uint32_t rank;
    bool has_tail;
    uint64_t tail; /* lines */
};

/* Writes the rank's .out to stdout and .err to stderr, attempts in order, over lost connections
 * without losing or repeating a byte. With follow the job's exit code (LT_EXIT_DETACHED on Ctrl-C),
 * else 0; 0 only when the stream said that it is over. */
int lt_follow(struct lt_ctl *ctl, const struct lt_follow *f);

#endif
