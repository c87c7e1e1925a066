/* reduce.c - sums, means, maxima and minima over any axes, in any layout with strides per dimension
 *
 * Dimensions in storage order are joined into groups that are kept or go; then one group after the
 * other goes, innermost first, each by a row or a column kernel. Long sums are made of pieces of a
 * fixed length.
 */
#include <string.h>
#include "engine/cpu/ops/wide.h"

#define ROWS_PIECE 4096
#define COLS_PIECE 256

struct group {
    int64_t n;
    bool gone;
};
struct groups {
    struct group g[LT_DIMS_MAX];
    int n;
};

static void group_push(struct groups *s, int64_t n, bool gone)
{
    if (n == 1)
        return;
    if (s->n && s->g[s->n - 1].gone == gone)
        s->g[s->n - 1].n *= n;
    else
        s->g[s->n++] = (struct group){n, gone};
}

/* gone: bit per logical dimension. */
static struct groups groups_of(const struct lt_build *b, lt_id x, unsigned gone)
{
    int64_t d[LT_DIMS_MAX];
    int n = lt_build_dims(b, x, d);
    bool last = b->d->layouts[lt_build_layout(b, x)].kind == LT_LAYOUT_LAST;
    struct groups s = {.n = 0};

    for (int i = 0; i < n; i++)
        if (!last || i != 1)
            group_push(&s, d[i], gone >> i & 1);
    if (last)
        group_push(&s, d[1], gone >> 1 & 1);
    return s;
}

/* Where a stage reads or writes: a value of the node, or scratch. */
struct place {
    lt_id v; /* LT_NONE: scratch */
    size_t at;
};

static void at_place(struct lt_build *b, const struct place *p, const void *where)
{
    if (p->v == LT_NONE)
        lt_build_at_scratch(b, p->at, where);
    else
        lt_build_value(b, p->v, 0, where);
}

/* One kernel: x[a, r(, c)] → out[a, parts(, c)]. */
static void stage(struct lt_build *b, enum lt_reduce_kind kind, int64_t a, int64_t r, int64_t c,
                  int64_t parts, const struct place *from, const struct place *to, double scale)
{
    struct lt_reduce *k = lt_build_args(b, sizeof *k);
    int64_t chunk = parts > 1 ? (c == 1 ? ROWS_PIECE : COLS_PIECE) : LT_MAX(r, 1);

    *k = (struct lt_reduce){
        .kind = kind, .scale = scale, .a = a, .r = r, .c = c, .parts = parts, .chunk = chunk};
    k->width = c < 1024 ? LT_MAX(c, 1) : 1024;
    k->blocks = lt_pieces(c, k->width);
    at_place(b, from, &k->x);
    at_place(b, to, &k->out);
    lt_build_kernel(b, c == 1 ? LT_KERN_reduce_rows : LT_KERN_reduce_cols, k,
                    c == 1 ? a * parts : a * parts * k->blocks,
                    (double)(a * r * c) * (c == 1 ? 0.06 : 0.08));
}

/* Removes one group of r elements: in two stages when it is long. */
static void remove_group(struct lt_build *b, enum lt_reduce_kind kind, int64_t a, int64_t r,
                         int64_t c, struct place *from, const struct place *to, double scale)
{
    int64_t piece = c == 1 ? ROWS_PIECE : COLS_PIECE, parts = lt_pieces(r, piece);

    if (parts > 1) {
        struct place mid = {LT_NONE, lt_build_scratch(b, (size_t)(a * parts * c) * b->real)};

        stage(b, kind, a, r, c, parts, from, &mid, 1);
        remove_group(b, kind, a, parts, c, &mid, to, scale);
        return;
    }
    stage(b, kind, a, r, c, 1, from, to, scale);
}

static void groups_build(struct lt_build *b, enum lt_reduce_kind kind, lt_id x, lt_id y,
                         unsigned gone, double scale)
{
    struct groups s = groups_of(b, x, gone);
    struct place from = {x, 0};
    int left = 0;

    for (int i = 0; i < s.n; i++)
        left += s.g[i].gone;
    if (!left) { /* nothing to do but to copy, scaled by 1 */
        lt_build_copy(b, x, y, lt_type_bytes(&b->g->values[y].type, b->b));
        return;
    }
    for (int i = s.n - 1; i >= 0; i--) {
        int64_t a = 1, c = 1;
        struct place to = {y, 0};

        if (!s.g[i].gone)
            continue;
        for (int k = 0; k < i; k++)
            a *= s.g[k].n;
        for (int k = i + 1; k < s.n; k++)
            c *= s.g[k].gone ? 1 : s.g[k].n;
        if (--left)
            to = (struct place){LT_NONE, lt_build_scratch(b, (size_t)(a * c) * b->real)};
        remove_group(b, kind, a, s.g[i].n, c, &from, &to, left ? 1 : scale);
        s.g[i].n = 1;
        from = to;
    }
}

static unsigned axes_of(const struct lt_build *b)
{
    int count, ndim = b->g->values[b->n->in[0]].type.ndim;
    const int64_t *axes = lt_node_ints(b->n, "axes", &count);
    unsigned gone = 0;

    for (int i = 0; i < count; i++)
        gone |= 1u << (axes[i] < 0 ? axes[i] + ndim : axes[i]);
    return count ? gone : (1u << ndim) - 1;
}

