/* template.c - checkpoint names from templates */
#include "engine/train/template.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "proto/template.h"

#define NAME_MAX_BYTES 200 /* a file name has 255; suffixes need room */

static int one_field(const struct lt_template_part *p, bool auto_insert,
                     lt_template_lookup *lookup, void *arg, struct lt_buf *out,
                     struct lt_error *err)
{
    LT_AUTO(lt_free) char *name = lt_strndup(p->name, p->name_len);
    struct lt_template_value v;
    int rc;

    if (!lookup(arg, name, &v))
        return lt_error_set(err, -EINVAL, "{%s} names no metric", name);
    for (size_t i = 0; auto_insert && i < p->name_len; i++)
        lt_buf_char(out, name[i] == '/' ? '_' : name[i]);
    if (auto_insert)
        lt_buf_char(out, '=');
    rc = lt_format_number(v, p->format ? p->format : "", p->format_len, out, err);
    return rc < 0 ? lt_error_prefix(err, "{%s}", name) : 0;
}

static int check_name(const struct lt_buf *name, struct lt_error *err)
{
    if (!name->len || name->data[0] == '.')
        return lt_error_set(err, -EINVAL, "'%s' cannot be a checkpoint's name",
                            name->len ? name->data : "");
    if (name->len > NAME_MAX_BYTES)
        return lt_error_set(err, -EINVAL, "a checkpoint's name has at most %d bytes, this one %zu",
                            NAME_MAX_BYTES, name->len);
    for (size_t i = 0; i < name->len; i++)
        if (name->data[i] == '/' || (unsigned char)name->data[i] < 0x20)
            return lt_error_set(err, -EINVAL,
                                "'%s': a checkpoint's name has no slash or control character",
                                name->data);
    return 0;
}

int lt_template_format(const char *template, bool auto_insert, lt_template_lookup *lookup,
                       void *arg, struct lt_buf *out, struct lt_error *err)
{
    const char *at = template;
    size_t start = out->len;
    struct lt_template_part p;
    int rc;

    while ((rc = lt_template_next(&at, &p)) > 0) {
        if (!p.name)
            lt_buf_append(out, p.literal, p.literal_len);
        else if ((rc = one_field(&p, auto_insert, lookup, arg, out, err)) < 0)
            return rc;
    }
    if (rc < 0)
        return lt_error_set(err, -EINVAL, "'%s': braces or format can't be read at '%.40s'",
                            template, at);
    struct lt_buf name = {out->data ? out->data + start : NULL, out->len - start, 0};
    return check_name(&name, err);
}
