/* follow.h - a job's output, as it comes */
#ifndef LT_CLIENT_FOLLOW_H
#define LT_CLIENT_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

struct lt_ctl;

/* Of which rank: a number, or all. */
#define LT_RANK_OPTION                                                                             \
    {                                                                                              \
        "rank", 0, LT_OPTION_STRING, "RANK",                                                       \
            "whose output: a rank's number, or all (all of a program, 0 of a plan)"                \
    }

struct lt_follow {
    const char *job;  /* whole id */
    const char *rank; /* "0", "all"; NULL: as the job's kind has it */
    bool follow;      /* until the job is done; else what there is now */
    bool cancel;      /* Ctrl-C cancels instead of detaching */
    bool submitted;   /* just now: what its checks warn of is said, too */
    bool has_tail;
    uint64_t tail; /* lines, of each rank */
};

/* 0, or LT_EXIT_USAGE with the reason printed when --rank is neither a number nor all. */
int lt_follow_options(struct lt_ctl *ctl, struct lt_follow *f);

/* Writes the rank's .out to stdout and .err to stderr, attempts in order, over lost connections
 * without losing or repeating a byte; of several ranks line by line with the rank in front
 * (lines.h). With follow the job's exit code (LT_EXIT_DETACHED on Ctrl-C), else 0; 0 only when the
 * streams said that they are over. */
int lt_follow(struct lt_ctl *ctl, const struct lt_follow *f);

#endif
