/* plan_rules.c - one field at a time: ranges, lengths, what must be there */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/auto.h"
#include "base/buf.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/checks.h"
#include "proto/reflect.h"

#define TEXT_MAX 65536 /* bytes of one text */

enum kind { KIND_FROM_TO, KIND_ABOVE, KIND_BELOW, KIND_ITEMS, KIND_NEEDED };
struct rule {
    const char *message, *field;
    enum kind kind;
    double low, high;
};

#define NO_LIMIT INFINITY
#define FROM_TO(message, field, low, high) {#message, #field, KIND_FROM_TO, low, high},
#define ABOVE(message, field, low, high) {#message, #field, KIND_ABOVE, low, high},
#define BELOW(message, field, low, high) {#message, #field, KIND_BELOW, low, high},
#define ITEMS(message, field, low, high) {#message, #field, KIND_ITEMS, low, high},
#define NEEDED(message, field) {#message, #field, KIND_NEEDED, 0, 0},
static const struct rule rules[] = {
#include "proto/plan_rules.h"
};

static bool number_of(const ProtobufCFieldDescriptor *f, const void *value, double *out)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
        *out = *(const int32_t *)value;
        return true;
    case PROTOBUF_C_TYPE_INT64:
        *out = (double)*(const int64_t *)value;
        return true;
    case PROTOBUF_C_TYPE_UINT32:
        *out = *(const uint32_t *)value;
        return true;
    case PROTOBUF_C_TYPE_UINT64:
        *out = (double)*(const uint64_t *)value;
        return true;
    case PROTOBUF_C_TYPE_DOUBLE:
        *out = *(const double *)value;
        return true;
    default:
        return false;
    }
}

/* 1, 0.5, 2147483647: as people write them. */
static const char *show(double v, char *space, size_t n)
{
    size_t len = lt_print_double(space, n, v);

    if (len > 2 && !strcmp(space + len - 2, ".0"))
        space[len - 2] = '\0';
    return space;
}

static void range_text(const struct rule *r, struct lt_buf *out)
{
    char low[40], high[40];

    show(r->low, low, sizeof low);
    show(r->high, high, sizeof high);
    if (r->kind == KIND_ABOVE)
        lt_buf_printf(out, isinf(r->high) ? "above %s" : "above %s and at most %s", low, high);
    else if (r->kind == KIND_BELOW)
        lt_buf_printf(out, "at least %s and below %s", low, high);
    else if (isinf(r->high))
        lt_buf_printf(out, "at least %s", low);
    else
        lt_buf_printf(out, "from %s to %s", low, high);
}

static void check_range(const struct rule *r, const ProtobufCFieldDescriptor *f, const void *value,
                        const char *path, struct lt_problems *problems)
{
    LT_BUF_AUTO remedy = {0};
    char shown[40];
    double v;

    if (!number_of(f, value, &v) || !isfinite(v))
        return; /* not finite: said once, for every field */
    if ((r->kind == KIND_ABOVE ? v > r->low : v >= r->low) &&
        (r->kind == KIND_BELOW ? v < r->high : v <= r->high))
        return;
    lt_buf_str(&remedy, "write a number ");
    range_text(r, &remedy);
    lt_problem_add(problems, path, remedy.data, "%s is out of range", show(v, shown, sizeof shown));
}

static void check_needed(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                         const char *path, struct lt_problems *problems)
{
    const size_t n = lt_field_count(m, f);
    LT_BUF_AUTO remedy = {0};

    lt_buf_printf(&remedy, "write `%s: …`", f->name);
    if (!n)
        lt_problem_add(problems, path, remedy.data, "is missing");
    else if (f->type == PROTOBUF_C_TYPE_STRING && f->label != PROTOBUF_C_LABEL_REPEATED &&
             !**(const char *const *)lt_field_at(m, f, 0))
        lt_problem_add(problems, path, remedy.data, "is empty");
}

static void check_items(const struct rule *r, size_t n, const char *path,
                        struct lt_problems *problems)
{
    char remedy[64];

    if (r->high > r->low)
        snprintf(remedy, sizeof remedy, "write %g to %g items", r->low, r->high);
    else
        snprintf(remedy, sizeof remedy, "write %g items", r->low);
    lt_problem_add(problems, path, remedy, "has %zu item%s", n, n == 1 ? "" : "s");
}

/* Written as one value in the plan, so that its field's name would only confuse. */
static bool is_value(const char *message)
{
    return !strcmp(message, "Duration") || !strcmp(message, "Size") ||
           !strcmp(message, "BatchLimit") || !strcmp(message, "CheckInterval");
}

static void apply(const struct rule *r, const ProtobufCMessage *m, struct lt_buf *path,
                  struct lt_problems *problems)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, r->field);
    const size_t n = lt_field_count(m, f), len = path->len;

    if (len)
        lt_buf_char(path, '.');
    lt_buf_str(path, f->name);
    if (r->kind == KIND_NEEDED)
        check_needed(m, f, path->data, problems);
    else if (r->kind == KIND_ITEMS && n && ((double)n < r->low || (double)n > r->high))
        check_items(r, n, path->data, problems);
    lt_path_pop(path, len);
    if (r->kind >= KIND_ITEMS)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!is_value(r->message))
            lt_path_push(path, f, i);
        check_range(r, f, lt_field_at(m, f, i), lt_path_text(path), problems);
        lt_path_pop(path, len);
    }
}

static void check_any(const ProtobufCFieldDescriptor *f, const void *value, const char *path,
                      struct lt_problems *problems)
{
    if (f->type == PROTOBUF_C_TYPE_DOUBLE && !isfinite(*(const double *)value))
        lt_problem_add(problems, path, "write a finite number", "isn't a finite number");
    if (f->type == PROTOBUF_C_TYPE_STRING && strlen(*(const char *const *)value) > TEXT_MAX)
        lt_problem_add(problems, path, "shorten it", "a text of %zu bytes; at most %d are allowed",
                       strlen(*(const char *const *)value), TEXT_MAX);
}

/* From the message's first row to its last; others may stand between. */
static void find_rules(const char *message, size_t *first, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < LT_ARRAY_LEN(rules); i++)
        if (!strcmp(rules[i].message, message)) {
            *first = *n ? *first : i;
            *n = i - *first + 1;
        }
}

void lt_rules_check(struct lt_rules_cache *cache, const ProtobufCMessage *m, struct lt_buf *path,
                    struct lt_problems *problems)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const size_t slot = ((uintptr_t)d / sizeof *d) % LT_ARRAY_LEN(cache->slots);

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];

        if (f->type != PROTOBUF_C_TYPE_DOUBLE && f->type != PROTOBUF_C_TYPE_STRING)
            continue;
        for (size_t k = 0, n = lt_field_count(m, f); k < n; k++) {
            const size_t len = lt_path_push(path, f, k);

            check_any(f, lt_field_at(m, f, k), path->data, problems);
            lt_path_pop(path, len);
        }
    }
    if (cache->slots[slot].message != d) {
        cache->slots[slot].message = d;
        find_rules(d->short_name, &cache->slots[slot].first, &cache->slots[slot].n);
    }
    for (size_t i = 0; i < cache->slots[slot].n; i++) {
        const struct rule *r = &rules[cache->slots[slot].first + i];

        if (!strcmp(r->message, d->short_name))
            apply(r, m, path, problems);
    }
}
