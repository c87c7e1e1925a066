/* topk.h - which checkpoints are kept: the k best by a score, Lightning's rules
 *
 * NaN counts as worst (+inf for min, -inf for max); a tie with the worst kept one is not better; a
 * free slot takes anything. Pure.
 */
#ifndef LT_TRAIN_TOPK_H
#define LT_TRAIN_TOPK_H

#include <stdbool.h>
#include <stdint.h>

struct lt_kept {
    char *name;
    double score;
};
struct lt_topk {
    int64_t k;             /* -1: all; 0: none */
    bool max, scored;      /* scored false: no monitor, the newest counts as best */
    struct lt_kept *items; /* in order of saving */
    int n, cap;
};

void lt_topk_done(struct lt_topk *t);
bool lt_topk_wants(const struct lt_topk *t, double score);
/* Would it be the best of all? */
bool lt_topk_is_best(const struct lt_topk *t, double score);
/* Which one has to go for one more (index); -1: none. */
int lt_topk_victim(const struct lt_topk *t);
/* Adds, taking the victim out first; the victim's name is the caller's (lt_free), NULL: none.
 * Copies name. */
char *lt_topk_add(struct lt_topk *t, const char *name, double score);
bool lt_topk_has(const struct lt_topk *t, const char *name);

#endif
