/* dnn.c - the only file that includes oneDNN
 *
 * Decides which implementation a primitive gets: the first that is not a reference one and can be
 * created. 2.x describes an operation by a struct and walks implementations by an iterator, 3.x
 * creates primitive descriptors directly and walks in place; `struct cursor` hides that.
 * Enumerators differ between the two and are never stored.
 */
#include "engine/cpu/dnn.h"

#include <dnnl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <float.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define V3 (DNNL_VERSION_MAJOR >= 3)

/* From libgomp, which oneDNN brings along even when we are built without OpenMP. */
extern void omp_set_num_threads(int n) __attribute__((weak));
extern int omp_get_max_threads(void) __attribute__((weak));

#if V3
typedef const_dnnl_memory_desc_t md_ptr;
#else
typedef const dnnl_memory_desc_t *md_ptr;
#endif

struct lt_md {
#if V3
    dnnl_memory_desc_t d;
#else
    dnnl_memory_desc_t d[1];
#endif
};

struct lt_prim {
    dnnl_primitive_t prim;
    dnnl_primitive_desc_t pd;
    dnnl_exec_arg_t args[LT_PRIM_ARG_N];
    int n_args;
    int slot[LT_PRIM_ARG_N]; /* place in args; -1: none */
    struct lt_md *md[LT_PRIM_ARG_N];
    size_t scratch;
    unsigned args_set; /* bits of enum lt_prim_arg */
    int threads;
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

/* Without a profiler asked for, nobody looks for VTune's library in a hundred folders. */
static void engine_open(void)
{
    if (!getenv("ONEDNN_JIT_PROFILE") && !getenv("DNNL_JIT_PROFILE"))
        dnnl_set_jit_profiling_flags(DNNL_JIT_PROFILE_NONE);
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
        abort(); /* a library without a CPU engine */
}

/* ---- memory descriptors */

static struct lt_md *md_wrap(md_ptr from)
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

static void dims_pad(const int64_t *from, int n, dnnl_dims_t to)
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

    dims_pad(dims, ndim, d);
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

    dims_pad(dims, ndim, d);
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
    return md_wrap(m->d);
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

/* ---- creation */

/* The implementations that fit, best first. */
struct cursor {
#if !V3
    dnnl_primitive_desc_iterator_t it;
    union {
        dnnl_matmul_desc_t matmul;
        dnnl_convolution_desc_t conv;
    } desc; /* the iterator goes on reading it */
#endif
    dnnl_primitive_desc_t pd;
};

#if !V3
static dnnl_status_t cursor_open(struct cursor *c, const void *desc,
                                 const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    dnnl_status_t st = dnnl_primitive_desc_iterator_create(&c->it, desc, attr, engine, hint);

    if (st == dnnl_success)
        c->pd = dnnl_primitive_desc_iterator_fetch(c->it);
    return st;
}
#endif

static bool cursor_next(struct cursor *c)
{
#if V3
    return dnnl_primitive_desc_next_impl(c->pd) == dnnl_success;
#else
    dnnl_primitive_desc_destroy(c->pd);
    c->pd = NULL;
    if (dnnl_primitive_desc_iterator_next(c->it) != dnnl_success)
        return false;
    c->pd = dnnl_primitive_desc_iterator_fetch(c->it);
    return true;
#endif
}

static void cursor_close(struct cursor *c)
{
    if (c->pd)
        dnnl_primitive_desc_destroy(c->pd);
#if !V3
    if (c->it)
        dnnl_primitive_desc_iterator_destroy(c->it);
#endif
}

static const char *pd_impl(const_dnnl_primitive_desc_t pd)
{
    const char *s = NULL;

    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &s);
    return s ? s : "?";
}

static bool is_reference(const char *impl)
{
    return strstr(impl, "ref") != NULL;
}

/* With a slope of 0 oneDNN computes max(x, 0), which turns NaN into 0: a model whose weights are NaN would train on with a
 * finite loss. The least normal number takes its other path, which lets NaN through; what is below 0 becomes
 * x * 1e-38, which no sum notices. */
#define RELU_SLOPE FLT_MIN

static dnnl_primitive_attr_t attr_make(bool relu)
{
    dnnl_primitive_attr_t a;

    if (dnnl_primitive_attr_create(&a) != dnnl_success)
        abort();
    dnnl_primitive_attr_set_scratchpad_mode(a, dnnl_scratchpad_mode_user);
    if (relu) {
        dnnl_post_ops_t ops;

        if (dnnl_post_ops_create(&ops) != dnnl_success)
            abort();
#if V3
        dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, RELU_SLOPE, 0);
#else
        dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, RELU_SLOPE, 0);
#endif
        dnnl_primitive_attr_set_post_ops(a, ops);
        dnnl_post_ops_destroy(ops);
    }
    return a;
}

