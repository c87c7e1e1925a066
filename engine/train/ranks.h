/* ranks.h - what the ranks of a run tell each other, besides gradients, so that they decide alike
 *
 * Rank 0 has the clock, the page that commands come through, the files and the journal. Whatever
 * changes the course of training is known to all ranks at the same boundary: it travels as numbers
 * in the collective that every update and every validation batch has anyway (the input and output
 * "exchange" of those programs). In front are bits, one number each; behind them the sums of the
 * window's micro-batches, which are exchanged with the update since there is no collective inside a
 * window. With one rank there is nothing of this: the bits are looked at when they are needed.
 */
#ifndef LT_TRAIN_RANKS_H
#define LT_TRAIN_RANKS_H

#include "engine/session/session.h"

struct lt_bound;
struct lt_comm;
struct lt_error;
struct lt_trainer;

/* Beside the commands (enum lt_page_command). */
enum lt_agreed {
    LT_AGREED_TIME_OVER = 8,     /* max_time */
    LT_AGREED_VALIDATE = 16,     /* val_check_interval's time */
};
#define LT_AGREED_BITS 5

struct lt_ranks {
    struct lt_comm *comm; /* borrowed */
    int rank, world;
    struct lt_shares shares;
    bool many;         /* programs have collectives: several ranks, or slices */
    int n;             /* numbers exchanged, per slice; 0 */
    int pending;       /* micro-batches of the open window whose sums haven't been exchanged */
    double *mine;      /* [shares.local][n]: what this rank brings */
    uint32_t agreed;   /* bits of the newest exchange; obeyed once */
};

/* World, shares and the room for the exchange. window: micro-batches of one. */
int lt_ranks_open(struct lt_trainer *t, uint64_t window, struct lt_error *err);
void lt_ranks_close(struct lt_trainer *t);
static inline bool lt_ranks_first(const struct lt_ranks *r)
{
    return r->rank == 0;
}
/* Threads for each rank: as many as the rank with the fewest has. */
int lt_ranks_threads(struct lt_trainer *t, uint32_t *threads, struct lt_error *err);
/* Before a program with an exchange: this rank's bits. */
void lt_ranks_offer(struct lt_trainer *t);
/* After it: sums of the window's earlier micro-batches are added, and bits agreed on. */
void lt_ranks_take(struct lt_trainer *t, const struct lt_bound *b);
/* After a micro-batch: its sums wait for the exchange. */
void lt_ranks_hold(struct lt_trainer *t, const struct lt_bound *b);
/* Commands to obey at this boundary: with one rank those of this moment, else those of the newest
 * exchange, once. */
uint32_t lt_ranks_commands(struct lt_trainer *t);
/* This rank's own bits, before anybody agrees. */
uint32_t lt_ranks_here(const struct lt_trainer *t);
/* What follows from the clock (enum lt_agreed), likewise. */
uint32_t lt_ranks_clock(struct lt_trainer *t);
/* In front of a validation. Buffers (running statistics of a batch norm that isn't synchronised) are
 * rank 0's from here on, as in the checkpoint. And this is the only place inside a window where anything is saved: what the ranks
 * have accumulated is added up and becomes rank 0's. It is done whether something will be saved or
 * not: then a run that was interrupted there ends with the same bits as one that wasn't. All ranks.
 */
int lt_ranks_before_validation(struct lt_trainer *t, struct lt_error *err);
/* Text of rank 0 to all: *text is the caller's, NULL is told, too. */
int lt_ranks_tell(struct lt_trainer *t, char **text, struct lt_error *err);
int lt_ranks_tell_u64(struct lt_trainer *t, uint64_t *n, struct lt_error *err);

#endif
