/* mem.c - allocation that succeeds or ends the process, with one line that says why */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
    if (!p) {
        fputs("ltd: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *lt_malloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *lt_calloc(size_t count, size_t size)
{
    return checked(count && size ? calloc(count, size) : calloc(1, 1));
}

void *lt_realloc(void *p, size_t count, size_t size)
{
    size_t n;

    if (__builtin_mul_overflow(count, size, &n))
        return checked(NULL);
    return checked(realloc(p, n ? n : 1));
}

char *lt_strdup(const char *s)
{
    return lt_strndup(s, strlen(s));
}

char *lt_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = lt_malloc(len + 1);

    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *lt_format(const char *format, ...)
{
    va_list ap, again;
    char *text;
    int n;

    va_start(ap, format);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    text = lt_malloc(n < 0 ? 1 : (size_t)n + 1);
    text[0] = '\0';
    if (n > 0)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

void lt_free(void *p)
{
    free(p);
}
