/* norm.c - layer norm and batch norm
 *
 * Batch norm is [rows, channels] with the channels innermost; its sums are made of pieces of rows,
 * which a scalar step between the passes sums up in order.
 */
#include <math.h>
#include <string.h>
#include "engine/cpu/program.h"

#define PIECE 256
#define LAYER_PIECE 64

/* ---- layer norm */

static int64_t trailing(const struct lt_build *b, lt_id x)
{
    int64_t d[LT_DIMS_MAX], c = 1;
    int n = lt_build_dims(b, x, d);

    for (int64_t i = n - lt_node_int(b->n, "ndim"); i < n; i++)
        c *= d[i];
    return c;
}

static int layer_norm_build(struct lt_build *b)
{
    struct lt_layer_norm *a = lt_build_args(b, sizeof *a);
    const struct lt_node *n = b->n;

    a->c = trailing(b, n->in[0]);
    a->rows = lt_build_count(b, n->in[0]) / LT_MAX(a->c, 1);
    a->eps = lt_node_float(n, "eps");
    lt_build_in(b, 0, &a->x);
    if (n->n_in > 1)
        lt_build_in(b, 1, &a->gamma);
    if (n->n_in > 2)
        lt_build_in(b, 2, &a->beta);
    lt_build_out(b, 0, &a->y);
    lt_build_out(b, 1, &a->mean);
    lt_build_out(b, 2, &a->rstd);
    lt_build_kernel(b, LT_KERN_layer_norm, a, a->c ? a->rows : 0, (double)(a->rows * a->c) * 0.25);
    return 0;
}

static void pieces_sum(struct lt_build *b, int64_t pieces, int64_t c, size_t at, int out)
{
    struct lt_reduce *r = lt_build_args(b, sizeof *r);

    *r = (struct lt_reduce){.kind = LT_REDUCE_SUM,
                            .scale = 1,
                            .a = 1,
                            .r = pieces,
                            .c = c,
                            .parts = 1,
                            .chunk = LT_MAX(pieces, 1),
                            .width = 1024,
                            .blocks = lt_pieces(c, 1024)};
    lt_build_at_scratch(b, at, &r->x);
    lt_build_out(b, out, &r->out);
    lt_build_kernel(b, LT_KERN_reduce_cols, r, r->blocks, (double)(pieces * c) * 0.08);
}

/* dy, x, mean, rstd, [gamma] → dx, dgamma, dbeta */
static int layer_norm_grad_build(struct lt_build *b)
{
    struct lt_layer_norm *a = lt_build_args(b, sizeof *a);
    const struct lt_node *n = b->n;
    int64_t pieces;
    size_t gamma_at, beta_at;

    a->c = trailing(b, n->in[1]);
    a->rows = lt_build_count(b, n->in[1]) / LT_MAX(a->c, 1);
    a->chunk = LAYER_PIECE;
    pieces = lt_pieces(a->rows, a->chunk);
    gamma_at = lt_build_scratch(b, (size_t)(pieces * a->c) * b->real);
    beta_at = lt_build_scratch(b, (size_t)(pieces * a->c) * b->real);
    lt_build_in(b, 0, &a->dy);
    lt_build_in(b, 1, &a->x);
    lt_build_in(b, 2, &a->mean);
    lt_build_in(b, 3, &a->rstd);
    if (n->n_in > 4)
        lt_build_in(b, 4, &a->gamma);
    lt_build_out(b, 0, &a->y);
    lt_build_at_scratch(b, gamma_at, &a->dgamma);
    lt_build_at_scratch(b, beta_at, &a->dbeta);
    lt_build_kernel(b, LT_KERN_layer_norm_grad, a, a->c ? pieces : 0,
                    (double)(a->rows * a->c) * 0.5);
    pieces_sum(b, pieces, a->c, gamma_at, 1);
    pieces_sum(b, pieces, a->c, beta_at, 2);
    return 0;
}

/* ---- batch norm */

