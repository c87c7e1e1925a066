/* buf.h - a byte buffer that grows */
#ifndef LT_BASE_BUF_H
#define LT_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_buf {
    char *data; /* NUL-terminated behind len when not NULL */
    size_t len;
    size_t cap;
};

void lt_buf_done(struct lt_buf *b); /* frees the content; b is empty and usable again */
void lt_buf_reserve(struct lt_buf *b, size_t more);
void lt_buf_append(struct lt_buf *b, const void *data, size_t n);
void lt_buf_str(struct lt_buf *b, const char *s);
void lt_buf_char(struct lt_buf *b, char c);
void lt_buf_printf(struct lt_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lt_buf_vprintf(struct lt_buf *b, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
/* Little endian. */
void lt_buf_u32(struct lt_buf *b, uint32_t v);
void lt_buf_u64(struct lt_buf *b, uint64_t v);
/* Hands the memory to the caller (lt_free); never NULL. */
char *lt_buf_take(struct lt_buf *b);
static inline void lt_buf_auto_(struct lt_buf *b)
{
    lt_buf_done(b);
}
#define LT_BUF_AUTO __attribute__((cleanup(lt_buf_auto_))) struct lt_buf

#endif
