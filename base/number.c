/* number.c - numbers as text, as base/str.h promises
 *
 * Everything here parses a whole text: strto* skip blanks and stop at garbage, so both ends are checked.
 */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/auto.h"

int lt_parse_u64(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    if (!*s)
        return -EINVAL;
    for (const char *p = s; *p; p++)
        if (!isdigit((unsigned char)*p))
            return -EINVAL;
    for (; *s; s++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return -ERANGE;
    *out = v;
    return 0;
}

int lt_parse_i64(const char *s, int64_t *out)
{
    bool negative = *s == '-';
    uint64_t v, limit = (uint64_t)INT64_MAX + negative;
    int rc = lt_parse_u64(s + (*s == '-' || *s == '+'), &v);

    if (rc < 0)
        return rc;
    if (v > limit)
        return -ERANGE;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

int lt_parse_double(const char *s, double *out)
{
    char *end;
    double v;

    if (!*s || isspace((unsigned char)*s) || strchr(s, '('))
        return -EINVAL;
    v = strtod(s, &end);
    if (end == s || *end)
        return -EINVAL;
    if (isinf(v) && !strpbrk(s, "iI")) /* too large; what is too small becomes the nearest, as in C */
        return -ERANGE;
    *out = v;
    return 0;
}

static size_t print_special(char *buf, size_t n, double v)
{
    return (size_t)snprintf(buf, n, "%s", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

size_t lt_print_double(char *buf, size_t n, double v)
{
    char text[40];

    if (!isfinite(v))
        return print_special(buf, n, v);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return (size_t)snprintf(buf, n, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

size_t lt_print_hex_double(char *buf, size_t n, double v)
{
    return isfinite(v) ? (size_t)snprintf(buf, n, "%a", v) : print_special(buf, n, v);
}

/* A decimal number without sign at the start of s; its end, or NULL. */
static const char *scan_number(const char *s, double *out)
{
    char *end;

    if (!isdigit((unsigned char)*s) && !(*s == '.' && isdigit((unsigned char)s[1])))
        return NULL;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return NULL;
    *out = strtod(s, &end);
    return isfinite(*out) ? end : NULL;
}

/* [[DD:]HH:]MM:SS */
static int parse_clock(const char *s, double *seconds)
{
    static const double scale[] = {1, 60, 3600, 86400};
    const char *parts[4];
    int n = 0;
    double total = 0;

    for (const char *p = s; p && n < 4; p = strchr(p, ':'), p = p ? p + 1 : NULL)
        parts[n++] = p;
    for (int i = 0; i < n; i++) {
        char *end;
        bool last = i == n - 1;
        unsigned long v;

        if (!isdigit((unsigned char)parts[i][0]))
            return -EINVAL;
        errno = 0;
        v = strtoul(parts[i], &end, 10);
        if (*end != (last ? '\0' : ':') || errno)
            return -EINVAL;
        if (i > 0 && v >= (n - i == 3 ? 24 : 60))
            return -EINVAL;
        total += (double)v * scale[n - 1 - i];
    }
    *seconds = total;
    return 0;
}

int lt_parse_duration(const char *s, double *seconds)
{
    static const struct {
        const char *unit;
        double scale;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *rest;
    double v;

    if (strchr(s, ':'))
        return parse_clock(s, seconds);
    rest = scan_number(s, &v);
    for (size_t i = 0; rest && i < LT_ARRAY_LEN(units); i++)
        if (strcmp(rest, units[i].unit) == 0) {
            *seconds = v * units[i].scale;
            return 0;
        }
    return -EINVAL;
}

/* k, KB, Ki, KiB, …, B, nothing; the factor or 0. */
static uint64_t size_unit(const char *s)
{
    static const char letters[] = "KMGTPE";
    const char *at = *s ? strchr(letters, toupper((unsigned char)*s)) : NULL;
    uint64_t factor = 1, step = 1000;

    if (at) {
        s++;
        if (*s == 'i') {
            step = 1024;
            s++;
        }
        for (const char *p = letters; p <= at; p++)
            factor *= step;
    }
    if (*s == 'B')
        s++;
    return *s ? 0 : factor;
}

int lt_parse_size(const char *s, uint64_t *bytes)
{
    size_t digits = strspn(s, "0123456789");
    uint64_t whole = 0, factor;
    const char *rest;
    double v;

    rest = scan_number(s, &v);
    factor = rest ? size_unit(rest) : 0;
    if (!factor)
        return -EINVAL;
    if (rest != s + digits) { /* with a fraction or an exponent */
        if (v * (double)factor >= 0x1p64)
            return -ERANGE;
        *bytes = (uint64_t)(v * (double)factor);
        return 0;
    }
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(whole, 10u, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(s[i] - '0'), &whole))
            return -ERANGE;
    if (__builtin_mul_overflow(whole, factor, &whole))
        return -ERANGE;
    *bytes = whole;
    return 0;
}

size_t lt_print_size(char *buf, size_t n, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes / 1024;
    size_t i = 0;

    if (bytes < 1024)
        return (size_t)snprintf(buf, n, "%u B", (unsigned)bytes);
    while (v >= 1023.95 && i + 1 < LT_ARRAY_LEN(units)) { /* would print as 1024.0 */
        v /= 1024;
        i++;
    }
    return (size_t)snprintf(buf, n, "%.1f %s", v, units[i]);
}
