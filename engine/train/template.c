/* template.c - checkpoint names from templates */
#include "engine/train/template.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

#define NAME_MAX_BYTES 200 /* a file name has 255; suffixes need room */

static int one_field(const char *s, size_t n, bool auto_insert, lt_template_lookup *lookup,
                     void *arg, struct lt_buf *out, struct lt_error *err)
{
    const char *colon = memchr(s, ':', n);
    size_t name_n = colon ? (size_t)(colon - s) : n;
    LT_AUTO(lt_free) char *name = lt_strndup(s, name_n);
    struct lt_template_value v;

    if (!lookup(arg, name, &v))
        return lt_error_set(err, -EINVAL, "{%s} names no metric", name);
    for (size_t i = 0; auto_insert && i < name_n; i++)
        lt_buf_char(out, name[i] == '/' ? '_' : name[i]);
    if (auto_insert)
        lt_buf_char(out, '=');
    int rc = lt_format_number(v, colon ? colon + 1 : "", colon ? n - name_n - 1 : 0, out, err);
    return rc < 0 ? lt_error_prefix(err, "{%.*s}", (int)n, s) : 0;
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
    size_t start = out->len;

    for (const char *s = template; *s; s++) {
        if (*s == '}')
            return lt_error_set(err, -EINVAL, "'%s': a } without {", template);
        if (*s != '{') {
            lt_buf_char(out, *s);
            continue;
        }
        const char *end = strpbrk(s + 1, "{}");
        if (!end || *end == '{' || end == s + 1)
            return lt_error_set(err, -EINVAL, "'%s': a { without its }, or without a name",
                                template);
        int rc = one_field(s + 1, (size_t)(end - s - 1), auto_insert, lookup, arg, out, err);
        if (rc < 0)
            return rc;
        s = end;
    }
    struct lt_buf name = {out->data ? out->data + start : NULL, out->len - start, 0};
    return check_name(&name, err);
}
