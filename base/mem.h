/* mem.h - allocation of small things
 *
 * These never return NULL: a small allocation that fails on a system that overcommits means that the
 * process is lost, and it says so and aborts. What grows with input (messages, files, tensors) comes
 * from a capped arena or a checked malloc instead (docs/decisions/0002-allocation.md).
 */
#ifndef LT_BASE_MEM_H
#define LT_BASE_MEM_H

#include <stddef.h>
#include "base/auto.h"

void *lt_malloc(size_t size);
void *lt_calloc(size_t count, size_t size);
/* Array resize, checked for overflow. */
void *lt_realloc(void *p, size_t count, size_t size);
char *lt_strdup(const char *s);
char *lt_strndup(const char *s, size_t n);
char *lt_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void lt_free(void *p);
LT_DEFINE_AUTO(char *, lt_free)

/* Room for one more in a plain array: doubles `cap` when len reaches it. */
#define LT_GROW(array, len, cap)                                                                   \
    do {                                                                                           \
        if ((len) >= (cap)) {                                                                      \
            (cap) = (cap) ? (cap) * 2 : 8;                                                         \
            (array) = lt_realloc((array), (cap), sizeof *(array));                                 \
        }                                                                                          \
    } while (0)

#endif
