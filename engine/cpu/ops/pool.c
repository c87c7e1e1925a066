/* pool.c - max and average pooling, channels-last */
#include <string.h>
#include "engine/cpu/ops/window.h"
#include "engine/cpu/program.h"

/* x: the image's shape, y: the pooled one's. */
static struct lt_pool *pool_args(struct lt_build *b, const struct lt_node *window, lt_id x, lt_id y)
{
    struct lt_pool *p = lt_build_args(b, sizeof *p);
    struct lt_window_shape w = lt_window_shape(window);
    int64_t in[LT_DIMS_MAX], out[LT_DIMS_MAX];

    lt_build_dims(b, x, in);
    lt_build_dims(b, y, out);
    *p = (struct lt_pool){.n = in[0],
                          .c = in[1],
                          .h = in[2],
                          .w = in[3],
                          .oh = out[2],
                          .ow = out[3],
                          .kh = w.kernel[0],
                          .kw = w.kernel[1],
                          .sh = w.stride[0],
                          .sw = w.stride[1],
                          .ph = w.padding[0],
                          .pw = w.padding[1],
                          .dh = w.dilation[0],
                          .dw = w.dilation[1]};
    return p;
}

static void index_bind(struct lt_build *b, struct lt_pool *p, lt_id index)
{
    if (b->d->layouts[lt_build_layout(b, index)].kind == LT_LAYOUT_INDEX8)
        lt_build_value(b, index, 0, &p->index8);
    else
        lt_build_value(b, index, 0, &p->index32);
}

static double cost(const struct lt_pool *p)
{
    return (double)(p->n * p->c) *
           ((double)(p->h * p->w) * 0.12 + (double)(p->oh * p->ow * p->kh * p->kw) * 0.1);
}

static bool is_low(const struct lt_build *b)
{
    return lt_build_dtype(b, b->n->out[0]) == LT_BF16;
}

static bool always(const struct lt_graph *g, const struct lt_node *n)
{
    (void)g, (void)n;
    return true;
}

/* Where windows overlap, gradients add up: in float32. */
static bool apart(const struct lt_graph *g, const struct lt_node *n)
{
    int maker = g->values[n->in[1]].node;
    struct lt_window_shape w = lt_window_shape(maker >= 0 ? &g->nodes[maker] : n);

    for (int i = 0; i < 2; i++)
        if (w.stride[i] < w.dilation[i] * (w.kernel[i] - 1) + 1)
            return false;
    return maker >= 0;
}

static int max_pool_build(struct lt_build *b)
{
    struct lt_pool *p = pool_args(b, b->n, b->n->in[0], b->n->out[0]);

    lt_build_in(b, 0, &p->x);
    lt_build_out(b, 0, &p->y);
    index_bind(b, p, b->n->out[1]);
    lt_build_kernel(b, is_low(b) ? LT_KERN_max_pool_low : LT_KERN_max_pool, p, p->n * p->oh,
                    cost(p));
    lt_build_sliced(b, p->n, lt_slice(p->n));
    return 0;
}

/* dy, index, [gate]. The window is that of the pooling that made the index; places in the plane
 * need none. */
static int max_pool_grad_build(struct lt_build *b)
{
    int maker = b->g->values[b->n->in[1]].node;
    struct lt_pool *p =
        pool_args(b, maker >= 0 ? &b->g->nodes[maker] : b->n, b->n->out[0], b->n->in[0]);

    lt_build_in(b, 0, &p->dy);
    index_bind(b, p, b->n->in[1]);
    if (b->n->n_in > 2)
        lt_build_in(b, 2, &p->gate);
    lt_build_out(b, 0, &p->y);
    lt_build_kernel(b, is_low(b) ? LT_KERN_max_pool_grad_low : LT_KERN_max_pool_grad, p, p->n,
                    cost(p));
    lt_build_sliced(b, p->n, lt_slice(p->n));
    return 0;
}

static int avg_pool_build(struct lt_build *b)
{
    struct lt_pool *p = pool_args(b, b->n, b->n->in[0], b->n->out[0]);

    p->count_pad = lt_node_int(b->n, "count_include_pad");
    lt_build_in(b, 0, &p->x);
    lt_build_out(b, 0, &p->y);
    lt_build_kernel(b, LT_KERN_avg_pool, p, p->n * p->oh, cost(p));
    lt_build_sliced(b, p->n, lt_slice(p->n));
    return 0;
}

static int avg_pool_grad_build(struct lt_build *b)
{
    struct lt_pool *p = pool_args(b, b->n, b->n->out[0], b->n->in[0]);

    p->count_pad = lt_node_int(b->n, "count_include_pad");
    lt_build_in(b, 0, &p->dy);
    lt_build_out(b, 0, &p->y);
    lt_build_kernel(b, LT_KERN_avg_pool_grad, p, p->n, cost(p));
    lt_build_sliced(b, p->n, lt_slice(p->n));
    return 0;
}

const struct lt_builder lt_builders_pool[] = {{.op = "max_pool2d", .build = max_pool_build, .low = always},
                                              {.op = "max_pool2d_grad", .build = max_pool_grad_build, .low = apart},
                                              {.op = "cpu_max_pool2d_grad", .build = max_pool_grad_build, .low = apart},
                                              {.op = "avg_pool2d", .build = avg_pool_build},
                                              {.op = "avg_pool2d_grad", .build = avg_pool_grad_build},
                                              {0}};