static dnnl_status_t matmul_open(struct cursor *c, const struct lt_matmul_spec *s,
                                 const_dnnl_primitive_attr_t attr)
{
    md_ptr bias = s->bias ? s->bias->d : NULL;
#if V3
    return dnnl_matmul_primitive_desc_create(&c->pd, engine, s->src->d, s->weights->d, bias,
                                             s->dst->d, attr);
#else
    dnnl_matmul_desc_t *d = &c->desc.matmul;
    dnnl_status_t st = dnnl_matmul_desc_init(d, s->src->d, s->weights->d, bias, s->dst->d);

    return st == dnnl_success ? cursor_open(c, d, attr, NULL) : st;
#endif
}

struct conv_dims {
    dnnl_dims_t stride, dilate, before, after;
};

static struct conv_dims conv_dims(const struct lt_conv_spec *s)
{
    struct conv_dims d;
    int64_t dilate[2] = {s->dilation[0] - 1, s->dilation[1] - 1};

    dims_pad(s->stride, 2, d.stride);
    dims_pad(dilate, 2, d.dilate);
    dims_pad(s->pad_before, 2, d.before);
    dims_pad(s->pad_after, 2, d.after);
    return d;
}

/* hint: the forward's descriptor, for the backward ones. */
static dnnl_status_t conv_open(struct cursor *c, const struct lt_conv_spec *s,
                               enum lt_conv_kind kind, const_dnnl_primitive_attr_t attr,
                               const_dnnl_primitive_desc_t hint)
{
    struct conv_dims k = conv_dims(s);
    md_ptr src = s->src->d, w = s->weights->d, b = s->bias ? s->bias->d : NULL, dst = s->dst->d;
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
#if V3
    switch (kind) {
    case LT_CONV_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(&c->pd, engine, dnnl_forward_training,
                                                              alg, src, w, b, dst, k.stride,
                                                              k.dilate, k.before, k.after, attr);
    case LT_CONV_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            &c->pd, engine, alg, src, w, dst, k.stride, k.dilate, k.before, k.after, hint, attr);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            &c->pd, engine, alg, src, w, b, dst, k.stride, k.dilate, k.before, k.after, hint, attr);
    }
#else
    dnnl_convolution_desc_t *d = &c->desc.conv;
    dnnl_status_t st;

    if (kind == LT_CONV_FORWARD)
        st = dnnl_dilated_convolution_forward_desc_init(d, dnnl_forward_training, alg, src, w, b,
                                                        dst, k.stride, k.dilate, k.before, k.after);
    else if (kind == LT_CONV_DATA)
        st = dnnl_dilated_convolution_backward_data_desc_init(d, alg, src, w, dst, k.stride,
                                                              k.dilate, k.before, k.after);
    else
        st = dnnl_dilated_convolution_backward_weights_desc_init(d, alg, src, w, b, dst, k.stride,
                                                                 k.dilate, k.before, k.after);
    return st == dnnl_success ? cursor_open(c, d, attr, hint) : st;
#endif
}

