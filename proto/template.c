/* template.c - names with fields, read part by part; of Python's format specifications what decimal
 * numbers have (https://docs.python.org/3/library/string.html#format-specification-mini-language)
 */
#include "proto/template.h"

#include <errno.h>
#include <string.h>

/* A number of at most two digits. */
static const char *read_number(const char *s, const char *end, int *out)
{
    const char *p = s;

    for (*out = 0; p < end && *p >= '0' && *p <= '9' && p - s < 2; p++)
        *out = *out * 10 + (*p - '0');
    return p;
}

/* One character of a set, where there is one. */
static const char *read_one(const char *s, const char *end, const char *of, char *out)
{
    if (s == end || !*s || !strchr(of, *s))
        return s;
    *out = *s;
    return s + 1;
}

static const char *read_align(const char *s, const char *end, struct lt_number_spec *f)
{
    char align = '\0';

    if (end - s >= 2 && read_one(s + 1, end, "<>=^", &align) == s + 2)
        f->fill = *s++;
    return read_one(s, end, "<>=^", &f->align);
}

int lt_number_spec_parse(const char *s, size_t n, struct lt_number_spec *out)
{
    const char *end = s + n, *digits;
    char zero = '\0';

    *out = (struct lt_number_spec){.fill = ' ', .sign = '-', .precision = -1};
    s = read_align(s, end, out);
    s = read_one(s, end, "+- ", &out->sign);
    s = read_one(s, end, "0", &zero);
    if (zero && !out->align) {
        out->fill = '0';
        out->align = '=';
    }
    s = read_number(s, end, &out->width);
    s = read_one(s, end, ",_", &out->group);
    if (s < end && *s == '.') {
        digits = s + 1;
        s = read_number(digits, end, &out->precision);
        if (s == digits)
            return -EINVAL;
    }
    return read_one(s, end, "dneEfFgG%", &out->type) == end ? 0 : -EINVAL;
}

static int next_field(const char **at, struct lt_template_part *part)
{
    const char *name = *at + 1;
    const size_t n = strcspn(name, "{}");
    const char *colon = memchr(name, ':', n);
    struct lt_number_spec ignored;

    if (name[n] != '}')
        return -EINVAL;
    *part = (struct lt_template_part){.name = name, .name_len = colon ? (size_t)(colon - name) : n};
    if (colon) {
        part->format = colon + 1;
        part->format_len = (size_t)(name + n - part->format);
    }
    if (!part->name_len ||
        lt_number_spec_parse(part->format ? part->format : "", part->format_len, &ignored) < 0)
        return -EINVAL;
    *at = name + n + 1;
    return 1;
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
