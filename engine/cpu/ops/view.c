/* view.c - the same elements under another shape, order or layout */
#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "engine/cpu/program.h"

static int reshape_build(struct lt_build *b)
{
    lt_id to = b->n->out[0];

    lt_build_copy(b, b->n->in[0], to,
                  lt_layout_bytes(b->d, lt_build_layout(b, to), &b->g->values[to].type, b->b));
    return 0;
}

/* Element by element, for types that oneDNN doesn't move for us. Unit: an index of the outermost
 * dimension. */
struct strided_copy {
    const char *from;
    char *to;
    int ndim;
    int64_t dims[LT_DIMS_MAX], src[LT_DIMS_MAX], dst[LT_DIMS_MAX];
    size_t size;
};

static void copy_dim(const struct strided_copy *c, int dim, const char *from, char *to)
{
    for (int64_t i = 0; i < c->dims[dim]; i++) {
        const char *f = from + i * c->src[dim];
        char *t = to + i * c->dst[dim];

        if (dim + 1 < c->ndim)
            copy_dim(c, dim + 1, f, t);
        else
            memcpy(t, f, c->size);
    }
}

static void strided_copy(const void *args, int64_t begin, int64_t end)
{
    const struct strided_copy *c = args;

    for (int64_t i = begin; i < end; i++)
        if (c->ndim > 1)
            copy_dim(c, 1, c->from + i * c->src[0], c->to + i * c->dst[0]);
        else
            memcpy(c->to + i * c->dst[0], c->from + i * c->src[0], c->size);
}

static int strided_build(struct lt_build *b, int ndim, const int64_t *dims, const int64_t *src,
                         const int64_t *dst)
{
    struct strided_copy *c = lt_build_args(b, sizeof *c);
    int64_t count = 1;

    c->ndim = ndim;
    c->size = lt_dtype_sizes[lt_build_dtype(b, b->n->out[0])];
    for (int i = 0; i < ndim; i++) {
        c->dims[i] = dims[i];
        c->src[i] = src[i] * (int64_t)c->size;
        c->dst[i] = dst[i] * (int64_t)c->size;
        count *= dims[i];
    }
    lt_build_in(b, 0, &c->from);
    lt_build_out(b, 0, &c->to);
    lt_build_step(b, "strided_copy", strided_copy, c, count ? dims[0] : 0, (double)count * 2);
    return 0;
}

static int move_build(struct lt_build *b, const struct lt_md *from, const struct lt_md *to,
                      double ns)
{
    struct lt_prim *p = NULL;
    int rc = lt_prim_reorder(from, to, lt_cpu_threads(b->d, ns), &p, NULL);

    if (rc < 0)
        return rc;
    lt_build_prim(b, p);
    lt_build_prim_value(b, p, LT_PRIM_SRC, b->n->in[0], 0);
    lt_build_prim_value(b, p, LT_PRIM_DST, b->n->out[0], 0);
    lt_build_prim_step(b, p);
    return 0;
}

static bool onednn_moves(enum lt_dtype t)
{
    return t == LT_F32 || t == LT_BF16;
}

static int reorder_build(struct lt_build *b)
{
    lt_id x = b->n->in[0], y = b->n->out[0];
    int64_t dims[LT_DIMS_MAX], split[LT_DIMS_MAX], src[LT_DIMS_MAX], dst[LT_DIMS_MAX];
    int ndim = lt_build_dims(b, x, dims), from = lt_build_layout(b, x), to = lt_build_layout(b, y);
    enum lt_dtype t = lt_build_dtype(b, x), u = lt_build_dtype(b, y);
    int64_t count = lt_build_count(b, x);

    if (!count)
        return 0;
    if (onednn_moves(t) && onednn_moves(u)) {
        LT_AUTO(lt_md_free) struct lt_md *m0 = NULL;
        LT_AUTO(lt_md_free) struct lt_md *m1 = NULL;
        int64_t blocked[5];

        /* grouped weights have five dimensions in blocked layouts */
        if (b->d->layouts[from].kind == LT_LAYOUT_BLOCKED ||
            b->d->layouts[to].kind == LT_LAYOUT_BLOCKED) {
            int n = lt_layout_dims(b->d, b->d->layouts[from].kind == LT_LAYOUT_BLOCKED ? from : to,
                                   blocked);

            m0 = lt_layout_md(b->d, t, from, 0, n, blocked);
            m1 = lt_layout_md(b->d, u, to, 0, n, blocked);
        } else {
            m0 = lt_layout_md(b->d, t, from, from ? from : to, ndim, dims);
            m1 = lt_layout_md(b->d, u, to, to ? to : from, ndim, dims);
        }
        if (move_build(b, m0, m1, (double)count / 2) == 0)
            return 0;
    }
    ndim = t == u ? lt_layout_places(b->d, from, from ? from : to, ndim, dims, split, src) : 0;
    if (!ndim || !lt_layout_places(b->d, to, to ? to : from, ndim, dims, split, dst))
        return lt_error_set(b->err, -ENOTSUP, "no way from layout %d to layout %d", from, to);
    return strided_build(b, ndim, split, src, dst);
}

static int transpose_build(struct lt_build *b)
{
    int64_t in[LT_DIMS_MAX], out[LT_DIMS_MAX], own[LT_DIMS_MAX], src[LT_DIMS_MAX], dst[LT_DIMS_MAX];
    int ndim = lt_build_dims(b, b->n->in[0], in);
    const int64_t *perm = lt_node_ints(b->n, "perm", NULL);
    int64_t count = lt_build_count(b, b->n->in[0]);

    lt_build_dims(b, b->n->out[0], out);
    lt_layout_strides(b->d, 0, ndim, in, own);
    lt_layout_strides(b->d, 0, ndim, out, dst);
    for (int i = 0; i < ndim; i++)
        src[i] = own[perm[i] < 0 ? perm[i] + ndim : perm[i]];
    if (!count)
        return 0;
    if (!ndim)
        return reshape_build(b);
    if (onednn_moves(lt_build_dtype(b, b->n->in[0]))) {
        enum lt_dtype t = lt_build_dtype(b, b->n->in[0]);
        LT_AUTO(lt_md_free) struct lt_md *m0 = lt_md_strided(t, ndim, out, src);
        LT_AUTO(lt_md_free) struct lt_md *m1 = lt_md_strided(t, ndim, out, dst);

        if (move_build(b, m0, m1, (double)count / 2) == 0)
            return 0;
    }
    return strided_build(b, ndim, out, src, dst);
}

const struct lt_builder lt_builders_view[] = {{.op = "reshape", .build = reshape_build, .any_type = true},
                                              {.op = "cpu_reorder", .build = reorder_build, .any_type = true},
                                              {.op = "transpose", .build = transpose_build, .any_type = true},
                                              {0}};
