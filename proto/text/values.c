/* values.c - scalars as text
 *
 * A number is never guessed at: `1.0` for a whole number, `"3"` in quotes, `yes` for a truth value
 * are refused with the form that is right, because what YAML makes of such words depends on who
 * reads it.
 */
#include "proto/text/values.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"
#include "proto/plan.h"
#include "proto/reflect.h"
#include "proto/text/base64.h"
#include "proto/text/text.h"
#include "proto/text/tree.h"

#define SHOWN 60 /* characters of a value in a message */

static int fault_set(struct lt_fault *fault, const char *remedy, const char *value,
                     const char *reason)
{
    snprintf(fault->reason, sizeof fault->reason, "`%.*s` %s", SHOWN, value, reason);
    snprintf(fault->remedy, sizeof fault->remedy, "%s", remedy);
    return -EINVAL;
}

static bool is_signed(ProtobufCType t)
{
    return t == PROTOBUF_C_TYPE_INT32 || t == PROTOBUF_C_TYPE_SINT32 ||
           t == PROTOBUF_C_TYPE_SFIXED32 || t == PROTOBUF_C_TYPE_INT64 ||
           t == PROTOBUF_C_TYPE_SINT64 || t == PROTOBUF_C_TYPE_SFIXED64;
}

static int integer_fault(const struct lt_node *n, bool negatives, int rc, struct lt_fault *fault)
{
    const char *remedy =
        negatives ? "write a whole number, like 3 or -1" : "write a whole number, like 3";
    double d;
    int64_t i;

    if (rc == -ERANGE)
        return fault_set(fault, "write a smaller number", n->text, "is too large");
    if (!negatives && lt_parse_i64(n->text, &i) == 0)
        return fault_set(fault, remedy, n->text, "is negative");
    if (lt_parse_double(n->text, &d) == 0 && isfinite(d))
        return fault_set(fault, remedy, n->text, "isn't a whole number");
    return fault_set(fault, remedy, n->text, "isn't a number");
}

static int read_integer(ProtobufCType type, const struct lt_node *n, void *out,
                        struct lt_fault *fault)
{
    const bool negatives = is_signed(type), wide = lt_type_size(type) == 8;
    int64_t i = 0;
    uint64_t u = 0;
    int rc;

    if (n->quoted)
        return fault_set(fault, "write the number without quotes", n->text,
                         "is a text, not a number");
    rc = negatives ? lt_parse_i64(n->text, &i) : lt_parse_u64(n->text, &u);
    if (rc == 0 && !wide && (negatives ? i != (int32_t)i : u != (uint32_t)u))
        rc = -ERANGE;
    if (rc < 0)
        return integer_fault(n, negatives, rc, fault);
    if (negatives)
        u = (uint64_t)i;
    if (wide)
        memcpy(out, &u, 8);
    else
        memcpy(out, &(uint32_t){(uint32_t)u}, 4);
    return 0;
}

/* YAML's and everybody else's words for what isn't finite; also in quotes, as JSON has to write
 * them. */
static bool read_special(const char *s, double *out)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {
        {"nan", NAN},           {".nan", NAN},           {".NaN", NAN},       {"NaN", NAN},
        {"inf", INFINITY},      {".inf", INFINITY},      {"-inf", -INFINITY}, {"-.inf", -INFINITY},
        {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};

    for (size_t i = 0; i < LT_ARRAY_LEN(words); i++)
        if (!strcmp(s, words[i].word)) {
            *out = words[i].value;
            return true;
        }
    return false;
}

static int read_real(const struct lt_node *n, double *out, struct lt_fault *fault)
{
    int rc;

    if (read_special(n->text, out))
        return 0;
    if (n->quoted)
        return fault_set(fault, "write the number without quotes", n->text,
                         "is a text, not a number");
    rc = lt_parse_double(n->text, out);
    if (rc == -ERANGE)
        return fault_set(fault, "write a smaller number", n->text, "is too large");
    return rc < 0 ? fault_set(fault, "write a number, like 0.1 or 1e-3", n->text, "isn't a number")
                  : 0;
}

static int read_bool(const struct lt_node *n, protobuf_c_boolean *out, struct lt_fault *fault)
{
    static const char *const words[] = {"false", "False", "FALSE", "true", "True", "TRUE"};

    for (size_t i = 0; i < LT_ARRAY_LEN(words) && !n->quoted; i++)
        if (!strcmp(n->text, words[i])) {
            *out = i >= 3;
            return 0;
        }
    return fault_set(fault, "write true or false", n->text, "isn't a truth value");
}

