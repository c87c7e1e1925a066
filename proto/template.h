/* template.h - names with fields: model-{epoch:02d}-{val_loss:.2f}
 *
 * The only reader of both: the check of a plan and the checkpoint's name are of one opinion. Pure.
 */
#ifndef LT_PROTO_TEMPLATE_H
#define LT_PROTO_TEMPLATE_H

#include <stddef.h>

/* A format as Python's for numbers: [[fill]align][sign][0][width][grouping][.precision][type], the
 * types d n e E f F g G %; `#` and other bases are refused. */
struct lt_number_spec {
    char fill, align, sign, group, type; /* align, group, type 0: none */
    int width, precision;                /* up to 99; precision -1: none */
};
/* -EINVAL: not one. "" is. */
int lt_number_spec_parse(const char *s, size_t n, struct lt_number_spec *out);

/* One part: a literal text (name NULL), or a field with its format (format_len 0: none). All
 * borrowed from the template. */
struct lt_template_part {
    const char *literal;
    size_t literal_len;
    const char *name;
    size_t name_len;
    const char *format;
    size_t format_len;
};

/* Takes the next part from *at and moves it on. 1: there was one; 0: the end; -EINVAL: a brace
 * without its partner, a field without a name, or a bad format. */
int lt_template_next(const char **at, struct lt_template_part *part);

#endif
