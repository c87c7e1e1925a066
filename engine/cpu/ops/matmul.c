/* matmul.c - matrix products and linear layers, by oneDNN; over float64 by our own kernel
 *
 * Operands are given by strides, so that a transposition costs no copy. A result that is stored
 * turned is computed as the product of the transposes. The weights of a linear layer live turned
 * ([k, o]): products with few rows run fastest on them.
 */
#include <string.h>
#include "engine/cpu/program.h"

/* rows x cols elements behind a batch index, each with its stride. */
struct matrix {
    lt_id v;
    enum lt_dtype t;
    int64_t batch, rows, cols, step, by_row, by_col;
};

static struct matrix turned(struct matrix m)
{
    return (struct matrix){m.v, m.t, m.batch, m.cols, m.rows, m.step, m.by_col, m.by_row};
}

/* As [rows, cols] in the order of its storage. */
static bool stored_turned(const struct lt_build *b, lt_id v)
{
    enum lt_layout_kind k = b->d->layouts[lt_build_layout(b, v)].kind;

    return k == LT_LAYOUT_TURNED || k == LT_LAYOUT_TURNED_FLAT;
}

static struct lt_md *matrix_md(const struct matrix *m, bool batched)
{
    if (batched)
        return lt_md_strided(m->t, 3, (int64_t[]){m->batch, m->rows, m->cols},
                             (int64_t[]){m->step, m->by_row, m->by_col});
    return lt_md_strided(m->t, 2, (int64_t[]){m->rows, m->cols},
                         (int64_t[]){m->by_row, m->by_col});
}

/* Nothing to sum over: the result is the bias, or 0. */
struct empty_sum {
    void *y;
    const void *bias;
    enum lt_dtype type, bias_type;
    int64_t rows, cols;
};

static void empty_sum(const void *args, int64_t begin, int64_t end)
{
    const struct empty_sum *e = args;

    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < e->cols; c++)
            lt_dtype_store(e->type, e->y, r * e->cols + c,
                           e->bias ? lt_dtype_load(e->bias_type, e->bias, c) : 0);
}

static int empty_build(struct lt_build *b, const struct matrix *y, lt_id bias)
{
    struct empty_sum *e = lt_build_args(b, sizeof *e);

    e->rows = y->batch * y->rows;
    e->cols = y->cols;
    e->type = y->t;
    lt_build_value(b, y->v, 0, &e->y);
    if (bias != LT_NONE) {
        e->bias_type = lt_build_dtype(b, bias);
        lt_build_value(b, bias, 0, &e->bias);
    }
    lt_build_step(b, "fill", empty_sum, e, e->rows, (double)(e->rows * e->cols) / 8);
    return 0;
}

static int gemm_build(struct lt_build *b, const struct matrix *x, const struct matrix *w,
                      lt_id bias, const struct matrix *y, bool relu)
{
    struct lt_gemm *g = lt_build_args(b, sizeof *g);
    int64_t blocks = lt_pieces(y->rows, LT_GEMM_ROWS);

    *g = (struct lt_gemm){.m = y->rows,
                          .n = y->cols,
                          .k = x->cols,
                          .a_row = x->by_row,
                          .a_col = x->by_col,
                          .b_row = w->by_row,
                          .b_col = w->by_col,
                          .c_row = y->by_row,
                          .c_col = y->by_col,
                          .a_step = x->batch > 1 ? x->step : 0,
                          .b_step = w->batch > 1 ? w->step : 0,
                          .c_step = y->step,
                          .relu = relu};
    lt_build_value(b, x->v, 0, &g->a);
    lt_build_value(b, w->v, 0, &g->b);
    lt_build_value(b, y->v, 0, &g->c);
    if (bias != LT_NONE)
        lt_build_value(b, bias, 0, &g->bias);
    lt_build_kernel(b, LT_KERN_gemm, g, y->batch * blocks,
                    2.0 * (double)(y->batch * y->rows * y->cols) * (double)x->cols / 15);
    return 0;
}