static const struct {
    int dnnl, query, index;
} arg_table[LT_PRIM_ARG_N] = {
    [LT_PRIM_SRC] = {DNNL_ARG_SRC, dnnl_query_src_md, 0},
    [LT_PRIM_WEIGHTS] = {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
    [LT_PRIM_BIAS] = {DNNL_ARG_BIAS, dnnl_query_weights_md, 1},
    [LT_PRIM_DST] = {DNNL_ARG_DST, dnnl_query_dst_md, 0},
    [LT_PRIM_DIFF_SRC] = {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0},
    [LT_PRIM_DIFF_WEIGHTS] = {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0},
    [LT_PRIM_DIFF_BIAS] = {DNNL_ARG_DIFF_WEIGHTS + 1, dnnl_query_diff_weights_md, 1},
    [LT_PRIM_DIFF_DST] = {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0},
    [LT_PRIM_SCRATCH] = {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0},
};

static int prim_add_arg(struct lt_prim *p, enum lt_prim_arg a)
{
    md_ptr md =
        dnnl_primitive_desc_query_md(p->pd, (dnnl_query_t)arg_table[a].query, arg_table[a].index);
    dnnl_exec_arg_t *x = &p->args[p->n_args];

    if (!md || !dnnl_memory_desc_get_size(md))
        return 0;
    x->arg = a == LT_PRIM_DIFF_BIAS ? DNNL_ARG_DIFF_BIAS : arg_table[a].dnnl;
    if (dnnl_memory_create(&x->memory, md, engine, DNNL_MEMORY_NONE) != dnnl_success)
        return -ENOMEM;
    p->md[a] = md_wrap(md);
    p->slot[a] = p->n_args++;
    if (a == LT_PRIM_SCRATCH)
        p->scratch = dnnl_memory_desc_get_size(md);
    return 0;
}

/* args: bits of enum lt_prim_arg. Takes pd. */
static int prim_wrap(dnnl_primitive_desc_t pd, dnnl_primitive_t prim, unsigned args,
                     struct lt_prim **out, struct lt_error *err)
{
    LT_AUTO(lt_prim_free) struct lt_prim *p = lt_calloc(1, sizeof *p);

    p->pd = pd;
    p->prim = prim;
    p->args_set = args;
    p->threads = omp_get_max_threads ? omp_get_max_threads() : 1;
    for (int a = 0; a < LT_PRIM_ARG_N; a++) {
        p->slot[a] = -1;
        if ((args >> a & 1 || a == LT_PRIM_SCRATCH) && prim_add_arg(p, (enum lt_prim_arg)a) < 0)
            return lt_error_set(err, -ENOMEM, "oneDNN: out of memory");
    }
    *out = LT_TAKE(p);
    return 0;
}

/* The first implementation that isn't a reference one and can be created. */
static int prim_choose(struct cursor *c, unsigned args, struct lt_prim **out, struct lt_error *err)
{
    do {
        dnnl_primitive_t prim;
        dnnl_primitive_desc_t pd;

        if (is_reference(pd_impl(c->pd)) || dnnl_primitive_create(&prim, c->pd) != dnnl_success)
            continue;
        if (dnnl_primitive_desc_clone(&pd, c->pd) != dnnl_success) {
            dnnl_primitive_destroy(prim);
            return lt_error_set(err, -ENOMEM, "oneDNN: out of memory");
        }
        return prim_wrap(pd, prim, args, out, err);
    } while (cursor_next(c));
    return lt_error_set(err, -ENOTSUP, "oneDNN has no fast implementation for this shape");
}

static int threads_set(int n)
{
    int before = omp_get_max_threads ? omp_get_max_threads() : 1;

    if (omp_set_num_threads)
        omp_set_num_threads(n > 0 ? n : 1);
    return before;
}

int lt_prim_matmul(const struct lt_matmul_spec *s, struct lt_prim **out, struct lt_error *err)
{
    struct cursor c = {0};
    dnnl_primitive_attr_t attr;
    unsigned args = 1u << LT_PRIM_SRC | 1u << LT_PRIM_WEIGHTS | 1u << LT_PRIM_DST |
                    (s->bias ? 1u << LT_PRIM_BIAS : 0);
    int rc, threads;

    pthread_once(&engine_once, engine_open);
    threads = threads_set(s->threads);
    attr = attr_make(s->relu);
    if (matmul_open(&c, s, attr) == dnnl_success)
        rc = prim_choose(&c, args, out, err);
    else
        rc = lt_error_set(err, -ENOTSUP, "oneDNN refuses this matrix product");
    cursor_close(&c);
    dnnl_primitive_attr_destroy(attr);
    threads_set(threads);
    return rc;
}

static unsigned conv_args(const struct lt_conv_spec *s)
{
    static const unsigned sets[] = {
        [LT_CONV_FORWARD] = 1u << LT_PRIM_SRC | 1u << LT_PRIM_WEIGHTS | 1u << LT_PRIM_DST,
        [LT_CONV_DATA] = 1u << LT_PRIM_DIFF_SRC | 1u << LT_PRIM_WEIGHTS | 1u << LT_PRIM_DIFF_DST,
        [LT_CONV_WEIGHTS] = 1u << LT_PRIM_SRC | 1u << LT_PRIM_DIFF_WEIGHTS | 1u << LT_PRIM_DIFF_DST,
    };
    unsigned bias = s->kind == LT_CONV_FORWARD ? LT_PRIM_BIAS : LT_PRIM_DIFF_BIAS;

    return sets[s->kind] | (s->bias && s->kind != LT_CONV_DATA ? 1u << bias : 0);
}

/* The same tensor in another type; the layout of weights is left open. */
static struct lt_md *md_as(const struct lt_md *m, enum lt_dtype t, bool open)
{
    struct md_info i = md_info(m);

    return open ? lt_md_any(t, i.ndim, i.dims) : lt_md_strided(t, i.ndim, i.dims, i.strides);
}

/* A backward convolution is made beside its forward, whose operands are bfloat16 where one of its
 * own is. */
static dnnl_status_t conv_hint(struct cursor *c, const struct lt_conv_spec *s)
{
    LT_AUTO(lt_md_free) struct lt_md *src = NULL;
    LT_AUTO(lt_md_free) struct lt_md *weights = NULL;
    LT_AUTO(lt_md_free) struct lt_md *dst = NULL;
    struct lt_conv_spec like = *s;

    if (lt_md_dtype(s->src) == LT_F32 && lt_md_dtype(s->dst) == LT_F32)
        return conv_open(c, s, LT_CONV_FORWARD, NULL, NULL);
    like.src = src = md_as(s->src, LT_BF16, false);
    like.weights = weights = md_as(s->weights, LT_BF16, true);
    like.dst = dst = md_as(s->dst, LT_BF16, false);
    like.bias = NULL;
    return conv_open(c, &like, LT_CONV_FORWARD, NULL, NULL);
}

int lt_prim_conv(const struct lt_conv_spec *s, struct lt_prim **out, struct lt_error *err)
{
    struct cursor hint = {0}, c = {0};
    dnnl_primitive_attr_t attr;
    dnnl_status_t st = dnnl_success;
    int rc, threads;

    pthread_once(&engine_once, engine_open);
    threads = threads_set(s->threads);
    attr = attr_make(s->relu);
    if (s->kind != LT_CONV_FORWARD)
        st = conv_hint(&hint, s);
    if (st == dnnl_success)
        st = conv_open(&c, s, s->kind, attr, hint.pd);
    if (st == dnnl_success)
        rc = prim_choose(&c, conv_args(s), out, err);
    else
        rc = lt_error_set(err, -ENOTSUP, "oneDNN refuses this convolution");
    cursor_close(&c);
    cursor_close(&hint);
    dnnl_primitive_attr_destroy(attr);
    threads_set(threads);
    return rc;
}

int lt_prim_reorder(const struct lt_md *src, const struct lt_md *dst, int threads,
                    struct lt_prim **out, struct lt_error *err)
{
    struct cursor c = {0};
    dnnl_primitive_attr_t attr;
    dnnl_primitive_t prim;
    int rc, before;

    pthread_once(&engine_once, engine_open);
    before = threads_set(threads);
    attr = attr_make(false);
    if (dnnl_reorder_primitive_desc_create(&c.pd, src->d, engine, dst->d, engine, attr) !=
            dnnl_success ||
        is_reference(pd_impl(c.pd)) || dnnl_primitive_create(&prim, c.pd) != dnnl_success)
        rc = lt_error_set(err, -ENOTSUP, "oneDNN has no fast reorder here");
    else
        rc = prim_wrap(c.pd, prim, 1u << LT_PRIM_SRC | 1u << LT_PRIM_DST, out, err), c.pd = NULL;
    if (c.pd)
        dnnl_primitive_desc_destroy(c.pd);
    dnnl_primitive_attr_destroy(attr);
    threads_set(before);
    return rc;
}

int lt_prim_copy(const struct lt_prim *p, struct lt_prim **out, struct lt_error *err)
{
    int threads = threads_set(p->threads), rc = 0; /* the library finds what it made by this, too */
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t prim;

    if (dnnl_primitive_desc_clone(&pd, p->pd) != dnnl_success ||
        dnnl_primitive_create(&prim, pd) != dnnl_success) {
        if (pd)
            dnnl_primitive_desc_destroy(pd);
        rc = lt_error_set(err, -ENOMEM, "oneDNN: out of memory");
    } else {
        rc = prim_wrap(pd, prim, p->args_set, out, err);
    }
    threads_set(threads);
    return rc;
}

void lt_prim_free(struct lt_prim *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_args; i++)
        dnnl_memory_destroy(p->args[i].memory);
    for (int a = 0; a < LT_PRIM_ARG_N; a++)
        lt_md_free(p->md[a]);
    dnnl_primitive_destroy(p->prim);
    dnnl_primitive_desc_destroy(p->pd);
    lt_free(p);
}

const struct lt_md *lt_prim_md(const struct lt_prim *p, enum lt_prim_arg a)
{
    return p->md[a];
}

size_t lt_prim_scratch(const struct lt_prim *p)
{
    return p->scratch;
}

const char *lt_prim_impl(const struct lt_prim *p)
{
    return pd_impl(p->pd);
}

void lt_prim_set(struct lt_prim *p, enum lt_prim_arg a, const void *data)
{
    if (p->slot[a] >= 0)
        dnnl_memory_set_data_handle(p->args[p->slot[a]].memory, (void *)(uintptr_t)data);
}

int lt_prim_run(const struct lt_prim *p)
{
    return dnnl_primitive_execute(p->prim, stream, p->n_args, p->args) == dnnl_success ? 0 : -EIO;
}

bool lt_dnn_cap(const char *isa)
{
    bool avx2 = lt_str_eq(isa, "avx2");

    dnnl_set_max_cpu_isa(avx2 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_avx512_core);
    return !avx2 || dnnl_get_effective_cpu_isa() <= dnnl_cpu_isa_avx2;
}

const char *lt_dnn_version(void)
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();

    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}
