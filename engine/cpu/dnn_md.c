/* dnn_md.c - memory descriptors: type, dimensions, layout */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/cpu/dnn_in.h"

struct lt_md *lt_md_wrap(md_ptr from)
{
    struct lt_md *m = lt_calloc(1, sizeof *m);

#if V3
    if (dnnl_memory_desc_clone(&m->d, from) != dnnl_success)
        abort();
#else
    *m->d = *from;
#endif
    return m;
}

void lt_dims_pad(const int64_t *from, int n, dnnl_dims_t to)
{
    memset(to, 0, sizeof(dnnl_dims_t));
    memcpy(to, from, (size_t)n * sizeof *from);
}

/* Only these two come here. */
static dnnl_data_type_t type_of(enum lt_dtype t)
{
    return t == LT_BF16 ? dnnl_bf16 : dnnl_f32;
}

struct lt_md *lt_md_strided(enum lt_dtype t, int ndim, const int64_t *dims, const int64_t *strides)
{
    struct lt_md *m = lt_calloc(1, sizeof *m);
    dnnl_dims_t d, s;
    dnnl_status_t st;

    lt_dims_pad(dims, ndim, d);
    memset(s, 0, sizeof s);
    for (int i = ndim - 1; i >= 0; i--)
        s[i] = strides ? strides[i] : i == ndim - 1 ? 1 : s[i + 1] * dims[i + 1];
#if V3
    st = dnnl_memory_desc_create_with_strides(&m->d, ndim, d, type_of(t), s);
#else
    st = dnnl_memory_desc_init_by_strides(m->d, ndim, d, type_of(t), s);
#endif
    if (st != dnnl_success)
        abort(); /* the caller's dimensions are checked shapes */
    return m;
}

struct lt_md *lt_md_any(enum lt_dtype t, int ndim, const int64_t *dims)
{
    struct lt_md *m = lt_calloc(1, sizeof *m);
    dnnl_dims_t d;
    dnnl_status_t st;

    lt_dims_pad(dims, ndim, d);
#if V3
    st = dnnl_memory_desc_create_with_tag(&m->d, ndim, d, type_of(t), dnnl_format_tag_any);
#else
    st = dnnl_memory_desc_init_by_tag(m->d, ndim, d, type_of(t), dnnl_format_tag_any);
#endif
    if (st != dnnl_success)
        abort();
    return m;
}

struct lt_md *lt_md_copy(const struct lt_md *m)
{
    return lt_md_wrap(m->d);
}

void lt_md_free(struct lt_md *m)
{
    if (!m)
        return;
#if V3
    dnnl_memory_desc_destroy(m->d);
#endif
    lt_free(m);
}

bool lt_md_equal(const struct lt_md *a, const struct lt_md *b)
{
    return dnnl_memory_desc_equal(a->d, b->d);
}

size_t lt_md_bytes(const struct lt_md *m)
{
    return dnnl_memory_desc_get_size(m->d);
}

struct md_info {
    dnnl_data_type_t type;
    int ndim, blocks;
    const int64_t *dims, *strides, *block, *block_dim;
};

static struct md_info md_info(const struct lt_md *m)
{
    struct md_info i;

#if V3
    dnnl_dims_t *p;

    dnnl_memory_desc_query(m->d, dnnl_query_data_type, &i.type);
    dnnl_memory_desc_query(m->d, dnnl_query_ndims_s32, &i.ndim);
    dnnl_memory_desc_query(m->d, dnnl_query_inner_nblks_s32, &i.blocks);
    dnnl_memory_desc_query(m->d, dnnl_query_dims, &p);
    i.dims = *p;
    dnnl_memory_desc_query(m->d, dnnl_query_strides, &p);
    i.strides = *p;
    dnnl_memory_desc_query(m->d, dnnl_query_inner_blks, &p);
    i.block = *p;
    dnnl_memory_desc_query(m->d, dnnl_query_inner_idxs, &p);
    i.block_dim = *p;
#else
    i.type = m->d->data_type;
    i.ndim = m->d->ndims;
    i.blocks = m->d->format_desc.blocking.inner_nblks;
    i.dims = m->d->dims;
    i.strides = m->d->format_desc.blocking.strides;
    i.block = m->d->format_desc.blocking.inner_blks;
    i.block_dim = m->d->format_desc.blocking.inner_idxs;
#endif
    return i;
}

enum lt_dtype lt_md_dtype(const struct lt_md *m)
{
    return md_info(m).type == dnnl_bf16 ? LT_BF16 : LT_F32;
}

int lt_md_dims(const struct lt_md *m, int64_t *dims)
{
    struct md_info i = md_info(m);

    memcpy(dims, i.dims, (size_t)i.ndim * sizeof *dims);
    return i.ndim;
}

bool lt_md_is_plain(const struct lt_md *m)
{
    struct md_info i = md_info(m);
    int64_t expect = 1;

    if (i.blocks)
        return false;
    for (int k = i.ndim - 1; k >= 0; k--) {
        if (i.dims[k] != 1 && i.strides[k] != expect)
            return false;
        expect *= i.dims[k];
    }
    return true;
}

void lt_md_text(const struct lt_md *m, char *buf, size_t n)
{
    struct md_info i = md_info(m);
    size_t at = 0;

    if (n)
        buf[0] = '\0';
    for (int k = 0; k < i.ndim && at < n; k++)
        at += (size_t)snprintf(buf + at, n - at, "%s%lld/%lld", k ? " " : "", (long long)i.dims[k],
                               (long long)i.strides[k]);
    for (int k = 0; k < i.blocks && at < n; k++)
        at += (size_t)snprintf(buf + at, n - at, "%s%lld%c", k ? "" : ":", (long long)i.block[k],
                               (char)('a' + i.block_dim[k]));
}

struct lt_md *lt_md_as(const struct lt_md *m, enum lt_dtype t, bool open)
{
    struct md_info i = md_info(m);

    return open ? lt_md_any(t, i.ndim, i.dims) : lt_md_strided(t, i.ndim, i.dims, i.strides);
}
