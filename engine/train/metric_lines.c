/* metric_lines.c - see metric_lines.h */
#include "engine/train/metric_lines.h"

#include <string.h>

#include "base/auto.h"
#include "base/str.h"

static void keep_example(struct lt_metric_lines *m)
{
    size_t n = LT_MIN(m->len, sizeof m->example - 1);

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)m->line[i];

        m->example[i] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    m->example[n] = 0;
}

/* The next word, ended; NULL: none. */
static char *word(char **p)
{
    char *begin = *p + strspn(*p, " \t");
    size_t n = strcspn(begin, " \t");

    if (!n)
        return NULL;
    *p = begin[n] ? begin + n + 1 : begin + n;
    begin[n] = 0;
    return begin;
}

static bool parse(char *line, struct lt_metric_value *v)
{
    const char *head = word(&line), *value, *step;

    v->name = word(&line);
    value = word(&line);
    step = word(&line);
    v->has_step = step;
    return value && strcmp(head, "LTD_METRIC") == 0 && !word(&line) &&
           lt_metric_name_valid(v->name, strlen(v->name)) && strcmp(v->name, "step") != 0 &&
           lt_parse_double(value, &v->value) == 0 && (!step || lt_parse_u64(step, &v->step) == 0);
}

static bool may_pass(struct lt_metric_lines *m)
{
    if (m->spent + 1 > LT_METRIC_BURST)
        return false;
    m->spent++;
    return true;
}

static void end_line(struct lt_metric_lines *m, lt_metric_fn *fn, void *arg)
{
    struct lt_metric_value v = {0};
    char copy[LT_METRIC_LINE_MAX + 1];

    if (m->len && m->line[m->len - 1] == '\r')
        m->len--;
    m->line[m->len] = 0;
    memcpy(copy, m->line, m->len + 1);
    if (m->too_long || (m->len && (memchr(m->line, 0, m->len) || !parse(copy, &v)))) {
        if (m->garbage++ == 0)
            keep_example(m);
    } else if (m->len && may_pass(m)) {
        fn(arg, &v);
    } else if (m->len) {
        m->dropped++;
    }
    m->len = 0;
    m->too_long = false;
}

static void refill(struct lt_metric_lines *m, uint64_t now_ns)
{
    double gone = m->now_ns && now_ns > m->now_ns ? (double)(now_ns - m->now_ns) * 1e-9 : 0;

    m->spent -= gone * LT_METRIC_RATE;
    if (m->spent < 0)
        m->spent = 0;
    m->now_ns = now_ns;
}

void lt_metric_lines_take(struct lt_metric_lines *m, const char *data, size_t n, uint64_t now_ns,
                          lt_metric_fn *fn, void *arg)
{
    refill(m, now_ns);
    for (const char *p = data, *end = data + n; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t part = (size_t)((newline ? newline : end) - p), fits = LT_METRIC_LINE_MAX - m->len;

        m->too_long = m->too_long || part > fits;
        memcpy(m->line + m->len, p, LT_MIN(part, fits));
        m->len += LT_MIN(part, fits);
        p += part + (newline != NULL);
        if (newline)
            end_line(m, fn, arg);
    }
}

void lt_metric_lines_end(struct lt_metric_lines *m, lt_metric_fn *fn, void *arg)
{
    if (m->len || m->too_long)
        end_line(m, fn, arg);
}
