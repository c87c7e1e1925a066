/* template.c - names with fields, read part by part; of Python's format specifications what decimal
 * numbers have (https://docs.python.org/3/library/string.html#format-specification-mini-language)
 */
#include "proto/template.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* A number of at most two digits. */
static const char *skip_number(const char *s, const char *end)
{
    const char *p = s;

    while (p < end && *p >= '0' && *p <= '9' && p - s < 2)
        p++;
    return p;
}

static const char *skip_one(const char *s, const char *end, const char *of)
{
    return s < end && strchr(of, *s) ? s + 1 : s;
}

/* [[fill]align][sign][0][width][grouping][.precision][type] */
static bool is_format(const char *s, size_t n)
{
    const char *end = s + n, *digits;

    if (n >= 2 && strchr("<>=^", s[1]))
        s += 2;
    else
        s = skip_one(s, end, "<>=^");
    s = skip_one(s, end, "+- ");
    s = skip_one(s, end, "0");
    s = skip_number(s, end);
    s = skip_one(s, end, ",_");
    if (s < end && *s == '.') {
        digits = s + 1;
        s = skip_number(digits, end);
        if (s == digits)
            return false;
    }
    return skip_one(s, end, "dneEfFgG%") == end;
}

static int next_field(const char **at, struct lt_template_part *part)
{
    const char *name = *at + 1;
    const size_t n = strcspn(name, "{}");
    const char *colon = memchr(name, ':', n);

    if (name[n] != '}')
        return -EINVAL;
    *part = (struct lt_template_part){.name = name, .name_len = colon ? (size_t)(colon - name) : n};
    if (colon) {
        part->format = colon + 1;
        part->format_len = (size_t)(name + n - part->format);
    }
    *at = name + n + 1;
    return part->name_len && is_format(part->format ? part->format : "", part->format_len)
               ? 1
               : -EINVAL;
}

int lt_template_next(const char **at, struct lt_template_part *part)
{
    const size_t n = strcspn(*at, "{}");

    if (!**at)
        return 0;
    if (n) {
        *part = (struct lt_template_part){.literal = *at, .literal_len = n};
        *at += n;
        return 1;
    }
    return **at == '{' ? next_field(at, part) : -EINVAL;
}