static void lower(const char *s, char *out, size_t n)
{
    size_t i = 0;

    for (; s[i] && i + 1 < n; i++)
        out[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
    out[i] = '\0';
}

/* `on` and `off` are written true and false: YAML readers don't agree about them. */
static const char *enum_word(const char *name, char *space, size_t n)
{
    lower(name, space, n);
    if (!strcmp(space, "on"))
        return "true";
    return !strcmp(space, "off") ? "false" : space;
}

static int enum_fault(const ProtobufCEnumDescriptor *d, const char *value, struct lt_arena *arena,
                      struct lt_fault *fault)
{
    const char **words = lt_arena_alloc(arena, d->n_values * sizeof *words);
    LT_BUF_AUTO list = {0};
    const char *near;
    char word[64];

    for (unsigned i = 0; words && i < d->n_values; i++) {
        words[i] = lt_arena_strdup(arena, enum_word(d->values[i].name, word, sizeof word));
        if (!words[i])
            return -ENOMEM;
        lt_buf_printf(&list, "%s%s", i == 0 ? "" : i + 1 == d->n_values ? " or " : ", ", words[i]);
    }
    if (!words)
        return -ENOMEM;
    near = lt_suggest(value, words, d->n_values);
    fault_set(fault, "", value, "is none of its values");
    if (near)
        snprintf(fault->remedy, sizeof fault->remedy, "did you mean `%s`? (%s)", near, list.data);
    else
        snprintf(fault->remedy, sizeof fault->remedy, "write %s", list.data);
    return -EINVAL;
}

static int read_enum(const ProtobufCEnumDescriptor *d, const struct lt_node *n,
                     struct lt_arena *arena, int *out, struct lt_fault *fault)
{
    char space[64];

    for (unsigned i = 0; i < d->n_values; i++) {
        const char *name = d->values[i].name;

        if (!strcmp(n->text, name) || !strcmp(n->text, enum_word(name, space, sizeof space))) {
            *out = d->values[i].value;
            return 0;
        }
        lower(name, space, sizeof space);
        if (!strcmp(n->text, space)) {
            *out = d->values[i].value;
            return 0;
        }
    }
    return enum_fault(d, n->text, arena, fault);
}

int lt_value_read(const ProtobufCFieldDescriptor *f, const struct lt_node *n,
                  struct lt_arena *arena, void *out, struct lt_fault *fault)
{
    float narrow;
    double d;
    int rc;

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)out = (char *)n->text;
        return 0;
    case PROTOBUF_C_TYPE_BYTES:
        rc = lt_base64_read(n->text, arena, out);
        return rc == -EINVAL ? fault_set(fault, "write base64", n->text, "isn't base64") : rc;
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(n, out, fault);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(f->descriptor, n, arena, out, fault);
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_real(n, out, fault);
    case PROTOBUF_C_TYPE_FLOAT:
        rc = read_real(n, &d, fault);
        narrow = (float)d;
        if (rc == 0)
            memcpy(out, &narrow, sizeof narrow);
        return rc;
    default:
        return read_integer(f->type, n, out, fault);
    }
}

static bool plan_enum(const ProtobufCEnumDescriptor *d)
{
    return !strcmp(d->name, "lt.v1.Mode") || !strcmp(d->name, "lt.v1.Evaluation.Mode");
}

static void print_enum(const ProtobufCEnumDescriptor *d, int v, int flags, struct lt_buf *out,
                       bool *quoted)
{
    const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(d, v);
    const bool lowered = (flags & LT_TEXT_ENUM_LOWER) || plan_enum(d);
    char space[64];
    const char *word;

    *quoted = true;
    if (!e) {
        lt_buf_printf(out, "%d", v);
    } else if (lowered && !strcmp(d->name, "lt.v1.JobState")) {
        lt_buf_str(out, lt_job_state_name((Lt__V1__JobState)v));
    } else if (lowered && !strcmp(d->name, "lt.v1.JobResult")) {
        lt_buf_str(out, lt_job_result_name((Lt__V1__JobResult)v));
    } else if (lowered && !strcmp(d->name, "lt.v1.FailureClass")) {
        lt_buf_str(out, lt_failure_class_name((Lt__V1__FailureClass)v));
    } else {
        word = enum_word(e->name, space, sizeof space);
        *quoted = word == space;
        lt_buf_str(out, word == space && !lowered ? e->name : word);
    }
}

static void print_integer(ProtobufCType type, const void *value, struct lt_buf *out)
{
    const bool wide = lt_type_size(type) == 8;

    if (is_signed(type))
        lt_buf_printf(out, "%lld",
                      wide ? (long long)*(const int64_t *)value
                           : (long long)*(const int32_t *)value);
    else
        lt_buf_printf(out, "%llu",
                      wide ? (unsigned long long)*(const uint64_t *)value
                           : (unsigned long long)*(const uint32_t *)value);
}

/* 1e-05 → 1.0e-05: without a point YAML 1.1 takes it for a text. */
static void print_real(const char *number, struct lt_buf *out)
{
    const char *e = strchr(number, 'e');

    if (e && !strchr(number, '.'))
        lt_buf_printf(out, "%.*s.0%s", (int)(e - number), number, e);
    else
        lt_buf_str(out, number);
}

void lt_value_print(const ProtobufCFieldDescriptor *f, const void *value, int flags,
                    struct lt_buf *out, bool *quoted)
{
    char number[40];
    double d;

    *quoted = false;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *quoted = true;
        lt_buf_str(out, f->label == PROTOBUF_C_LABEL_OPTIONAL && value == f->default_value
                            ? value
                            : (const void *)*(const char *const *)value);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        *quoted = true;
        lt_base64_print(value, out);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        lt_buf_str(out, *(const protobuf_c_boolean *)value ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        print_enum(f->descriptor, *(const int *)value, flags, out, quoted);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FLOAT:
        d = f->type == PROTOBUF_C_TYPE_FLOAT ? (double)*(const float *)value
                                             : *(const double *)value;
        lt_print_double(number, sizeof number, d);
        *quoted = !isfinite(d);
        print_real(number, out);
        return;
    default:
        print_integer(f->type, value, out);
    }
}
