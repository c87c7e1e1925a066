/* type.c - element types, dimensions, shapes */
#include "engine/graph/type.h"

#include <stdio.h>
#include <string.h>

const char *const lt_dtype_names[LT_DTYPE_N] = {
    "float32", "float64", "bfloat16", "float16", "int32", "int64", "uint8", "bool",
};
const size_t lt_dtype_sizes[LT_DTYPE_N] = {4, 8, 2, 2, 4, 8, 1, 1};

bool lt_dtype_is_float(enum lt_dtype d)
{
    return d <= LT_F16;
}

enum lt_dtype lt_dtype_find(const char *name)
{
    for (int i = 0; i < LT_DTYPE_N; i++)
        if (!strcmp(lt_dtype_names[i], name))
            return (enum lt_dtype)i;
    return LT_DTYPE_N;
}

bool lt_dim_eq(struct lt_dim a, struct lt_dim b)
{
    return a.k == b.k && a.sym == b.sym;
}

int64_t lt_dim_value(struct lt_dim d, const struct lt_binding *b)
{
    return d.sym == LT_SYM_NONE ? d.k : d.k * b->value[d.sym];
}

bool lt_dim_mul(struct lt_dim a, struct lt_dim b, struct lt_dim *out)
{
    if (a.sym != LT_SYM_NONE && b.sym != LT_SYM_NONE)
        return false;
    out->sym = a.sym != LT_SYM_NONE ? a.sym : b.sym;
    return !__builtin_mul_overflow(a.k, b.k, &out->k);
}

bool lt_shape_eq(const struct lt_type *a, const struct lt_type *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (!lt_dim_eq(a->dim[i], b->dim[i]))
            return false;
    return true;
}

bool lt_type_eq(const struct lt_type *a, const struct lt_type *b)
{
    return a->dtype == b->dtype && lt_shape_eq(a, b);
}

int64_t lt_type_count(const struct lt_type *t, const struct lt_binding *b)
{
    int64_t n = 1;

    for (int i = 0; i < t->ndim; i++)
        n *= lt_dim_value(t->dim[i], b);
    return n;
}

size_t lt_type_bytes(const struct lt_type *t, const struct lt_binding *b)
{
    return (size_t)lt_type_count(t, b) * lt_dtype_sizes[t->dtype];
}

static size_t dim_print(char *buf, size_t n, struct lt_dim d)
{
    char sym[16];

    if (d.sym == LT_SYM_NONE)
        return (size_t)snprintf(buf, n, "%lld", (long long)d.k);
    if (d.sym == 0)
        snprintf(sym, sizeof sym, "n");
    else
        snprintf(sym, sizeof sym, "s%d", d.sym);
    if (d.k == 1)
        return (size_t)snprintf(buf, n, "%s", sym);
    return (size_t)snprintf(buf, n, "%lld*%s", (long long)d.k, sym);
}

size_t lt_type_print(char *buf, size_t n, const struct lt_type *t)
{
    size_t at = (size_t)snprintf(buf, n, "%s[", lt_dtype_names[t->dtype]);

    for (int i = 0; i < t->ndim; i++) {
        if (i)
            at += (size_t)snprintf(at < n ? buf + at : NULL, at < n ? n - at : 0, ", ");
        at += dim_print(at < n ? buf + at : NULL, at < n ? n - at : 0, t->dim[i]);
    }
    at += (size_t)snprintf(at < n ? buf + at : NULL, at < n ? n - at : 0, "]");
    return at;
}
