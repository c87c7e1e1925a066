/* buf.c - doubling byte buffer, always NUL-terminated behind its content */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"

#define FIRST_CAP 64

void lt_buf_done(struct lt_buf *b)
{
    lt_free(b->data);
    *b = (struct lt_buf){0};
}

void lt_buf_reserve(struct lt_buf *b, size_t more)
{
    size_t need, cap;

    if (__builtin_add_overflow(b->len, more, &need) || need == SIZE_MAX)
        need = SIZE_MAX - 1; /* fails in lt_realloc, with its message */
    need += 1;
    if (need <= b->cap)
        return;
    cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    b->data = lt_realloc(b->data, cap, 1);
    b->cap = cap;
    b->data[b->len] = '\0';
}

void lt_buf_append(struct lt_buf *b, const void *data, size_t n)
{
    lt_buf_reserve(b, n);
    if (n)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void lt_buf_str(struct lt_buf *b, const char *s)
{
    lt_buf_append(b, s, strlen(s));
}

void lt_buf_char(struct lt_buf *b, char c)
{
    lt_buf_append(b, &c, 1);
}

void lt_buf_printf(struct lt_buf *b, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    lt_buf_vprintf(b, format, ap);
    va_end(ap);
}

void lt_buf_vprintf(struct lt_buf *b, const char *format, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, format, ap);
    if (n > 0) {
        lt_buf_reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void lt_buf_u32(struct lt_buf *b, uint32_t v)
{
    unsigned char bytes[4];

    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    lt_buf_append(b, bytes, sizeof bytes);
}

void lt_buf_u64(struct lt_buf *b, uint64_t v)
{
    lt_buf_u32(b, (uint32_t)v);
    lt_buf_u32(b, (uint32_t)(v >> 32));
}

char *lt_buf_take(struct lt_buf *b)
{
    char *data;

    lt_buf_reserve(b, 0);
    data = b->data;
    *b = (struct lt_buf){0};
    return data;
}
