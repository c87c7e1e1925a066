/* problem.h - everything that is wrong with an input, collected before anything is said
 *
 * A check goes on after the first problem; the user gets the whole list in one go.
 */
#ifndef LT_BASE_PROBLEM_H
#define LT_BASE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

struct lt_problem {
    char *path;   /* field path: callbacks[0].model_checkpoint.monitor; "" for the whole */
    int line;     /* 1-based; 0: unknown */
    int column;
    char *reason; /* what is wrong */
    char *remedy; /* what would be right; may be "" */
    bool warning; /* doesn't refuse the input */
};

#define LT_PROBLEMS_MAX 200 /* further ones are counted, not kept */

struct lt_problems {
    struct lt_problem *items;
    size_t len, cap;
    size_t errors;  /* without warnings; also those not kept */
    size_t dropped;
};

void lt_problems_done(struct lt_problems *p);
/* Texts are copied. remedy may be NULL. Returns the item for setting line and column, or NULL when dropped. */
struct lt_problem *lt_problem_add(struct lt_problems *p, const char *path, const char *remedy,
                                  const char *reason_format, ...)
    __attribute__((format(printf, 4, 5)));
struct lt_problem *lt_problem_warn(struct lt_problems *p, const char *path, const char *remedy,
                                   const char *reason_format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
