/* layout.c - where the elements of a tensor lie
 *
 * Every layout is a oneDNN memory descriptor over the tensor's dimensions, for FLAT ones with k = c
 * * s taken apart; so one reorder moves any to and from plain.
 */
#include "engine/cpu/cpu.h"

#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"

static bool layout_eq(const struct lt_layout *a, const struct lt_layout *b)
{
    if (a->kind != b->kind || a->c != b->c || a->s != b->s)
        return false;
    return a->kind != LT_LAYOUT_BLOCKED || lt_md_equal(a->md, b->md);
}

int lt_layout_find(struct lt_device *d, const struct lt_layout *l)
{
    for (int i = 0; i < d->n_layouts; i++)
        if (layout_eq(&d->layouts[i], l))
            return i;
    LT_GROW(d->layouts, d->n_layouts, d->cap_layouts);
    d->layouts[d->n_layouts] = *l;
    if (l->md)
        d->layouts[d->n_layouts].md = lt_md_copy(l->md);
    return d->n_layouts++;
}

int lt_value_dims(const struct lt_graph *g, const struct lt_binding *b, lt_id v, int64_t *dims)
{
    const struct lt_type *t = &g->values[v].type;

    for (int i = 0; i < t->ndim; i++)
        dims[i] = lt_dim_value(t->dim[i], b);
    return t->ndim;
}

int64_t lt_value_count(const struct lt_graph *g, const struct lt_binding *b, lt_id v)
{
    return lt_type_count(&g->values[v].type, b);
}

static void strides_plain(int ndim, const int64_t *dims, int64_t *strides)
{
    int64_t s = 1;

    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = s;
        s *= dims[i];
    }
}

static void strides_last(int ndim, const int64_t *dims, int64_t *strides)
{
    int64_t s = dims[1];

    strides[1] = 1;
    for (int i = ndim - 1; i >= 2; i--) {
        strides[i] = s;
        s *= dims[i];
    }
    strides[0] = s;
}

bool lt_layout_strides(const struct lt_device *d, int layout, int ndim, const int64_t *dims,
                       int64_t *strides)
{
    switch (d->layouts[layout].kind) {
    case LT_LAYOUT_PLAIN:
        strides_plain(ndim, dims, strides);
        return true;
    case LT_LAYOUT_LAST:
    case LT_LAYOUT_INDEX8:
        strides_last(ndim, dims, strides);
        return true;
    case LT_LAYOUT_TURNED:
        strides[0] = 1;
        strides[1] = dims[0];
        return true;
    default:
        return false;
    }
}

int lt_layout_places(const struct lt_device *d, int layout, int like, int ndim, const int64_t *dims,
                     int64_t *split, int64_t *strides)
{
    const struct lt_layout *l = &d->layouts[layout], *f = &d->layouts[like ? like : layout];

    if (l->kind == LT_LAYOUT_BLOCKED)
        return 0;
    if (f->kind != LT_LAYOUT_FLAT && f->kind != LT_LAYOUT_TURNED_FLAT) {
        memcpy(split, dims, (size_t)ndim * sizeof *dims);
        return lt_layout_strides(d, layout, ndim, dims, strides) ? ndim : 0;
    }
    memcpy(split, (int64_t[]){dims[0], f->c, f->s}, 3 * sizeof *split);
    if (l->kind == LT_LAYOUT_FLAT)
        memcpy(strides, (int64_t[]){l->c * l->s, 1, l->c}, 3 * sizeof *strides);
    else if (l->kind == LT_LAYOUT_TURNED_FLAT)
        memcpy(strides, (int64_t[]){1, dims[0], l->c * dims[0]}, 3 * sizeof *strides);
    else if (l->kind == LT_LAYOUT_TURNED)
        memcpy(strides, (int64_t[]){1, f->s * dims[0], dims[0]}, 3 * sizeof *strides);
    else
        strides_plain(3, split, strides);
    return 3;
}

struct lt_md *lt_layout_md(const struct lt_device *d, enum lt_dtype t, int layout, int like,
                           int ndim, const int64_t *dims)
{
    int64_t split[LT_DIMS_MAX], strides[LT_DIMS_MAX];
    int n = lt_layout_places(d, layout, like, ndim, dims, split, strides);

    return n || !ndim ? lt_md_strided(t, n, split, strides) : lt_md_copy(d->layouts[layout].md);
}

int lt_layout_dims(const struct lt_device *d, int layout, int64_t *dims)
{
    return lt_md_dims(d->layouts[layout].md, dims);
}

