/* template.h - checkpoint names: {name} and {name:format}, Python's format specs for numbers
 *
 * "model-{epoch:02d}-{val_loss:.2f}" with auto_insert gives "model-epoch=03-val_loss=0.31". A field
 * that names no value is an error, never a silent 0. A `/` in a metric's name becomes `_`; names
 * are single path components.
 */
#ifndef LT_TRAIN_TEMPLATE_H
#define LT_TRAIN_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct lt_buf;
struct lt_error;

/* A value a field may name. */
struct lt_template_value {
    bool integer;
    double value;
};
/* false: no such name. */
typedef bool lt_template_lookup(void *arg, const char *name, struct lt_template_value *out);

/* -EINVAL with the reason: unbalanced braces, unknown name, bad format, a name that is no path
 * component. */
int lt_template_format(const char *template, bool auto_insert, lt_template_lookup *lookup,
                       void *arg, struct lt_buf *out, struct lt_error *err);
/* One number by a Python format spec ("" as str() prints it). -EINVAL. */
int lt_format_number(struct lt_template_value v, const char *spec, size_t n, struct lt_buf *out,
                     struct lt_error *err);

#endif