static void shape_set(const struct lt_build *b, lt_id x, struct lt_batch_norm *a)
{
    int64_t d[LT_DIMS_MAX];

    lt_build_dims(b, x, d);
    a->c = d[1];
    a->rows = lt_build_count(b, x) / LT_MAX(a->c, 1);
    a->rows_per_sample = LT_MAX(a->rows / LT_MAX(d[0], 1), 1);
    a->chunk = PIECE;
}

static double cost(const struct lt_batch_norm *a)
{
    return (double)(a->rows * a->c) * 0.12;
}

/* Between the passes: which statistic the pieces are summed up to. */
enum moment { MEAN, VARIANCE, GRADIENT, EVAL };

struct finish {
    enum moment what;
    bool wide; /* numbers are float64 */
    const void *sums, *weight, *running_mean, *running_var;
    void *mean, *invstd, *new_mean, *new_var;
    void *shift, *dgamma, *dbeta;
    int64_t pieces, c, samples, rows_per_sample;
    double eps, momentum;
};

static double get(const struct finish *f, const void *p, int64_t i)
{
    return f->wide ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void put(const struct finish *f, void *p, int64_t i, double v)
{
    if (f->wide)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

static double counted(const struct finish *f)
{
    int64_t n = 0;

    for (int64_t i = 0; i < f->samples; i++)
        n += !f->weight || get(f, f->weight, i) != 0;
    return (double)(n * f->rows_per_sample);
}

/* Column i of the pieces' sums; `lists` lists of c numbers a piece, of which `list`. */
static double column(const struct finish *f, int64_t i, int64_t lists, int64_t list)
{
    double s = 0;

    for (int64_t p = 0; p < f->pieces; p++)
        s += get(f, f->sums, (p * lists + list) * f->c + i);
    return s;
}

/* What isn't finite moves nothing (engine/ops/batch_norm.c). */
static double moved(double running, double batch, double momentum)
{
    return isfinite(batch) ? (1 - momentum) * running + momentum * batch : running;
}

static void finish_variance(const struct finish *f, int64_t i, double n)
{
    double sum = column(f, i, 1, 0), biased = n > 0 ? sum / n : 0;

    put(f, f->invstd, i, 1 / sqrt(biased + f->eps));
    if (n <= 0 || !f->new_mean)
        return;
    put(f, f->new_mean, i, moved(get(f, f->running_mean, i), get(f, f->mean, i), f->momentum));
    if (n > 1) /* one value has no unbiased variance */
        put(f, f->new_var, i, moved(get(f, f->running_var, i), sum / (n - 1), f->momentum));
}

static void finish_gradient(const struct finish *f, int64_t i, double n)
{
    for (int list = 0; list < 2; list++) {
        void *to = list ? f->dgamma : f->dbeta;

        put(f, to, i, column(f, i, 2, list));
        put(f, f->shift, list * f->c + i, n > 0 ? get(f, to, i) / n : 0);
    }
}

static void finish_fn(const void *args, int64_t begin, int64_t end)
{
    const struct finish *f = args;
    double n = f->what == EVAL ? 0 : counted(f);

    for (int64_t i = begin; i < end; i++)
        switch (f->what) {
        case MEAN:
            put(f, f->mean, i, n > 0 ? column(f, i, 1, 0) / n : 0);
            break;
        case VARIANCE:
            finish_variance(f, i, n);
            break;
        case GRADIENT:
            finish_gradient(f, i, n);
            break;
        case EVAL:
            put(f, f->invstd, i, 1 / sqrt(get(f, f->running_var, i) + f->eps));
        }
}

static struct finish *finish_step(struct lt_build *b, enum moment what,
                                  const struct lt_batch_norm *a, int weight)
{
    struct finish *f = lt_build_args(b, sizeof *f);

    *f = (struct finish){.what = what,
                         .wide = b->real == sizeof(double),
                         .pieces = lt_pieces(a->rows, a->chunk),
                         .c = a->c,
                         .samples = a->rows / a->rows_per_sample,
                         .rows_per_sample = a->rows_per_sample};
    if (weight >= 0)
        lt_build_in(b, weight, &f->weight);
    lt_build_step(b, "batch_norm_finish", finish_fn, f, a->c, (double)(f->pieces * a->c));
    return f;
}

/* A pass over the rows; arguments shared by name only. */
static struct lt_batch_norm *pass(struct lt_build *b, enum lt_kern_id k,
                                  const struct lt_batch_norm *like)
{
    struct lt_batch_norm *a = lt_build_args(b, sizeof *a);

    *a = *like;
    lt_build_kernel(b, k, a, a->c ? lt_pieces(a->rows, a->chunk) : 0, cost(a));
    return a;
}

static void affine_bind(struct lt_build *b, struct lt_batch_norm *a, int gamma)
{
    if (b->n->n_in > gamma)
        lt_build_in(b, gamma, &a->gamma);
    if (b->n->n_in > gamma + 1)
        lt_build_in(b, gamma + 1, &a->beta);
}

static void running_bind(struct lt_build *b, struct finish *f)
{
    f->momentum = lt_node_float(b->n, "momentum");
    lt_build_in(b, 1, &f->running_mean);
    lt_build_in(b, 2, &f->running_var);
    lt_build_out(b, 3, &f->new_mean);
    lt_build_out(b, 4, &f->new_var);
}

/* x, [running_mean, running_var,] weight, [gamma, beta] → y, mean, invstd, [running_mean',
 * running_var'] */
static int batch_norm_build(struct lt_build *b)
{
    const int weight = b->n->n_out > 3 ? 3 : 1;
    struct lt_batch_norm shape = {0}, *a;
    struct finish *f;
    size_t at;

    shape_set(b, b->n->in[0], &shape);
    at = lt_build_scratch(b, (size_t)(lt_pieces(shape.rows, PIECE) * shape.c) * b->real);
    for (int centred = 0; centred < 2; centred++) {
        a = pass(b, LT_KERN_batch_norm_sums, &shape);
        a->centred = centred;
        lt_build_in(b, 0, &a->x);
        lt_build_in(b, weight, &a->weight);
        lt_build_out(b, 1, &a->mean);
        lt_build_at_scratch(b, at, &a->sums);
        f = finish_step(b, centred ? VARIANCE : MEAN, a, weight);
        f->eps = lt_node_float(b->n, "eps");
        lt_build_at_scratch(b, at, &f->sums);
        lt_build_out(b, 1, &f->mean);
        lt_build_out(b, 2, &f->invstd);
        if (weight == 3)
            running_bind(b, f);
    }
    a = pass(b, LT_KERN_batch_norm_apply, &shape);
    lt_build_in(b, 0, &a->x);
    lt_build_out(b, 1, &a->mean);
    lt_build_out(b, 2, &a->invstd);
    lt_build_out(b, 0, &a->y);
    affine_bind(b, a, weight + 1);
    return 0;
}

/* x, running_mean, running_var, [gamma, beta] → y */
static int batch_norm_eval_build(struct lt_build *b)
{
    struct lt_batch_norm shape = {0}, *a;
    struct finish *f;
    size_t at;

    shape_set(b, b->n->in[0], &shape);
    at = lt_build_scratch(b, (size_t)shape.c * b->real);
    f = finish_step(b, EVAL, &shape, -1);
    f->eps = lt_node_float(b->n, "eps");
    lt_build_in(b, 2, &f->running_var);
    lt_build_at_scratch(b, at, &f->invstd);
    a = pass(b, LT_KERN_batch_norm_apply, &shape);
    lt_build_in(b, 0, &a->x);
    lt_build_in(b, 1, &a->mean);
    lt_build_at_scratch(b, at, &a->invstd);
    lt_build_out(b, 0, &a->y);
    affine_bind(b, a, 3);
    return 0;
}

/* dy, x, mean, invstd, weight, [gamma] → dx, dgamma, dbeta */
static int batch_norm_grad_build(struct lt_build *b)
{
    struct lt_batch_norm shape = {0}, *a;
    struct finish *f;
    size_t at, shift;

    shape_set(b, b->n->in[1], &shape);
    at = lt_build_scratch(b, (size_t)(lt_pieces(shape.rows, PIECE) * 2 * shape.c) * b->real);
    shift = lt_build_scratch(b, (size_t)(2 * shape.c) * b->real);
    for (int apply = 0; apply < 2; apply++) {
        a = pass(b, apply ? LT_KERN_batch_norm_grad_apply : LT_KERN_batch_norm_grad_sums, &shape);
        lt_build_in(b, 0, &a->dy);
        lt_build_in(b, 1, &a->x);
        lt_build_in(b, 2, &a->mean);
        lt_build_in(b, 3, &a->invstd);
        lt_build_in(b, 4, &a->weight);
        if (b->n->n_in > 5)
            lt_build_in(b, 5, &a->gamma);
        lt_build_at_scratch(b, at, &a->sums);
        lt_build_at_scratch(b, shift, &a->shift);
        lt_build_out(b, 0, &a->y);
        if (apply)
            break;
        f = finish_step(b, GRADIENT, a, 4);
        lt_build_at_scratch(b, at, &f->sums);
        lt_build_at_scratch(b, shift, &f->shift);
        lt_build_out(b, 1, &f->dgamma);
        lt_build_out(b, 2, &f->dbeta);
    }
    return 0;
}

/* ---- batch norm over the samples of all ranks: the passes above, with totals between them */

enum sync_what { SUMS, GRAD_SUMS, FROM_TOTALS, RUNNING, SHIFT, PARAMS };

struct sync {
    enum sync_what what;
    bool wide; /* numbers are float64 */
    int64_t pieces, c, samples, rows_per_sample;
    const void *sums, *weight, *running_mean, *running_var;
    const double *total, *squares;
    double *own;
    void *mean, *invstd, *new_mean, *new_var, *shift, *dgamma, *dbeta;
    double eps, momentum;
};

/* The same numbers, as the passes on one rank see them. */
static struct finish as_finish(const struct sync *s)
{
    return (struct finish){.wide = s->wide,
                           .sums = s->sums,
                           .pieces = s->pieces,
                           .c = s->c,
                           .weight = s->weight,
                           .samples = s->samples,
                           .rows_per_sample = s->rows_per_sample};
}

static void sync_running(const struct sync *s, int64_t i, double n, double mean)
{
    const struct finish f = as_finish(s);

    if (n > 0)
        put(&f, s->new_mean, i, moved(get(&f, s->running_mean, i), mean, s->momentum));
    if (n > 1)
        put(&f, s->new_var, i,
            moved(get(&f, s->running_var, i), s->squares[i] / (n - 1), s->momentum));
}

/* As the mean is stored. */
static double sync_mean(const struct sync *s, int64_t i, double n)
{
    double mean = s->total && n > 0 ? s->total[i] / n : 0;

    return s->wide ? mean : (double)(float)mean;
}

static void sync_channel(const struct sync *s, int64_t i, double n)
{
    const struct finish f = as_finish(s);

    switch (s->what) {
    case SUMS:
        s->own[i] = column(&f, i, 1, 0);
        break;
    case GRAD_SUMS:
        s->own[i] = column(&f, i, 2, 0);
        s->own[s->c + i] = column(&f, i, 2, 1);
        break;
    case FROM_TOTALS:
        put(&f, s->mean, i, sync_mean(s, i, n));
        if (s->squares)
            put(&f, s->invstd, i, 1 / sqrt((n > 0 ? s->squares[i] / n : 0) + s->eps));
        break;
    case RUNNING:
        sync_running(s, i, n, sync_mean(s, i, n));
        break;
    case SHIFT:
        put(&f, s->shift, i, n > 0 ? s->squares[i] / n : 0);
        put(&f, s->shift, s->c + i, n > 0 ? s->squares[s->c + i] / n : 0);
        break;
    case PARAMS:
        put(&f, s->dgamma, i, s->total[s->c + i]);
        put(&f, s->dbeta, i, s->total[i]);
        break;
    }
}

static void sync_fn(const void *args, int64_t begin, int64_t end)
{
    const struct sync *s = args;
    double n = s->total && s->what != PARAMS ? s->total[s->c] : 0;

    for (int64_t i = begin; i < end; i++)
        sync_channel(s, i, n);
    if (s->what == SUMS && end == s->c) { /* how many there were */
        const struct finish f = as_finish(s);

        s->own[s->c] = counted(&f);
    }
}

static struct sync *sync_step(struct lt_build *b, enum sync_what what,
                              const struct lt_batch_norm *a, int64_t c)
{
    struct sync *s = lt_build_args(b, sizeof *s);

    *s = (struct sync){.what = what, .wide = b->real == sizeof(double), .c = c};
    if (a) {
        s->pieces = lt_pieces(a->rows, a->chunk);
        s->samples = a->rows / a->rows_per_sample;
        s->rows_per_sample = a->rows_per_sample;
    }
    lt_build_step(b, "batch_norm_totals", sync_fn, s, c, (double)(s->pieces * c));
    return s;
}

/* x, weight, [total] → own */
static int batch_norm_sum_build(struct lt_build *b)
{
    bool centred = b->n->n_in > 2;
    struct lt_batch_norm shape = {0}, *a;
    struct sync *s;
    size_t at, mean;

    shape_set(b, b->n->in[0], &shape);
    at = lt_build_scratch(b, (size_t)(lt_pieces(shape.rows, PIECE) * shape.c) * b->real);
    mean = lt_build_scratch(b, (size_t)shape.c * b->real);
    if (centred) {
        s = sync_step(b, FROM_TOTALS, NULL, shape.c);
        lt_build_in(b, 2, &s->total);
        lt_build_at_scratch(b, mean, &s->mean);
    }
    a = pass(b, LT_KERN_batch_norm_sums, &shape);
    a->centred = centred;
    lt_build_in(b, 0, &a->x);
    lt_build_in(b, 1, &a->weight);
    lt_build_at_scratch(b, mean, &a->mean);
    lt_build_at_scratch(b, at, &a->sums);
    s = sync_step(b, SUMS, a, shape.c);
    lt_build_in(b, 1, &s->weight);
    lt_build_at_scratch(b, at, &s->sums);
    lt_build_out(b, 0, &s->own);
    return 0;
}

/* x, total, squares, [gamma, beta] → y, mean, invstd */
static int batch_norm_apply_build(struct lt_build *b)
{
    struct lt_batch_norm shape = {0}, *a;
    struct sync *s;

    shape_set(b, b->n->in[0], &shape);
    s = sync_step(b, FROM_TOTALS, NULL, shape.c);
    s->eps = lt_node_float(b->n, "eps");
    lt_build_in(b, 1, &s->total);
    lt_build_in(b, 2, &s->squares);
    lt_build_out(b, 1, &s->mean);
    lt_build_out(b, 2, &s->invstd);
    a = pass(b, LT_KERN_batch_norm_apply, &shape);
    lt_build_in(b, 0, &a->x);
    lt_build_out(b, 1, &a->mean);
    lt_build_out(b, 2, &a->invstd);
    lt_build_out(b, 0, &a->y);
    affine_bind(b, a, 3);
    return 0;
}

/* running_mean, running_var, total, squares → both anew */
static int batch_norm_running_build(struct lt_build *b)
{
    struct sync *s = sync_step(b, RUNNING, NULL, lt_build_count(b, b->n->in[0]));

    s->momentum = lt_node_float(b->n, "momentum");
    lt_build_in(b, 0, &s->running_mean);
    lt_build_in(b, 1, &s->running_var);
    lt_build_in(b, 2, &s->total);
    lt_build_in(b, 3, &s->squares);
    lt_build_out(b, 0, &s->new_mean);
    lt_build_out(b, 1, &s->new_var);
    return 0;
}

/* dy, x, mean, invstd → own */
static int batch_norm_grad_sum_build(struct lt_build *b)
{
    struct lt_batch_norm shape = {0}, *a;
    struct sync *s;
    size_t at;

    shape_set(b, b->n->in[1], &shape);
    at = lt_build_scratch(b, (size_t)(lt_pieces(shape.rows, PIECE) * 2 * shape.c) * b->real);
    a = pass(b, LT_KERN_batch_norm_grad_sums, &shape);
    lt_build_in(b, 0, &a->dy);
    lt_build_in(b, 1, &a->x);
    lt_build_in(b, 2, &a->mean);
    lt_build_in(b, 3, &a->invstd);
    lt_build_at_scratch(b, at, &a->sums);
    s = sync_step(b, GRAD_SUMS, a, shape.c);
    lt_build_at_scratch(b, at, &s->sums);
    lt_build_out(b, 0, &s->own);
    return 0;
}

/* dy, x, mean, invstd, weight, total, gradient's total, [gamma] → dx */
static int batch_norm_sync_grad_build(struct lt_build *b)
{
    struct lt_batch_norm shape = {0}, *a;
    struct sync *s;
    size_t shift;

    shape_set(b, b->n->in[1], &shape);
    shift = lt_build_scratch(b, (size_t)(2 * shape.c) * b->real);
    s = sync_step(b, SHIFT, NULL, shape.c);
    lt_build_in(b, 5, &s->total);
    lt_build_in(b, 6, &s->squares);
    lt_build_at_scratch(b, shift, &s->shift);
    a = pass(b, LT_KERN_batch_norm_grad_apply, &shape);
    lt_build_in(b, 0, &a->dy);
    lt_build_in(b, 1, &a->x);
    lt_build_in(b, 2, &a->mean);
    lt_build_in(b, 3, &a->invstd);
    lt_build_in(b, 4, &a->weight);
    if (b->n->n_in > 7)
        lt_build_in(b, 7, &a->gamma);
    lt_build_at_scratch(b, shift, &a->shift);
    lt_build_out(b, 0, &a->y);
    return 0;
}

/* own gradient sums → dgamma, dbeta */
static int batch_norm_params_build(struct lt_build *b)
{
    struct sync *s = sync_step(b, PARAMS, NULL, lt_build_count(b, b->n->out[0]));

    lt_build_in(b, 0, &s->total);
    lt_build_out(b, 0, &s->dgamma);
    lt_build_out(b, 1, &s->dbeta);
    return 0;
}

/* Totals are float64 vectors, whatever the numbers beside them. */
static bool beside_totals(const struct lt_graph *g, const struct lt_node *n)
{
    lt_id v = n->n_out > 1 && n->op->updates[0] == 0 && n->n_in == 1 ? n->out[0] : n->in[0];

    return g->values[v].type.dtype == LT_F32 || g->values[v].type.dtype == LT_F64;
}

const struct lt_builder lt_builders_norm[] = {
    {.op = "layer_norm", .build = layer_norm_build},
    {.op = "layer_norm_grad", .build = layer_norm_grad_build},
    {.op = "batch_norm", .build = batch_norm_build},
    {.op = "batch_norm_batch", .build = batch_norm_build},
    {.op = "batch_norm_eval", .build = batch_norm_eval_build},
    {.op = "batch_norm_grad", .build = batch_norm_grad_build},
    {.op = "batch_norm_sum", .build = batch_norm_sum_build, .fits = beside_totals},
    {.op = "batch_norm_apply", .build = batch_norm_apply_build, .fits = beside_totals},
    {.op = "batch_norm_running", .build = batch_norm_running_build, .fits = beside_totals},
    {.op = "batch_norm_grad_sum", .build = batch_norm_grad_sum_build, .fits = beside_totals},
    {.op = "batch_norm_sync_grad", .build = batch_norm_sync_grad_build, .fits = beside_totals},
    {.op = "batch_norm_params", .build = batch_norm_params_build, .fits = beside_totals},
    {0}};
