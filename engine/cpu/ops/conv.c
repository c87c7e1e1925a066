/* conv.c - convolutions by oneDNN, channels-last
 *
 * Weights live in the layout that the forward implementation likes best. The weight gradient is made of
 * pieces of the batch, each by one thread, and summed in their order: the same bits at any number of
 * threads. How many pieces is a function of the shape alone.
 */
#include "engine/cpu/ops/conv.h"
#include "engine/cpu/ops/window.h"

#include <stdio.h>
#include <string.h>
#include "base/error.h"

#define PIECES 8

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
    s->flops = 2.0 * (double)(s->y[0] * s->y[1] * s->y[2] * s->y[3]) * (double)(dims[1] * dims[2] * dims[3]);
}

static struct lt_md *image_md(const int64_t *dims, int64_t n)
{
    int64_t d[4] = {n, dims[1], dims[2], dims[3]};
    int64_t strides[4] = {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]};

    return lt_md_strided(4, d, strides);
}

int lt_conv_prim(const struct lt_conv_shape *s, enum lt_conv_kind kind, const struct lt_md *weights, bool bias,
                 bool relu, int64_t n, int threads, struct lt_prim **out, struct lt_error *err)
{
    LT_AUTO(lt_md_free) struct lt_md *x = image_md(s->x, n);
    LT_AUTO(lt_md_free) struct lt_md *y = image_md(s->y, n);
    LT_AUTO(lt_md_free) struct lt_md *w = weights ? lt_md_copy(weights) : lt_md_any(s->w_ndim, s->w);
    LT_AUTO(lt_md_free) struct lt_md *mb = bias ? lt_md_strided(1, &s->y[1], NULL) : NULL;
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
    return lt_layout_md(b->d, lt_build_layout(b, w), 0, s->w_ndim, s->w);
}

static int forward_build(struct lt_build *b)
{
    const struct lt_node *n = b->n;
    struct lt_conv_shape s;
    struct lt_prim *p = NULL;
    bool bias = n->n_in > 2;
    int rc;

    lt_conv_shape(b->d, b->g, b->b, n, n->in[0], n->in[1], n->out[0], &s);
    if (lt_conv_is_empty(&s))
        return 0;
    {
        LT_AUTO(lt_md_free) struct lt_md *w = weights_md(b, &s, n->in[1]);

        rc = lt_conv_prim(&s, LT_CONV_FORWARD, w, bias, !strcmp(lt_node_str(n, "act"), "relu"), s.x[0],
                          lt_cpu_threads(b->d, s.flops / 150), &p, b->err);
    }
    if (rc < 0)
        return rc;
    lt_build_prim(b, p);
    lt_build_prim_value(b, p, LT_PRIM_SRC, n->in[0], 0);
    lt_build_prim_value(b, p, LT_PRIM_WEIGHTS, n->in[1], 0);
    if (bias)
        lt_build_prim_value(b, p, LT_PRIM_BIAS, n->in[2], 0);
    lt_build_prim_value(b, p, LT_PRIM_DST, n->out[0], 0);
    lt_build_prim_step(b, p);
    return 0;
}

static int data_build(struct lt_build *b)
{
    const struct lt_node *n = b->n;
    struct lt_conv_shape s;
    struct lt_prim *p = NULL;
    int rc;

    lt_conv_shape(b->d, b->g, b->b, n, n->out[0], n->in[1], n->in[0], &s);
    if (lt_conv_is_empty(&s))
        return 0;
    {
        LT_AUTO(lt_md_free) struct lt_md *w = weights_md(b, &s, n->in[1]);

        rc = lt_conv_prim(&s, LT_CONV_DATA, w, false, false, s.x[0], lt_cpu_threads(b->d, s.flops / 150), &p, b->err);
    }
    if (rc < 0)
        return rc;
    lt_build_prim(b, p);
    lt_build_prim_value(b, p, LT_PRIM_DIFF_DST, n->in[0], 0);
    lt_build_prim_value(b, p, LT_PRIM_WEIGHTS, n->in[1], 0);
    lt_build_prim_value(b, p, LT_PRIM_DIFF_SRC, n->out[0], 0);
    lt_build_prim_step(b, p);
    return 0;
}

struct pieces {
    struct lt_prim *prim[PIECES];
    int64_t n;
};

static void pieces_fn(const void *args, int64_t begin, int64_t end)
{
    const struct pieces *p = args;

    for (int64_t i = begin; i < end; i++)
        lt_prim_run(p->prim[i]);
}

/* More pieces than one only where summing them up is small beside the work. */
static int64_t pieces_of(const struct lt_conv_shape *s, size_t weights)
{
    int64_t n = s->x[0] < PIECES ? s->x[0] : PIECES;

    while (n > 1 && s->flops < 100.0 * (double)n * (double)weights)
        n--;
    return n;
}

