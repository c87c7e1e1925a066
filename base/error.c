/* error.c - text is cut at the size of the field, never split over calls */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int lt_error_set(struct lt_error *err, int code, const char *format, ...)
{
    va_list ap;
    char text[sizeof err->text]; /* an argument may be err->text itself */

    if (!err)
        return code;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    memcpy(err->text, text, sizeof text);
    err->code = code;
    return code;
}

int lt_error_prefix(struct lt_error *err, const char *format, ...)
{
    va_list ap;
    char text[sizeof err->text];
    int n;

    if (!err)
        return -EIO;
    va_start(ap, format);
    n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", err->text);
    memcpy(err->text, text, sizeof text);
    return err->code;
}
