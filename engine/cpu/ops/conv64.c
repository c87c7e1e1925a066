/* conv64.c - convolutions over float64, which oneDNN doesn't have: patches of the image, and products
 *
 * x and y are channels-last, weights plain. Of one sample and group, the patches are a matrix
 * [places of y, c * kh * kw] in the order of a weight's elements:
 *
 *   forward  y = patches w' + bias
 *   data     patches = dy w, added up into dx
 *   weights  dw += dy' patches, over the samples of a piece of the batch; pieces are summed in order
 *
 * Each piece is one thread's, and what a piece is depends on the shape alone: the same bits at any
 * number of threads.
 */
#include <stdio.h>
#include <string.h>
#include "engine/cpu/ops/conv.h"

struct conv64 {
    struct lt_conv_shape s;
    enum lt_conv_kind kind;
    lt_kern_fn *gemm;
    const double *x, *y, *w, *bias; /* the operands that are read */
    double *to;                     /* the result, or partial results */
    char *scratch;                  /* patches of one sample, for each thread */
    size_t each;
    int64_t chunk, pieces;
    int threads;
    bool relu;
};

static int64_t patch_len(const struct lt_conv_shape *s)
{
    return s->x[1] / s->groups * s->w[s->w_ndim - 2] * s->w[s->w_ndim - 1];
}

/* Which of the threads runs piece i: as lt_build_thread_of() says. */
static int thread_of(const struct conv64 *c, int64_t i)
{
    int t = 0;

    while (c->pieces * (t + 1) / c->threads <= i)
        t++;
    return t;
}

/* Place (oy, ox) and tap (i, j): offset in the image; -1 outside. */
static int64_t place(const struct lt_conv_shape *s, int64_t oy, int64_t ox, int64_t i, int64_t j)
{
    int64_t y = oy * s->stride[0] - s->pad[0] + i * s->dilation[0];
    int64_t x = ox * s->stride[1] - s->pad[1] + j * s->dilation[1];

    return y < 0 || y >= s->x[2] || x < 0 || x >= s->x[3] ? -1 : (y * s->x[3] + x) * s->x[1];
}

/* Patches of an image (`into` NULL), or the patches added up into one. */
static void patches_walk(const struct lt_conv_shape *s, const double *image, double *into,
                         int64_t group, double *patches)
{
    int64_t kh = s->w[s->w_ndim - 2], kw = s->w[s->w_ndim - 1], cg = s->x[1] / s->groups;

    for (int64_t oy = 0; oy < s->y[2]; oy++)
        for (int64_t ox = 0; ox < s->y[3]; ox++, patches += cg * kh * kw)
            for (int64_t t = 0; t < kh * kw; t++) {
                int64_t at = place(s, oy, ox, t / kw, t % kw);

                for (int64_t c = 0; c < cg; c++) {
                    double *p = patches + c * kh * kw + t;

                    if (!into)
                        *p = at < 0 ? 0 : image[at + group * cg + c];
                    else if (at >= 0)
                        into[at + group * cg + c] += *p;
                }
            }
}

static void forward(const struct conv64 *c, int64_t n, int64_t group, double *patches)
{
    const struct lt_conv_shape *s = &c->s;
    int64_t k = patch_len(s), og = s->y[1] / s->groups, places = s->y[2] * s->y[3];
    struct lt_gemm g = {.m = places, .n = og, .k = k, .a_row = k, .a_col = 1, .b_row = 1, .b_col = k,
                        .c_row = s->y[1], .c_col = 1, .relu = c->relu};

    patches_walk(s, c->x + n * s->x[1] * s->x[2] * s->x[3], NULL, group, patches);
    g.a = (const void *)patches;
    g.b = (const void *)(c->w + group * og * k);
    g.bias = (const void *)(c->bias ? c->bias + group * og : NULL);
    g.c = (void *)(c->to + n * places * s->y[1] + group * og);
    c->gemm(&g, 0, lt_pieces(g.m, LT_GEMM_ROWS));
}

static void data(const struct conv64 *c, int64_t n, int64_t group, double *patches)
{
    const struct lt_conv_shape *s = &c->s;
    int64_t k = patch_len(s), og = s->y[1] / s->groups, places = s->y[2] * s->y[3];
    int64_t image = s->x[1] * s->x[2] * s->x[3];
    struct lt_gemm g = {.m = places, .n = k, .k = og, .a_row = s->y[1], .a_col = 1, .b_row = k,
                        .b_col = 1, .c_row = k, .c_col = 1};

    if (!group)
        memset(c->to + n * image, 0, (size_t)image * sizeof(double));
    g.a = (const void *)(c->y + n * places * s->y[1] + group * og);
    g.b = (const void *)(c->w + group * og * k);
    g.c = (void *)patches;
    c->gemm(&g, 0, lt_pieces(g.m, LT_GEMM_ROWS));
    patches_walk(s, NULL, c->to + n * image, group, patches);
}

