/* conv.c - convolutions by oneDNN, channels-last; over float64 by conv64.c
 *
 * Weights live in the layout that the forward implementation likes best. The weight gradient is
 * made of pieces of the batch, each by one thread, and summed in their order: the same bits at any
 * number of threads. How many pieces is a function of the shape alone. The other directions run in
 * the same pieces.
 */
#include "engine/cpu/ops/conv.h"
#include "engine/cpu/ops/window.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"

void lt_conv_shape(const struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                   const struct lt_node *n, lt_id x, lt_id w, lt_id y, struct lt_conv_shape *s)
{
    int64_t dims[LT_DIMS_MAX];
    int64_t groups = lt_node_int(n, "groups");
    struct lt_window_shape win = lt_window_shape(n);

    (void)d;
    lt_value_dims(g, b, x, s->x);
    lt_value_dims(g, b, y, s->y);
    lt_value_dims(g, b, w, dims);
    s->w_ndim = groups > 1 ? 5 : 4;
    s->groups = groups;
    s->xt = g->values[x].type.dtype;
    s->yt = g->values[y].type.dtype;
    s->wt = g->values[w].type.dtype;
    if (groups > 1) {
        s->w[0] = groups;
        s->w[1] = dims[0] / groups;
        memcpy(s->w + 2, dims + 1, 3 * sizeof *dims);
    } else {
        memcpy(s->w, dims, 4 * sizeof *dims);
    }
    for (int i = 0; i < 2; i++) {
        s->stride[i] = win.stride[i];
        s->dilation[i] = win.dilation[i];
        s->pad[i] = win.padding[i];
    }
    s->flops = 2.0 * (double)(s->y[0] * s->y[1] * s->y[2] * s->y[3]) *
               (double)(dims[1] * dims[2] * dims[3]);
}

static struct lt_md *image_md(enum lt_dtype t, const int64_t *dims, int64_t n)
{
    int64_t d[4] = {n, dims[1], dims[2], dims[3]};
    int64_t strides[4] = {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]};

    return lt_md_strided(t, 4, d, strides);
}

int lt_conv_prim(const struct lt_conv_shape *s, enum lt_conv_kind kind, const struct lt_md *weights,
                 bool bias, bool relu, int64_t n, int threads, struct lt_prim **out,
                 struct lt_error *err)
{
    LT_AUTO(lt_md_free) struct lt_md *x = image_md(s->xt, s->x, n);
    LT_AUTO(lt_md_free) struct lt_md *y = image_md(s->yt, s->y, n);
    LT_AUTO(lt_md_free)
    struct lt_md *w = weights ? lt_md_copy(weights) : lt_md_any(s->wt, s->w_ndim, s->w);
    LT_AUTO(lt_md_free) struct lt_md *mb = bias ? lt_md_strided(LT_F32, 1, &s->y[1], NULL) : NULL;
    struct lt_conv_spec spec = {.kind = kind,
                                .src = x,
                                .weights = w,
                                .bias = mb,
                                .dst = y,
                                .stride = {s->stride[0], s->stride[1]},
                                .dilation = {s->dilation[0], s->dilation[1]},
                                .pad_before = {s->pad[0], s->pad[1]},
                                .pad_after = {s->pad[0], s->pad[1]},
                                .relu = relu,
                                .threads = threads};

    return lt_prim_conv(&spec, out, err);
}

bool lt_conv_is_empty(const struct lt_conv_shape *s)
{
    return !s->x[0] || !s->x[1] || !s->y[1];
}

/* The weights' layout as it stands in the graph: blocked, or plain. */
static struct lt_md *weights_md(const struct lt_build *b, const struct lt_conv_shape *s, lt_id w)
{
    return lt_layout_md(b->d, s->wt, lt_build_layout(b, w), 0, s->w_ndim, s->w);
}

/* ---- pieces of the batch */

struct pieces {
    struct lt_prim *prim[LT_SLICES];
    int64_t n, chunk;
};

static void pieces_fn(const void *args, int64_t begin, int64_t end)
{
    const struct pieces *p = args;

    for (int64_t i = begin; i < end; i++)
        lt_prim_run(p->prim[i]);
}

static size_t image_bytes(enum lt_dtype t, const int64_t *dims, int64_t n)
{
    return (size_t)(n * dims[1] * dims[2] * dims[3]) * lt_dtype_sizes[t];
}

