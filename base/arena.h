/* arena.h - allocate many, free once, never more than a cap */
#ifndef LT_BASE_ARENA_H
#define LT_BASE_ARENA_H

#include <stddef.h>
#include "base/auto.h"

struct lt_arena;

/* cap: bytes it may hand out in total; 0: no cap. */
struct lt_arena *lt_arena_new(size_t cap);
void lt_arena_free(struct lt_arena *a);
LT_DEFINE_AUTO(struct lt_arena *, lt_arena_free)
/* 16-byte aligned, zeroed. NULL when the cap would be passed. */
void *lt_arena_alloc(struct lt_arena *a, size_t size);
char *lt_arena_strdup(struct lt_arena *a, const char *s);
char *lt_arena_format(struct lt_arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
size_t lt_arena_used(const struct lt_arena *a);

#endif