static void weights(const struct conv64 *c, int64_t n, int64_t group, double *patches, double *dw,
                    bool add)
{
    const struct lt_conv_shape *s = &c->s;
    int64_t k = patch_len(s), og = s->y[1] / s->groups, places = s->y[2] * s->y[3];
    struct lt_gemm g = {.m = og, .n = k, .k = places, .a_row = 1, .a_col = s->y[1], .b_row = k,
                        .b_col = 1, .c_row = k, .c_col = 1, .add = add};

    patches_walk(s, c->x + n * s->x[1] * s->x[2] * s->x[3], NULL, group, patches);
    g.a = (const void *)(c->y + n * places * s->y[1] + group * og);
    g.b = (const void *)patches;
    g.c = (void *)(dw + group * og * k);
    c->gemm(&g, 0, lt_pieces(g.m, LT_GEMM_ROWS));
}

static void conv64_fn(const void *args, int64_t begin, int64_t end)
{
    const struct conv64 *c = args;
    int64_t size = c->s.y[1] * patch_len(&c->s);

    for (int64_t piece = begin; piece < end; piece++) {
        double *patches = (double *)(void *)(c->scratch + (size_t)thread_of(c, piece) * c->each);
        int64_t first = piece * c->chunk, stop = LT_MIN(first + c->chunk, c->s.x[0]);

        for (int64_t n = first; n < stop; n++)
            for (int64_t group = 0; group < c->s.groups; group++)
                if (c->kind == LT_CONV_FORWARD)
                    forward(c, n, group, patches);
                else if (c->kind == LT_CONV_DATA)
                    data(c, n, group, patches);
                else
                    weights(c, n, group, patches, c->to + piece * size, n > first);
    }
}

/* Partial weight gradients in scratch, summed in their order. */
static void pieces_sum(struct lt_build *b, const struct conv64 *c, size_t at)
{
    struct lt_reduce *r = lt_build_args(b, sizeof *r);

    *r = (struct lt_reduce){.kind = LT_REDUCE_SUM,
                            .scale = 1,
                            .a = 1,
                            .r = c->pieces,
                            .c = c->s.y[1] * patch_len(&c->s),
                            .parts = 1,
                            .chunk = c->pieces,
                            .width = 1024};
    r->blocks = lt_pieces(r->c, r->width);
    lt_build_at_scratch(b, at, &r->x);
    lt_build_out(b, 0, &r->out);
    lt_build_kernel(b, LT_KERN_reduce_cols, r, r->blocks, (double)(c->pieces * r->c) / 5);
}

static void bind(struct lt_build *b, struct conv64 *c, size_t partial)
{
    const struct lt_node *n = b->n;

    if (c->kind == LT_CONV_FORWARD) {
        lt_build_in(b, 0, &c->x);
        lt_build_in(b, 1, &c->w);
        if (n->n_in > 2)
            lt_build_in(b, 2, &c->bias);
    } else {
        lt_build_in(b, 0, &c->y);
        lt_build_in(b, 1, c->kind == LT_CONV_DATA ? &c->w : &c->x);
    }
    if (c->kind == LT_CONV_WEIGHTS && c->pieces > 1)
        lt_build_at_scratch(b, partial, &c->to);
    else
        lt_build_out(b, 0, &c->to);
}

int lt_conv64_build(struct lt_build *b, const struct lt_conv_shape *s, enum lt_conv_kind kind)
{
    static const char *const names[] = {"conv", "conv_dx", "conv_dw"};
    struct conv64 *c = lt_build_args(b, sizeof *c);
    size_t patches = (size_t)(s->y[2] * s->y[3] * patch_len(s)) * sizeof(double);
    size_t dw = (size_t)(s->y[1] * patch_len(s)) * sizeof(double), partial = 0;
    char name[64];

    *c = (struct conv64){.s = *s,
                         .kind = kind,
                         .gemm = b->d->kern_f64->fn[LT_KERN_gemm],
                         .chunk = lt_slice(s->x[0]),
                         .threads = b->d->threads,
                         .relu = kind == LT_CONV_FORWARD &&
                                 !strcmp(lt_node_str(b->n, "act"), "relu")};
    c->pieces = lt_pieces(s->x[0], c->chunk);
    c->each = (patches + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;
    if (kind == LT_CONV_WEIGHTS && c->pieces > 1)
        partial = lt_build_scratch(b, dw * (size_t)c->pieces);
    lt_build_at_scratch(b, lt_build_scratch(b, c->each * (size_t)c->threads), &c->scratch);
    bind(b, c, partial);
    snprintf(name, sizeof name, "%s_f64:%s", b->d->kern->isa, names[kind]);
    lt_build_step(b, name, conv64_fn, c, c->pieces, s->flops / 15);
    if (kind == LT_CONV_WEIGHTS && c->pieces > 1)
        pieces_sum(b, c, partial);
    return 0;
}