static bool over_numbers(const struct lt_build *b)
{
    enum lt_dtype t = lt_build_dtype(b, b->n->in[0]);

    return t == LT_F32 || (t == LT_F64 && b->real == sizeof(double));
}

static int reduce_build(struct lt_build *b, enum lt_reduce_kind kind, bool mean)
{
    int64_t in = lt_build_count(b, b->n->in[0]), out = lt_build_count(b, b->n->out[0]);

    if (!over_numbers(b))
        return lt_wide_reduce_build(b, axes_of(b));
    groups_build(b, kind, b->n->in[0], b->n->out[0], axes_of(b),
                 mean ? (double)out / (double)in : 1);
    return 0;
}

static int sum_build(struct lt_build *b)
{
    return reduce_build(b, LT_REDUCE_SUM, false);
}

static int mean_build(struct lt_build *b)
{
    return reduce_build(b, LT_REDUCE_SUM, true);
}

static int max_build(struct lt_build *b)
{
    return reduce_build(b, LT_REDUCE_MAX, false);
}

static int min_build(struct lt_build *b)
{
    return reduce_build(b, LT_REDUCE_MIN, false);
}

/* Over the dimensions along which `like` was broadcast. */
static int sum_to_build(struct lt_build *b)
{
    int64_t x[LT_DIMS_MAX], y[LT_DIMS_MAX];
    int n = lt_build_dims(b, b->n->in[0], x), m = lt_build_dims(b, b->n->out[0], y);
    unsigned gone = 0;

    for (int i = 0; i < n; i++)
        if (i < n - m || (y[i - (n - m)] == 1 && x[i] != 1))
            gone |= 1u << i;
    if (!over_numbers(b))
        return lt_wide_reduce_build(b, gone);
    groups_build(b, LT_REDUCE_SUM, b->n->in[0], b->n->out[0], gone, 1);
    return 0;
}

/* dx = the masked dy, db = its sums over rows; as in pieces of rows. */
static int relu_bias_build(struct lt_build *b)
{
    struct lt_relu_bias *k = lt_build_args(b, sizeof *k);
    int64_t d[LT_DIMS_MAX], pieces;
    int n = lt_build_dims(b, b->n->in[0], d);
    enum lt_kern_id kernel =
        lt_build_dtype(b, b->n->in[0]) == LT_BF16 ? LT_KERN_relu_bias_low : LT_KERN_relu_bias;

    k->c = d[n - 1];
    k->rows = lt_build_count(b, b->n->in[0]) / LT_MAX(k->c, 1);
    k->chunk = COLS_PIECE;
    pieces = lt_pieces(k->rows, k->chunk);
    lt_build_in(b, 0, &k->dy);
    lt_build_in(b, 1, &k->y);
    lt_build_out(b, 0, &k->dx);
    if (pieces > 1) {
        struct place mid = {LT_NONE, lt_build_scratch(b, (size_t)(pieces * k->c) * b->real)};
        struct place to = {b->n->out[1], 0};

        lt_build_at_scratch(b, mid.at, &k->out);
        lt_build_kernel(b, kernel, k, pieces, (double)(k->rows * k->c) * 0.12);
        remove_group(b, LT_REDUCE_SUM, 1, pieces, k->c, &mid, &to, 1);
    } else {
        lt_build_out(b, 1, &k->out);
        lt_build_kernel(b, kernel, k, 1, (double)(k->rows * k->c) * 0.12);
    }
    return 0;
}

static bool always(const struct lt_graph *g, const struct lt_node *n)
{
    (void)g, (void)n;
    return true;
}

static int argmax_build(struct lt_build *b)
{
    struct lt_argmax *k = lt_build_args(b, sizeof *k);
    int64_t d[LT_DIMS_MAX], axis = lt_node_int(b->n, "axis");
    int n = lt_build_dims(b, b->n->in[0], d);

    if (axis < 0)
        axis += n;
    k->a = k->c = 1;
    k->r = n ? d[axis] : 1;
    for (int i = 0; i < n; i++)
        *(i < axis ? &k->a : i > axis ? &k->c : &(int64_t){0}) *= d[i];
    lt_build_in(b, 0, &k->x);
    lt_build_out(b, 0, &k->out);
    lt_build_kernel(b, LT_KERN_argmax, k, k->c ? k->a : 0, (double)(k->a * k->r * k->c) * 0.8);
    return 0;
}

const struct lt_builder lt_builders_reduce[] = {
    {.op = "reduce_sum", .build = sum_build, .any_type = true}, {.op = "reduce_mean", .build = mean_build, .any_type = true},
    {.op = "reduce_max", .build = max_build, .any_type = true}, {.op = "reduce_min", .build = min_build, .any_type = true},
    {.op = "sum_to", .build = sum_to_build, .any_type = true},  {.op = "cpu_relu_bias", .build = relu_bias_build, .low = always},
    {.op = "argmax", .build = argmax_build},  {0}};
