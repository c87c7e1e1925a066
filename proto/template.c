/* template.c - names with fields, read part by part; of Python's format specifications what numbers need */
#include "proto/template.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_format(const char *s, size_t n)
{
    const char *end = s + n;

    s += strspn(s, "0123456789") < n ? strspn(s, "0123456789") : n;
    if (s < end && *s == '.') {
        const size_t digits = strspn(s + 1, "0123456789");

        if (!digits)
            return false;
        s += 1 + digits;
    }
    if (s < end && strchr("dfFeEgG", *s))
        s++;
    return s == end && n <= 8;
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
    return part->name_len && is_format(part->format ? part->format : "", part->format_len) ? 1 : -EINVAL;
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
