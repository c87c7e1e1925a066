/* template.h - names with fields: model-{epoch:02d}-{val_loss:.2f} */
#ifndef LT_PROTO_TEMPLATE_H
#define LT_PROTO_TEMPLATE_H

#include <stddef.h>

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
 * without its partner, a field without a name, or a format that isn't Python's
 * [[fill]align][sign][0][width][grouping][.precision][type] for decimals. */
int lt_template_next(const char **at, struct lt_template_part *part);

#endif