/* One primitive from byte offset at[…] of x and y on. */
static int primitive_build(struct lt_build *b, const struct matrix *x, const struct matrix *w,
                           lt_id bias, const struct matrix *y, bool relu, const size_t at[2])
{
    bool batched = y->batch > 1 || x->batch > 1;
    double flops = 2.0 * (double)(y->batch * y->rows * y->cols) * (double)x->cols;
    struct lt_prim *p = NULL;
    int rc;

    {
        LT_AUTO(lt_md_free) struct lt_md *mx = matrix_md(x, batched);
        LT_AUTO(lt_md_free) struct lt_md *mw = matrix_md(w, batched);
        LT_AUTO(lt_md_free) struct lt_md *my = matrix_md(y, batched);
        LT_AUTO(lt_md_free)
        struct lt_md *mb =
            bias == LT_NONE
                ? NULL
                : lt_md_strided(lt_build_dtype(b, bias), batched ? 3 : 2,
                                batched ? (int64_t[]){1, 1, y->cols} : (int64_t[]){1, y->cols},
                                NULL);
        struct lt_matmul_spec s = {mx, mw, mb, my, relu, lt_cpu_threads(b->d, flops / 150)};

        rc = lt_prim_matmul(&s, &p, b->err);
    }
    if (rc < 0)
        return rc;
    lt_build_prim(b, p);
    lt_build_prim_value(b, p, LT_PRIM_SRC, x->v, at[0]);
    lt_build_prim_value(b, p, LT_PRIM_WEIGHTS, w->v, 0);
    lt_build_prim_value(b, p, LT_PRIM_DST, y->v, at[1]);
    if (bias != LT_NONE)
        lt_build_prim_value(b, p, LT_PRIM_BIAS, bias, 0);
    lt_build_prim_step(b, p);
    return 0;
}

static int product_build(struct lt_build *b, const struct matrix *x, const struct matrix *w,
                         lt_id bias, const struct matrix *y, bool relu)
{
    struct matrix one = *x, part = *y;

    if (!y->batch || !y->rows || !y->cols)
        return 0;
    if (!x->cols)
        return empty_build(b, y, bias);
    if (y->t == LT_F64)
        return gemm_build(b, x, w, bias, y, relu);
    if (x->batch == w->batch)
        return primitive_build(b, x, w, bias, y, relu, (size_t[]){0, 0});
    one.batch = part.batch = 1; /* several of x by one w */
    for (int64_t i = 0; i < x->batch; i++) {
        size_t at[2] = {(size_t)(i * x->step) * lt_dtype_sizes[x->t],
                        (size_t)(i * y->step) * lt_dtype_sizes[y->t]};
        int rc = primitive_build(b, &one, w, bias, &part, relu, at);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int linear_build(struct lt_build *b)
{
    int64_t xd[LT_DIMS_MAX], wd[LT_DIMS_MAX];
    int nx = lt_build_dims(b, b->n->in[0], xd);
    lt_id xv = b->n->in[0], wv = b->n->in[1], yv = b->n->out[0];
    int64_t m = 1, k, o;

    lt_build_dims(b, wv, wd);
    o = wd[0];
    k = wd[1];
    for (int i = 0; i < nx - 1; i++)
        m *= xd[i];
    return product_build(b, &(struct matrix){xv, lt_build_dtype(b, xv), 1, m, k, m * k, k, 1},
                         &(struct matrix){wv, lt_build_dtype(b, wv), 1, k, o, k * o, stored_turned(b, wv) ? o : 1,
                                          stored_turned(b, wv) ? 1 : k},
                         b->n->n_in > 2 ? b->n->in[2] : LT_NONE,
                         &(struct matrix){yv, lt_build_dtype(b, yv), 1, m, o, m * o, o, 1},
                         !strcmp(lt_node_str(b->n, "act"), "relu"));
}

/* The last two dimensions of a value, the others as batch. */
static struct matrix matrix_of(const struct lt_build *b, lt_id v)
{
    int64_t d[LT_DIMS_MAX], batch = 1;
    int n = lt_build_dims(b, v, d);
    struct matrix m = {.v = v, .t = lt_build_dtype(b, v), .rows = d[n - 2], .cols = d[n - 1]};

    for (int i = 0; i < n - 2; i++)
        batch *= d[i];
    m.batch = batch;
    m.step = batch > 1 ? m.rows * m.cols : 0;
    m.by_row = stored_turned(b, v) ? 1 : m.cols;
    m.by_col = stored_turned(b, v) ? m.rows : 1;
    return m;
}

static int matmul_build(struct lt_build *b)
{
    struct matrix x = matrix_of(b, b->n->in[0]), w = matrix_of(b, b->n->in[1]),
                  y = matrix_of(b, b->n->out[0]);

    if (lt_node_int(b->n, "transpose_a"))
        x = turned(x);
    if (lt_node_int(b->n, "transpose_b"))
        w = turned(w);
    if (w.batch == 1 && x.batch > 1 && x.by_row == x.cols) { /* one product over all rows */
        x.rows *= x.batch;
        y.rows *= y.batch;
        x.batch = y.batch = 1;
    }
    if (stored_turned(b, b->n->out[0])) {
        struct matrix t = turned(w);

        w = turned(x);
        x = t;
        y = turned(y);
    }
    return product_build(b, &x, &w, LT_NONE, &y, false);
}

static bool always(const struct lt_graph *g, const struct lt_node *n)
{
    (void)g, (void)n;
    return true;
}

const struct lt_builder lt_builders_matmul[] = {
    {.op = "linear", .build = linear_build, .low = always}, {.op = "matmul", .build = matmul_build, .low = always}, {0}};