/* Sums `n` partial results in scratch, `bytes` each, into the output. */
static void sum_pieces(struct lt_build *b, int64_t n, size_t at, size_t bytes, lt_id out)
{
    struct lt_reduce *r = lt_build_args(b, sizeof *r);

    *r = (struct lt_reduce){.kind = LT_REDUCE_SUM, .scale = 1, .a = 1, .r = n, .c = (int64_t)(bytes / sizeof(float)),
                            .parts = 1, .chunk = n, .width = 1024};
    r->blocks = lt_pieces(r->c, r->width);
    lt_build_at_scratch(b, at, &r->x);
    lt_build_value(b, out, 0, &r->out);
    lt_build_kernel(b, LT_KERN_reduce_cols, r, r->blocks, (double)(n * r->c) / 10);
}

struct piece_memory {
    size_t w_at, w_bytes, b_at, b_bytes;
};

static void piece_bind(struct lt_build *b, struct lt_prim *p, const struct lt_conv_shape *s, int64_t first,
                       int64_t piece, bool direct, const struct piece_memory *m)
{
    const struct lt_node *n = b->n;
    size_t x = (size_t)(first * s->x[1] * s->x[2] * s->x[3]) * sizeof(float);
    size_t y = (size_t)(first * s->y[1] * s->y[2] * s->y[3]) * sizeof(float);

    lt_build_prim(b, p);
    lt_build_prim_value(b, p, LT_PRIM_DIFF_DST, n->in[0], y);
    lt_build_prim_value(b, p, LT_PRIM_SRC, n->in[1], x);
    if (direct) {
        lt_build_prim_value(b, p, LT_PRIM_DIFF_WEIGHTS, n->out[0], 0);
        if (n->n_out > 1)
            lt_build_prim_value(b, p, LT_PRIM_DIFF_BIAS, n->out[1], 0);
    } else {
        lt_build_prim_scratch(b, p, LT_PRIM_DIFF_WEIGHTS, m->w_at + (size_t)piece * m->w_bytes);
        if (n->n_out > 1)
            lt_build_prim_scratch(b, p, LT_PRIM_DIFF_BIAS, m->b_at + (size_t)piece * m->b_bytes);
    }
    if (lt_prim_scratch(p))
        lt_build_prim_scratch(b, p, LT_PRIM_SCRATCH, lt_build_scratch(b, lt_prim_scratch(p)));
}

static int weights_build(struct lt_build *b)
{
    const struct lt_node *n = b->n;
    struct lt_conv_shape s;
    LT_AUTO(lt_md_free) struct lt_md *w = NULL;
    struct pieces *p = lt_build_args(b, sizeof *p);
    struct piece_memory m = {0};
    bool bias = n->n_out > 1;
    char name[96] = "onednn";
    int64_t chunk;

    lt_conv_shape(b->d, b->g, b->b, n, n->in[1], n->out[0], n->in[0], &s);
    if (lt_conv_is_empty(&s))
        return lt_error_set(b->err, -95, "an empty convolution has no weight gradient");
    w = weights_md(b, &s, n->out[0]);
    p->n = pieces_of(&s, lt_md_bytes(w) / sizeof(float));
    chunk = lt_pieces(s.x[0], p->n);
    p->n = lt_pieces(s.x[0], chunk);
    m.w_bytes = lt_md_bytes(w);
    m.b_bytes = (size_t)s.y[1] * sizeof(float);
    if (p->n > 1) {
        m.w_at = lt_build_scratch(b, m.w_bytes * (size_t)p->n);
        m.b_at = bias ? lt_build_scratch(b, m.b_bytes * (size_t)p->n) : 0;
    }
    for (int64_t i = 0; i < p->n; i++) {
        int64_t first = i * chunk, count = LT_MIN(chunk, s.x[0] - first);
        int rc = lt_conv_prim(&s, LT_CONV_WEIGHTS, w, bias, false, count, 1, &p->prim[i], b->err);

        if (rc < 0)
            return rc;
        piece_bind(b, p->prim[i], &s, first, i, p->n == 1, &m);
        snprintf(name, sizeof name, "onednn:%s", lt_prim_impl(p->prim[i]));
    }
    lt_build_step(b, name, pieces_fn, p, p->n, s.flops / 150);
    if (p->n > 1) {
        sum_pieces(b, p->n, m.w_at, m.w_bytes, n->out[0]);
        if (bias)
            sum_pieces(b, p->n, m.b_at, m.b_bytes, n->out[1]);
    }
    return 0;
}

const struct lt_builder lt_builders_conv[] = {{"conv2d", forward_build},
                                              {"conv2d_dx", data_build},
                                              {"conv2d_dw", weights_build},
                                              {"cpu_conv2d_dw_bias", weights_build},
                                              {0}};