/* Scratch of the primitives: pieces that one thread runs share it. */
static void scratch_bind(struct lt_build *b, const struct pieces *p)
{
    size_t each = 0, at;

    for (int64_t i = 0; i < p->n; i++)
        each = LT_MAX(each, lt_prim_scratch(p->prim[i]));
    each = (each + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    at = lt_build_scratch(b, each * (size_t)b->d->threads);
    for (int64_t i = 0; i < p->n; i++)
        if (lt_prim_scratch(p->prim[i]))
            lt_build_prim_scratch(b, p->prim[i], LT_PRIM_SCRATCH,
                                  at + each * (size_t)lt_build_thread_of(b, i, p->n));
}

/* Primitives for the pieces, each for one thread. */
static int pieces_make(struct lt_build *b, const struct lt_conv_shape *s, enum lt_conv_kind kind,
                       const struct lt_md *w, bool bias, bool relu, struct pieces *p)
{
    for (int64_t i = 0; i < p->n; i++) {
        int64_t count = LT_MIN(p->chunk, s->x[0] - i * p->chunk);
        int rc = i && count == p->chunk
                     ? lt_prim_copy(p->prim[0], &p->prim[i], b->err)
                     : lt_conv_prim(s, kind, w, bias, relu, count, 1, &p->prim[i], b->err);

        if (rc < 0)
            return rc;
        lt_build_prim(b, p->prim[i]);
    }
    scratch_bind(b, p);
    return 0;
}

static void pieces_step(struct lt_build *b, const struct lt_conv_shape *s, struct pieces *p)
{
    char name[96];

    snprintf(name, sizeof name, "onednn:%s", lt_prim_impl(p->prim[0]));
    lt_build_step(b, name, pieces_fn, p, p->n, s->flops / 150);
    lt_build_sliced(b, s->x[0], p->chunk);
}

/* A whole batch by one primitive on all threads: where there are few samples. The result is the
 * same. */
static bool in_pieces(const struct lt_conv_shape *s)
{
    return s->x[0] >= LT_SLICES && s->flops > 2e6;
}

static int whole_build(struct lt_build *b, const struct lt_conv_shape *s, enum lt_conv_kind kind,
                       const struct lt_md *w, bool bias, bool relu, struct lt_prim **p)
{
    int rc = lt_conv_prim(s, kind, w, bias, relu, s->x[0], lt_cpu_threads(b->d, s->flops / 150), p,
                          b->err);

    if (!rc)
        lt_build_prim(b, *p);
    return rc;
}

/* ---- builders */

static void forward_bind(struct lt_build *b, struct lt_prim *p, const struct lt_conv_shape *s,
                         int64_t first)
{
    const struct lt_node *n = b->n;

    lt_build_prim_value(b, p, LT_PRIM_SRC, n->in[0], image_bytes(s->xt, s->x, first));
    lt_build_prim_value(b, p, LT_PRIM_WEIGHTS, n->in[1], 0);
    if (n->n_in > 2)
        lt_build_prim_value(b, p, LT_PRIM_BIAS, n->in[2], 0);
    lt_build_prim_value(b, p, LT_PRIM_DST, n->out[0], image_bytes(s->yt, s->y, first));
}

static void data_bind(struct lt_build *b, struct lt_prim *p, const struct lt_conv_shape *s,
                      int64_t first)
{
    const struct lt_node *n = b->n;

    lt_build_prim_value(b, p, LT_PRIM_DIFF_DST, n->in[0], image_bytes(s->yt, s->y, first));
    lt_build_prim_value(b, p, LT_PRIM_WEIGHTS, n->in[1], 0);
    lt_build_prim_value(b, p, LT_PRIM_DIFF_SRC, n->out[0], image_bytes(s->xt, s->x, first));
}

typedef void bind_fn(struct lt_build *b, struct lt_prim *p, const struct lt_conv_shape *s,
                     int64_t first);

static int through_build(struct lt_build *b, const struct lt_conv_shape *s, enum lt_conv_kind kind,
                         bool bias, bool relu, bind_fn *bind)
{
    LT_AUTO(lt_md_free) struct lt_md *w = weights_md(b, s, b->n->in[1]);
    struct pieces *p;
    struct lt_prim *whole;
    int rc;

    if (!in_pieces(s)) {
        rc = whole_build(b, s, kind, w, bias, relu, &whole);
        if (rc < 0)
            return rc;
        bind(b, whole, s, 0);
        lt_build_prim_step(b, whole);
        return 0;
    }
    p = lt_build_args(b, sizeof *p);
    p->chunk = lt_slice(s->x[0]);
    p->n = lt_pieces(s->x[0], p->chunk);
    rc = pieces_make(b, s, kind, w, bias, relu, p);
    for (int64_t i = 0; !rc && i < p->n; i++)
        bind(b, p->prim[i], s, i * p->chunk);
    if (!rc)
        pieces_step(b, s, p);
    return rc;
}

static int forward_build(struct lt_build *b)
{
    const struct lt_node *n = b->n;
    struct lt_conv_shape s;

    lt_conv_shape(b->d, b->g, b->b, n, n->in[0], n->in[1], n->out[0], &s);
    if (lt_conv_is_empty(&s))
        return 0;
    if (s.yt == LT_F64)
        return lt_conv64_build(b, &s, LT_CONV_FORWARD);
    return through_build(b, &s, LT_CONV_FORWARD, n->n_in > 2,
                         !strcmp(lt_node_str(n, "act"), "relu"), forward_bind);
}

static int data_build(struct lt_build *b)
{
    const struct lt_node *n = b->n;
    struct lt_conv_shape s;

    lt_conv_shape(b->d, b->g, b->b, n, n->out[0], n->in[1], n->in[0], &s);
    if (lt_conv_is_empty(&s))
        return 0;
    if (s.yt == LT_F64)
        return lt_conv64_build(b, &s, LT_CONV_DATA);
    return through_build(b, &s, LT_CONV_DATA, false, false, data_bind);
}

/* Sums `n` partial results in scratch, `bytes` each, into the output. */
static void sum_pieces(struct lt_build *b, int64_t n, size_t at, size_t bytes, lt_id out)
{
    struct lt_reduce *r = lt_build_args(b, sizeof *r);

    *r = (struct lt_reduce){.kind = LT_REDUCE_SUM,
                            .scale = 1,
                            .a = 1,
                            .r = n,
                            .c = (int64_t)(bytes / sizeof(float)),
                            .parts = 1,
                            .chunk = n,
                            .width = 1024};
    r->blocks = lt_pieces(r->c, r->width);
    lt_build_at_scratch(b, at, &r->x);
    lt_build_value(b, out, 0, &r->out);
    lt_build_kernel(b, LT_KERN_reduce_cols, r, r->blocks, (double)(n * r->c) / 10);
    lt_build_deferred(b);
}

/* More pieces than one only where summing them up is small beside the work, which over bfloat16 takes
 * a fraction of the time. */
static int64_t weight_chunk(const struct lt_conv_shape *s, size_t weights)
{
    int64_t chunk = lt_slice(s->x[0]) * (s->yt == LT_BF16 ? 2 : 1);

    while (chunk < s->x[0] && s->flops < 50.0 * (double)lt_pieces(s->x[0], chunk) * (double)weights)
        chunk *= 2;
    return LT_MIN(chunk, s->x[0]);
}

/* dy, x, like_w → dw, [db] */
static int weights_build(struct lt_build *b)
{
    const struct lt_node *n = b->n;
    struct lt_conv_shape s;
    LT_AUTO(lt_md_free) struct lt_md *w = NULL;
    struct pieces *p = lt_build_args(b, sizeof *p);
    size_t at[2] = {0, 0}, bytes[2];
    bool alone;
    int rc;

    lt_conv_shape(b->d, b->g, b->b, n, n->in[1], n->out[0], n->in[0], &s);
    if (lt_conv_is_empty(&s))
        return lt_error_set(b->err, -ENOTSUP, "an empty convolution has no weight gradient");
    if (s.yt == LT_F64)
        return lt_conv64_build(b, &s, LT_CONV_WEIGHTS);
    w = weights_md(b, &s, n->out[0]);
    bytes[0] = lt_md_bytes(w);
    bytes[1] = (size_t)s.y[1] * sizeof(float);
    p->chunk = weight_chunk(&s, bytes[0] / sizeof(float));
    p->n = lt_pieces(s.x[0], p->chunk);
    alone = p->n == 1;
    rc = pieces_make(b, &s, LT_CONV_WEIGHTS, w, n->n_out > 1, false, p);
    if (rc < 0)
        return rc;
    for (int o = 0; o < n->n_out; o++) {
        enum lt_prim_arg arg = o ? LT_PRIM_DIFF_BIAS : LT_PRIM_DIFF_WEIGHTS;

        at[o] = alone ? 0 : lt_build_scratch(b, bytes[o] * (size_t)p->n);
        for (int64_t i = 0; i < p->n; i++)
            if (alone)
                lt_build_prim_value(b, p->prim[i], arg, n->out[o], 0);
            else
                lt_build_prim_scratch(b, p->prim[i], arg, at[o] + (size_t)i * bytes[o]);
    }
    for (int64_t i = 0; i < p->n; i++) {
        lt_build_prim_value(b, p->prim[i], LT_PRIM_DIFF_DST, n->in[0],
                            image_bytes(s.yt, s.y, i * p->chunk));
        lt_build_prim_value(b, p->prim[i], LT_PRIM_SRC, n->in[1], image_bytes(s.xt, s.x, i * p->chunk));
    }
    pieces_step(b, &s, p);
    for (int o = 0; !alone && o < n->n_out; o++)
        sum_pieces(b, p->n, at[o], bytes[o], n->out[o]);
    return 0;
}

static bool always(const struct lt_graph *g, const struct lt_node *n)
{
    (void)g, (void)n;
    return true;
}

/* Pieces of the batch are summed up in the result's type. */
static bool sums_float32(const struct lt_graph *g, const struct lt_node *n)
{
    return g->values[n->out[0]].type.dtype == LT_F32;
}

const struct lt_builder lt_builders_conv[] = {{.op = "conv2d", .build = forward_build, .low = always},
                                              {.op = "conv2d_dx", .build = data_build, .low = always},
                                              {.op = "conv2d_dw", .build = weights_build, .low = sums_float32},
                                              {.op = "cpu_conv2d_dw_bias", .build = weights_build, .low = sums_float32},
                                              {0}};
