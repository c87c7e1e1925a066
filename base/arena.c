/* arena.c - chunks in a list, bump allocation inside the newest
 *
 * The cap counts what was handed out (rounded to 16), not what was taken from malloc: callers reason
 * about the size of an input, not about our chunks.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

#define CHUNK_MIN 4096
#define CHUNK_MAX (1u << 20)
#define ALIGN 16

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(ALIGN) unsigned char data[];
};

struct lt_arena {
    struct chunk *newest;
    size_t cap, used;
};

static struct chunk *chunk_add(struct lt_arena *a, size_t at_least)
{
    size_t size = a->newest ? LT_MIN(a->newest->size * 2, (size_t)CHUNK_MAX) : CHUNK_MIN;
    struct chunk *c;

    if (size < at_least)
        size = at_least;
    if (size > SIZE_MAX - sizeof *c)
        return NULL;
    c = calloc(1, sizeof *c + size);
    if (!c)
        return NULL;
    c->size = size;
    c->next = a->newest;
    a->newest = c;
    return c;
}

struct lt_arena *lt_arena_new(size_t cap)
{
    struct lt_arena *a = lt_calloc(1, sizeof *a);

    a->cap = cap;
    return a;
}

void lt_arena_free(struct lt_arena *a)
{
    if (!a)
        return;
    while (a->newest) {
        struct chunk *c = a->newest;

        a->newest = c->next;
        free(c);
    }
    lt_free(a);
}

void *lt_arena_alloc(struct lt_arena *a, size_t size)
{
    struct chunk *c = a->newest;
    size_t n;
    void *p;

    if (size > SIZE_MAX - ALIGN)
        return NULL;
    n = (LT_MAX(size, (size_t)1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (a->cap && (n > a->cap || a->used > a->cap - n))
        return NULL;
    if (!c || c->size - c->used < n)
        c = chunk_add(a, n);
    if (!c)
        return NULL;
    p = c->data + c->used;
    c->used += n;
    a->used += n;
    return p;
}

char *lt_arena_strdup(struct lt_arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = lt_arena_alloc(a, n);

    return copy ? memcpy(copy, s, n) : NULL;
}

char *lt_arena_format(struct lt_arena *a, const char *format, ...)
{
    va_list ap, again;
    char *text;
    int n;

    va_start(ap, format);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    text = n < 0 ? NULL : lt_arena_alloc(a, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

size_t lt_arena_used(const struct lt_arena *a)
{
    return a->used;
}
