/* number_format.c - int and float printed by Python's format specs (read in proto/template.h)
 *
 * (https://docs.python.org/3/library/string.html#format-specification-mini-language)
 */
#include "engine/train/template.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "proto/template.h"

static void print_as(char type, int precision, double v, char *text, size_t n)
{
    switch (type) {
    case '%':
        snprintf(text, n, "%.*f%%", precision, v * 100);
        break;
    case 'e':
        snprintf(text, n, "%.*e", precision, v);
        break;
    case 'E':
        snprintf(text, n, "%.*E", precision, v);
        break;
    case 'f':
    case 'F':
        snprintf(text, n, "%.*f", precision, v);
        break;
    case 'G':
        snprintf(text, n, "%.*G", precision, v);
        break;
    default:
        snprintf(text, n, "%.*g", precision, v);
        break;
    }
}

/* Digits of |v| without sign. */
static void digits(double v, const struct lt_number_spec *f, struct lt_buf *out)
{
    char text[512];

    if (isnan(v) || isinf(v))
        snprintf(text, sizeof text, "%s", isnan(v) ? "nan" : "inf");
    else if (!f->type && f->precision < 0)
        lt_print_double(text, sizeof text, v);
    else
        print_as(f->type, f->precision < 0 ? 6 : f->precision, v, text, sizeof text);
    lt_buf_str(out, text);
}

static void group(struct lt_buf *text, char mark)
{
    LT_BUF_AUTO out = {0};
    size_t whole = strspn(text->data, "0123456789");

    for (size_t i = 0; i < text->len; i++) {
        if (i && i < whole && (whole - i) % 3 == 0)
            lt_buf_char(&out, mark);
        lt_buf_char(&out, text->data[i]);
    }
    lt_buf_done(text);
    *text = out;
    out = (struct lt_buf){0};
}

static void pad(const struct lt_number_spec *f, const char *sign, const struct lt_buf *text,
                struct lt_buf *out)
{
    int missing = f->width - (int)(strlen(sign) + text->len);
    int left = f->align == '<' ? 0 : f->align == '^' ? missing / 2 : missing;
    int right = f->align == '<' ? missing : f->align == '^' ? missing - missing / 2 : 0;

    if (f->align == '=')
        lt_buf_str(out, sign);
    for (int i = 0; i < left; i++)
        lt_buf_char(out, f->fill);
    if (f->align != '=')
        lt_buf_str(out, sign);
    lt_buf_append(out, text->data, text->len);
    for (int i = 0; i < right; i++)
        lt_buf_char(out, f->fill);
}

int lt_format_number(struct lt_template_value v, const char *s, size_t n, struct lt_buf *out,
                     struct lt_error *err)
{
    LT_BUF_AUTO text = {0};
    bool negative = signbit(v.value) && !isnan(v.value);
    struct lt_number_spec f;

    if (lt_number_spec_parse(s, n, &f) < 0)
        return lt_error_set(err, -EINVAL, "bad format '%.*s'", (int)n, s);
    if (f.type == 'd' && !v.integer)
        return lt_error_set(err, -EINVAL,
                            "format '%.*s' is for whole numbers, this value isn't one", (int)n, s);
    if (v.integer && (!f.type || f.type == 'd' || f.type == 'n')) {
        if (f.precision >= 0)
            return lt_error_set(err, -EINVAL, "format '%.*s': a whole number has no precision",
                                (int)n, s);
        lt_buf_printf(&text, "%.0f", fabs(v.value));
    } else {
        digits(fabs(v.value), &f, &text);
    }
    if (f.group && isfinite(v.value))
        group(&text, f.group);
    pad(&f, negative ? "-" : f.sign == '-' ? "" : f.sign == '+' ? "+" : " ", &text, out);
    return 0;
}
