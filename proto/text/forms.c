/* forms.c - messages that are written as one scalar
 *
 * Which member of a oneof {count, fraction, time} is meant is in the scalar's form: `1` is one
 * batch, `1.0` is all of them. Printing keeps the form, so that text → message → text → message
 * loses nothing.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"
#include "lt/v1/plan.pb-c.h"
#include "proto/text/tree.h"
#include "proto/text/values.h"

static void print_real(struct lt_buf *out, double v, bool *quoted)
{
    char number[40];

    lt_print_double(number, sizeof number, v);
    lt_buf_str(out, number);
    *quoted = !isfinite(v);
}

static int read_seconds(const char *s, double *seconds)
{
    if (lt_parse_duration(s, seconds) == 0)
        return 0;
    return lt_parse_double(s, seconds) == 0
               ? 0
               : -EINVAL; /* negative and not finite ones: refused by name later */
}

/* 7200 → 2h, 90 → 90s, 0.25 → 0.25: always what reads back as the same number. */
static void print_seconds(struct lt_buf *out, double s, bool *quoted)
{
    static const struct {
        double scale;
        char unit;
    } units[] = {{3600, 'h'}, {60, 'm'}, {1, 's'}};

    *quoted = true;
    for (size_t i = 0; i < LT_ARRAY_LEN(units); i++)
        if (s > 0 && s < 1e12 && fmod(s, units[i].scale) == 0) {
            lt_buf_printf(out, "%.0f%c", s / units[i].scale, units[i].unit);
            return;
        }
    print_real(out, s, quoted);
}

static int duration_read(const struct lt_node *n, ProtobufCMessage *m, struct lt_arena *arena)
{
    Lt__V1__Duration *d = (Lt__V1__Duration *)m;

    (void)arena;
    d->has_seconds = true;
    return read_seconds(n->text, &d->seconds);
}

static bool duration_print(const ProtobufCMessage *m, struct lt_buf *out, bool *quoted)
{
    const Lt__V1__Duration *d = (const Lt__V1__Duration *)m;

    if (d->has_seconds)
        print_seconds(out, d->seconds, quoted);
    return d->has_seconds;
}

static int size_read(const struct lt_node *n, ProtobufCMessage *m, struct lt_arena *arena)
{
    Lt__V1__Size *s = (Lt__V1__Size *)m;

    (void)arena;
    s->has_bytes = true;
    return lt_parse_size(n->text, &s->bytes);
}

static bool size_print(const ProtobufCMessage *m, struct lt_buf *out, bool *quoted)
{
    static const struct {
        uint64_t scale;
        const char *unit;
    } units[] = {{1u << 30, "GiB"}, {1u << 20, "MiB"}, {1u << 10, "KiB"}};
    const Lt__V1__Size *s = (const Lt__V1__Size *)m;

    if (!s->has_bytes)
        return false;
    for (size_t i = 0; i < LT_ARRAY_LEN(units); i++)
        if (s->bytes && s->bytes % units[i].scale == 0) {
            *quoted = true;
            lt_buf_printf(out, "%llu%s", (unsigned long long)(s->bytes / units[i].scale),
                          units[i].unit);
            return true;
        }
    *quoted = false;
    lt_buf_printf(out, "%llu", (unsigned long long)s->bytes);
    return true;
}

static int count_or_auto_read(const struct lt_node *n, ProtobufCMessage *m, struct lt_arena *arena)
{
    Lt__V1__CountOrAuto *c = (Lt__V1__CountOrAuto *)m;

    (void)arena;
    if (!strcmp(n->text, "auto")) {
        c->value_case = LT__V1__COUNT_OR_AUTO__VALUE_AUTO;
        c->auto_ = true;
        return 0;
    }
    c->value_case = LT__V1__COUNT_OR_AUTO__VALUE_COUNT;
    return n->quoted ? -EINVAL : lt_parse_u64(n->text, &c->count);
}

static bool count_or_auto_print(const ProtobufCMessage *m, struct lt_buf *out, bool *quoted)
{
    const Lt__V1__CountOrAuto *c = (const Lt__V1__CountOrAuto *)m;

    *quoted = c->value_case == LT__V1__COUNT_OR_AUTO__VALUE_AUTO;
    if (*quoted && !c->auto_)
        return false;
    if (*quoted)
        lt_buf_str(out, "auto");
    else if (c->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT)
        lt_buf_printf(out, "%llu", (unsigned long long)c->count);
    return c->value_case != LT__V1__COUNT_OR_AUTO__VALUE__NOT_SET;
}