size_t lt_layout_bytes(struct lt_device *d, int layout, const struct lt_type *t,
                       const struct lt_binding *b)
{
    const struct lt_layout *l = &d->layouts[layout];

    if (l->kind == LT_LAYOUT_BLOCKED)
        return lt_md_bytes(l->md) / lt_dtype_sizes[lt_md_dtype(l->md)] * lt_dtype_sizes[t->dtype];
    if (l->kind == LT_LAYOUT_INDEX8)
        return (size_t)lt_type_count(t, b);
    return lt_type_bytes(t, b);
}

/* Any strided layout of any dtype, element by element: for what isn't float32. */
static void copy_strided(int ndim, const int64_t *dims, const int64_t *from, const int64_t *to,
                         size_t size, const char *src, char *dst)
{
    int64_t idx[LT_DIMS_MAX] = {0}, a = 0, b = 0, count = 1;

    for (int i = 0; i < ndim; i++)
        count *= dims[i];
    for (int64_t n = 0; n < count; n++) {
        memcpy(dst + b * (int64_t)size, src + a * (int64_t)size, size);
        for (int i = ndim - 1; i >= 0; i--) {
            a += from[i];
            b += to[i];
            if (++idx[i] < dims[i])
                break;
            a -= from[i] * dims[i];
            b -= to[i] * dims[i];
            idx[i] = 0;
        }
    }
}

static int convert(struct lt_device *d, int from, int to, const struct lt_type *t, const void *src,
                   void *dst, struct lt_error *err)
{
    struct lt_binding none = {{0}}; /* persistent values have numbers only */
    int64_t dims[LT_DIMS_MAX], a[LT_DIMS_MAX], b[LT_DIMS_MAX];
    size_t bytes = lt_type_bytes(t, &none);
    LT_AUTO(lt_prim_free) struct lt_prim *p = NULL;
    LT_AUTO(lt_md_free) struct lt_md *m0 = NULL;
    LT_AUTO(lt_md_free) struct lt_md *m1 = NULL;
    void *scratch;
    int rc;

    for (int i = 0; i < t->ndim; i++)
        dims[i] = lt_dim_value(t->dim[i], &none);
    if (from == to || !bytes) {
        memcpy(dst, src, bytes);
        return 0;
    }
    if (t->dtype != LT_F32 && t->dtype != LT_BF16) {
        int64_t split[LT_DIMS_MAX];
        int n = lt_layout_places(d, from, from ? from : to, t->ndim, dims, split, a);

        if (!n || !lt_layout_places(d, to, to ? to : from, t->ndim, dims, split, b))
            return lt_error_set(err, -ENOTSUP, "a blocked layout holds no %s here",
                                lt_dtype_names[t->dtype]);
        copy_strided(n, split, a, b, lt_dtype_sizes[t->dtype], src, dst);
        return 0;
    }
    if (d->layouts[from].kind == LT_LAYOUT_BLOCKED || d->layouts[to].kind == LT_LAYOUT_BLOCKED) {
        int n = lt_layout_dims(d, d->layouts[from].kind == LT_LAYOUT_BLOCKED ? from : to, dims);

        m0 = lt_layout_md(d, t->dtype, from, 0, n, dims);
        m1 = lt_layout_md(d, t->dtype, to, 0, n, dims);
    } else {
        m0 = lt_layout_md(d, t->dtype, from, from ? from : to, t->ndim, dims);
        m1 = lt_layout_md(d, t->dtype, to, to ? to : from, t->ndim, dims);
    }
    rc = lt_prim_reorder(m0, m1, 1, &p, err);
    if (rc < 0)
        return rc;
    scratch = lt_malloc(lt_prim_scratch(p) + 1);
    lt_prim_set(p, LT_PRIM_SRC, src);
    lt_prim_set(p, LT_PRIM_DST, dst);
    lt_prim_set(p, LT_PRIM_SCRATCH, scratch);
    rc = lt_prim_run(p);
    lt_free(scratch);
    return rc < 0 ? lt_error_set(err, rc, "oneDNN: a reorder failed") : 0;
}

int lt_layout_to_plain(struct lt_device *d, int layout, const struct lt_type *t, const void *src,
                       void *dst, struct lt_error *err)
{
    return convert(d, layout, 0, t, src, dst, err);
}

int lt_layout_from_plain(struct lt_device *d, int layout, const struct lt_type *t, const void *src,
                         void *dst, struct lt_error *err)
{
    return convert(d, 0, layout, t, src, dst, err);
}
