/* dnn.c - primitives of oneDNN
 *
 * Decides which implementation a primitive gets: the first that is not a reference one, can be created and, over
 * bfloat16, was seen to compute right. 2.x describes an operation by a struct and walks implementations by an
 * iterator, 3.x creates primitive descriptors directly and walks in place; `struct cursor` hides that.
 */
#include <errno.h>
#include <float.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <float.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/cpu/dnn_in.h"

/* From libgomp, which oneDNN brings along even when we are built without OpenMP. */
extern void omp_set_num_threads(int n) __attribute__((weak));
extern int omp_get_max_threads(void) __attribute__((weak));

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
#define ALIGNED 64 /* as operands are in training */

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

    lt_dims_pad(s->stride, 2, d.stride);
    lt_dims_pad(dilate, 2, d.dilate);
    lt_dims_pad(s->pad_before, 2, d.before);
    lt_dims_pad(s->pad_after, 2, d.after);
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
    p->md[a] = lt_md_wrap(md);
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

static bool all_zero(const void *data, size_t n)
{
    const unsigned char *p = data;

    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Some of oneDNN's convolutions over bfloat16 read scratch memory that nothing was written to, for instance where rows are
 * shorter than the stride: 2.6's weight gradients, 3.7's forward with AMX. Whatever lies there goes into the result.
 * So each runs once before it is chosen: over operands of zeros and scratch of NaN only zeros may come out.
 * tests/cpu/test_scratch.c */
static bool reads_garbage(struct lt_prim *p)
{
    void *of[LT_PRIM_ARG_N] = {NULL};
    bool garbage = false;

    for (int a = 0; a < LT_PRIM_ARG_N; a++) {
        size_t n = p->md[a] ? LT_MAX(lt_md_bytes(p->md[a]), 1) : 0;

        if (!n)
            continue;
        of[a] = aligned_alloc(ALIGNED, (n + ALIGNED - 1) / ALIGNED * ALIGNED);
        if (!of[a])
            abort();
        memset(of[a], a == LT_PRIM_SCRATCH ? 0xff : 0, n);
        lt_prim_set(p, (enum lt_prim_arg)a, of[a]);
    }
    garbage = lt_prim_run(p) < 0;
    for (int a = 0; a < LT_PRIM_ARG_N; a++) {
        garbage = garbage || (of[a] && a != LT_PRIM_SCRATCH && !all_zero(of[a], lt_md_bytes(p->md[a])));
        free(of[a]);
    }
    return garbage;
}

/* The first implementation that isn't a reference one, can be created and, where that is in doubt, computes right. */
static int prim_choose(struct cursor *c, unsigned args, bool doubted, struct lt_prim **out,
                       struct lt_error *err)
{
    do {
        LT_AUTO(lt_prim_free) struct lt_prim *p = NULL;
        dnnl_primitive_t prim;
        dnnl_primitive_desc_t pd;
        int rc;

        if (is_reference(pd_impl(c->pd)) || dnnl_primitive_create(&prim, c->pd) != dnnl_success)
            continue;
        if (dnnl_primitive_desc_clone(&pd, c->pd) != dnnl_success) {
            dnnl_primitive_destroy(prim);
            return lt_error_set(err, -ENOMEM, "oneDNN: out of memory");
        }
        rc = prim_wrap(pd, prim, args, &p, err);
        if (rc == 0 && doubted && reads_garbage(p))
            continue;
        *out = LT_TAKE(p);
        return rc;
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
        rc = prim_choose(&c, args, false, out, err);
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
    like.src = src = lt_md_as(s->src, LT_BF16, false);
    like.weights = weights = lt_md_as(s->weights, LT_BF16, true);
    like.dst = dst = lt_md_as(s->dst, LT_BF16, false);
    like.bias = NULL;
    return conv_open(c, &like, LT_CONV_FORWARD, NULL, NULL);
}

static bool in_bfloat16(const struct lt_conv_spec *s)
{
    return lt_md_dtype(s->src) == LT_BF16 || lt_md_dtype(s->dst) == LT_BF16;
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
        rc = prim_choose(&c, conv_args(s), in_bfloat16(s), out, err);
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

static char version[32];

static void version_write(void)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(version, sizeof version, "%d.%d.%d", v->major, v->minor, v->patch);
}

const char *lt_dnn_version(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, version_write);
    return version;
}