/* `1`: a count; `1.0`, `1e-3`: a fraction. */
static int read_amount(const struct lt_node *n, uint64_t *count, double *fraction, bool *is_count)
{
    if (n->quoted)
        return -EINVAL;
    *is_count = lt_parse_u64(n->text, count) == 0;
    if (*is_count)
        return 0;
    return strpbrk(n->text, ".eEn") ? lt_parse_double(n->text, fraction) : -EINVAL;
}

static int batch_limit_read(const struct lt_node *n, ProtobufCMessage *m, struct lt_arena *arena)
{
    Lt__V1__BatchLimit *b = (Lt__V1__BatchLimit *)m;
    uint64_t count;
    double fraction;
    bool is_count;

    (void)arena;
    if (read_amount(n, &count, &fraction, &is_count) < 0)
        return -EINVAL;
    b->value_case =
        is_count ? LT__V1__BATCH_LIMIT__VALUE_COUNT : LT__V1__BATCH_LIMIT__VALUE_FRACTION;
    if (is_count)
        b->count = count;
    else
        b->fraction = fraction;
    return 0;
}

static bool batch_limit_print(const ProtobufCMessage *m, struct lt_buf *out, bool *quoted)
{
    const Lt__V1__BatchLimit *b = (const Lt__V1__BatchLimit *)m;

    *quoted = false;
    if (b->value_case == LT__V1__BATCH_LIMIT__VALUE_COUNT)
        lt_buf_printf(out, "%llu", (unsigned long long)b->count);
    else if (b->value_case == LT__V1__BATCH_LIMIT__VALUE_FRACTION)
        print_real(out, b->fraction, quoted);
    return b->value_case != LT__V1__BATCH_LIMIT__VALUE__NOT_SET;
}

static int check_interval_read(const struct lt_node *n, ProtobufCMessage *m, struct lt_arena *arena)
{
    Lt__V1__CheckInterval *c = (Lt__V1__CheckInterval *)m;
    uint64_t count;
    double fraction;
    bool is_count;

    if (read_amount(n, &count, &fraction, &is_count) == 0) {
        c->value_case =
            is_count ? LT__V1__CHECK_INTERVAL__VALUE_COUNT : LT__V1__CHECK_INTERVAL__VALUE_FRACTION;
        if (is_count)
            c->count = count;
        else
            c->fraction = fraction;
        return 0;
    }
    c->time = lt_arena_alloc(arena, sizeof *c->time);
    if (!c->time)
        return -ENOMEM;
    lt__v1__duration__init(c->time);
    c->value_case = LT__V1__CHECK_INTERVAL__VALUE_TIME;
    c->time->has_seconds = true;
    return lt_parse_duration(n->text, &c->time->seconds);
}

/* A time is printed with a unit or a colon, whatever its length: a bare number would be a count. */
static bool check_interval_print(const ProtobufCMessage *m, struct lt_buf *out, bool *quoted)
{
    const Lt__V1__CheckInterval *c = (const Lt__V1__CheckInterval *)m;

    *quoted = false;
    switch (c->value_case) {
    case LT__V1__CHECK_INTERVAL__VALUE_COUNT:
        lt_buf_printf(out, "%llu", (unsigned long long)c->count);
        return true;
    case LT__V1__CHECK_INTERVAL__VALUE_FRACTION:
        print_real(out, c->fraction, quoted);
        return true;
    case LT__V1__CHECK_INTERVAL__VALUE_TIME:
        if (!c->time->has_seconds || c->time->seconds < 0 || !isfinite(c->time->seconds))
            return false;
        print_seconds(out, c->time->seconds, quoted);
        if (!*quoted)
            lt_buf_char(out, 's');
        *quoted = true;
        return true;
    default:
        return false;
    }
}

static const struct lt_form forms[] = {
    {&lt__v1__duration__descriptor, duration_read, duration_print,
     "a length of time: 90s, 2h, 1:30:00"},
    {&lt__v1__size__descriptor, size_read, size_print, "an amount of memory: 4GiB, 512MB"},
    {&lt__v1__count_or_auto__descriptor, count_or_auto_read, count_or_auto_print,
     "a whole number or auto"},
    {&lt__v1__batch_limit__descriptor, batch_limit_read, batch_limit_print,
     "a number of batches (10) or a fraction of them (0.5)"},
    {&lt__v1__check_interval__descriptor, check_interval_read, check_interval_print,
     "a number of batches (100), a fraction of the epoch (0.25) or a time (30m)"},
};

const struct lt_form *lt_form_of(const ProtobufCMessageDescriptor *d)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(forms); i++)
        if (forms[i].message == d)
            return &forms[i];
    return NULL;
}
