/* error.h - one sentence about what went wrong, beside a negative errno
 *
 * Functions return 0 or -errno and put the sentence, with the path or peer it is about, into the
 * caller's struct lt_error (which may be NULL). Whoever handles an error logs it; nobody else does.
 */
#ifndef LT_BASE_ERROR_H
#define LT_BASE_ERROR_H

#include <stdarg.h>

struct lt_error {
    int code;       /* -errno, 0 when nothing happened */
    char text[504]; /* cut, never overrun */
};

/* Sets err (NULL is fine) and returns code, so that setting and failing are one statement. */
int lt_error_set(struct lt_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that is there. Returns err's code; without err, which has none, -EIO: a failure
 * stays one, but better return your own. */
int lt_error_prefix(struct lt_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
