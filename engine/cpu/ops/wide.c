/* wide.c - pointwise operators and reductions over any types, element by element
 *
 * What isn't float32 in a training step is small: labels, counters, float64 scalars. Values are
 * computed as double, or as 64-bit integers where all operands are integers. Also here: the
 * gradient of maxima and minima, which few models use.
 */
#include "engine/cpu/ops/wide.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/error.h"

static bool is_int(enum lt_dtype t)
{
    return t == LT_I32 || t == LT_I64 || t == LT_U8 || t == LT_BOOL;
}

static int64_t get_int(const void *p, enum lt_dtype t, int64_t i)
{
    switch (t) {
    case LT_I32:
        return ((const int32_t *)p)[i];
    case LT_I64:
        return ((const int64_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

static void put_int(void *p, enum lt_dtype t, int64_t i, int64_t v)
{
    switch (t) {
    case LT_I32:
        ((int32_t *)p)[i] = (int32_t)v;
        break;
    case LT_I64:
        ((int64_t *)p)[i] = v;
        break;
    case LT_BOOL:
        ((uint8_t *)p)[i] = v != 0;
        break;
    default:
        ((uint8_t *)p)[i] = (uint8_t)v;
    }
}

/* ---- pointwise */

typedef double real_fn(double a, double b);
typedef int64_t int_fn(int64_t a, int64_t b);

static double f_add(double a, double b)
{
    return a + b;
}
static double f_sub(double a, double b)
{
    return a - b;
}
static double f_mul(double a, double b)
{
    return a * b;
}
static double f_div(double a, double b)
{
    return a / b;
}
static double f_neg(double a, double b)
{
    (void)b;
    return -a;
}
static double f_same(double a, double b)
{
    (void)b;
    return a;
}
static double f_relu(double a, double b)
{
    (void)b;
    return a < 0 ? 0 : a;
}
static double f_exp(double a, double b)
{
    (void)b;
    return exp(a);
}
static double f_log(double a, double b)
{
    (void)b;
    return log(a);
}
static double f_sqrt(double a, double b)
{
    (void)b;
    return sqrt(a);
}
static double f_tanh(double a, double b)
{
    (void)b;
    return tanh(a);
}
static double f_sigmoid(double a, double b)
{
    (void)b;
    return 1 / (1 + exp(-a));
}
static double f_relu_grad(double dy, double y)
{
    return y <= 0 ? 0 : dy;
}
static double f_tanh_grad(double dy, double y)
{
    return dy * (1 - y * y);
}
static double f_sigmoid_grad(double dy, double y)
{
    return dy * y * (1 - y);
}
static int64_t i_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t i_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t i_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static int64_t i_neg(int64_t a, int64_t b)
{
    (void)b;
    return (int64_t)(0 - (uint64_t)a);
}
static int64_t i_same(int64_t a, int64_t b)
{
    (void)b;
    return a;
}

static const struct pointwise {
    const char *op;
    int n_in;
    real_fn *real;
    int_fn *whole;
} pointwise[] = {
    {"add", 2, f_add, i_add},
    {"sub", 2, f_sub, i_sub},
    {"mul", 2, f_mul, i_mul},
    {"div", 2, f_div, NULL},
    {"neg", 1, f_neg, i_neg},
    {"cast", 1, f_same, i_same},
    {"expand", 1, f_same, i_same},
    {"relu", 1, f_relu, NULL},
    {"exp", 1, f_exp, NULL},
    {"log", 1, f_log, NULL},
    {"sqrt", 1, f_sqrt, NULL},
    {"tanh", 1, f_tanh, NULL},
    {"sigmoid", 1, f_sigmoid, NULL},
    {"relu_grad", 2, f_relu_grad, NULL},
    {"tanh_grad", 2, f_tanh_grad, NULL},
    {"sigmoid_grad", 2, f_sigmoid_grad, NULL},
};

struct wide {
    const struct pointwise *op;
    const void *in[2];
    void *out;
    enum lt_dtype in_t[2], out_t;
    int ndim;
    int64_t dims[LT_DIMS_MAX], stride[2][LT_DIMS_MAX]; /* 0 where broadcast */
    bool whole;
};

static void wide_fn(const void *args, int64_t begin, int64_t end)
{
    const struct wide *w = args;

    for (int64_t i = begin; i < end; i++) {
        int64_t at[2] = {0, 0}, rest = i;

        for (int d = w->ndim - 1; d >= 0; d--) {
            int64_t idx = rest % w->dims[d];

            rest /= w->dims[d];
            at[0] += idx * w->stride[0][d];
            at[1] += idx * w->stride[1][d];
        }
        if (w->whole)
            put_int(w->out, w->out_t, i,
                    w->op->whole(get_int(w->in[0], w->in_t[0], at[0]),
                                 get_int(w->in[1], w->in_t[1], at[1])));
        else
            lt_dtype_store(w->out_t, w->out, i,
                           w->op->real(lt_dtype_load(w->in_t[0], w->in[0], at[0]), lt_dtype_load(w->in_t[1], w->in[1], at[1])));
    }
}

static int wide_build(struct lt_build *b)
{
    struct wide *w = lt_build_args(b, sizeof *w);
    int64_t count = lt_build_count(b, b->n->out[0]);

    for (size_t i = 0; i < LT_ARRAY_LEN(pointwise); i++)
        if (!strcmp(pointwise[i].op, b->n->op->name))
            w->op = &pointwise[i];
    if (!w->op)
        return lt_error_set(b->err, -ENOTSUP, "not over these types");
    w->ndim = lt_build_dims(b, b->n->out[0], w->dims);
    w->out_t = lt_build_dtype(b, b->n->out[0]);
    w->whole = w->op->whole && is_int(w->out_t);
    for (int k = 0; k < 2; k++) {
        int from = w->op->n_in > k ? k : 0; /* a unary operator's second operand is its first */
        int64_t dims[LT_DIMS_MAX], own[LT_DIMS_MAX];
        int n = lt_build_dims(b, b->n->in[from], dims);

        lt_layout_strides(b->d, 0, n, dims, own);
        for (int i = 0; i < n; i++)
            w->stride[k][w->ndim - n + i] = dims[i] == 1 ? 0 : own[i];
        w->in_t[k] = lt_build_dtype(b, b->n->in[from]);
        w->whole = w->whole && is_int(w->in_t[k]);
        lt_build_in(b, from, &w->in[k]);
    }
    lt_build_out(b, 0, &w->out);
    lt_build_step(b, "wide", wide_fn, w, count, (double)count * 10);
    return 0;
}

/* ---- reductions: for each output element, a walk over what it comes from */

struct walk {
    const void *x;
    const float *dy, *y;
    void *out;
    enum lt_dtype in_t, out_t;
    int n_kept, n_gone;
    int64_t kept[LT_DIMS_MAX], kept_stride[LT_DIMS_MAX];
    int64_t gone[LT_DIMS_MAX], gone_stride[LT_DIMS_MAX], n;
    enum { WIDE_SUM, WIDE_MEAN, WIDE_MAX, WIDE_MIN } kind;
};

static int64_t offset_of(int64_t i, int n, const int64_t *dims, const int64_t *strides)
{
    int64_t at = 0;

    for (int d = n - 1; d >= 0; d--) {
        at += i % dims[d] * strides[d];
        i /= dims[d];
    }
    return at;
}

static void walk_set(struct lt_build *b, struct walk *w, lt_id x, unsigned gone)
{
    int64_t dims[LT_DIMS_MAX], own[LT_DIMS_MAX];
    int n = lt_build_dims(b, x, dims);

    lt_layout_strides(b->d, 0, n, dims, own);
    w->n = 1;
    for (int i = 0; i < n; i++)
        if (gone >> i & 1) {
            w->gone[w->n_gone] = dims[i];
            w->gone_stride[w->n_gone++] = own[i];
            w->n *= dims[i];
        } else {
            w->kept[w->n_kept] = dims[i];
            w->kept_stride[w->n_kept++] = own[i];
        }
    w->in_t = lt_build_dtype(b, x);
}

static void reduce_fn(const void *args, int64_t begin, int64_t end)
{
    const struct walk *w = args;

    for (int64_t i = begin; i < end; i++) {
        int64_t base = offset_of(i, w->n_kept, w->kept, w->kept_stride), whole = 0;
        double r = w->kind == WIDE_MAX ? -INFINITY : w->kind == WIDE_MIN ? INFINITY : 0;

        for (int64_t j = 0; j < w->n; j++) {
            int64_t at = base + offset_of(j, w->n_gone, w->gone, w->gone_stride);
            double v = lt_dtype_load(w->in_t, w->x, at);

            if (is_int(w->in_t))
                whole += get_int(w->x, w->in_t, at);
            if (w->kind == WIDE_MAX)
                r = v > r || isnan(v) ? v : r;
            else if (w->kind == WIDE_MIN)
                r = v < r || isnan(v) ? v : r;
            else
                r += v;
        }
        if (w->kind == WIDE_SUM && is_int(w->in_t) && is_int(w->out_t))
            put_int(w->out, w->out_t, i, whole);
        else
            lt_dtype_store(w->out_t, w->out, i, w->kind == WIDE_MEAN ? r / (double)w->n : r);
    }
}

int lt_wide_reduce_build(struct lt_build *b, unsigned gone)
{
    struct walk *w = lt_build_args(b, sizeof *w);
    const char *op = b->n->op->name;
    int64_t count = lt_build_count(b, b->n->out[0]);

    walk_set(b, w, b->n->in[0], gone);
    w->out_t = lt_build_dtype(b, b->n->out[0]);
    w->kind = !strcmp(op, "reduce_mean")  ? WIDE_MEAN
              : !strcmp(op, "reduce_max") ? WIDE_MAX
              : !strcmp(op, "reduce_min") ? WIDE_MIN
                                          : WIDE_SUM;
    lt_build_in(b, 0, &w->x);
    lt_build_out(b, 0, &w->out);
    lt_build_step(b, "wide_reduce", reduce_fn, w, count, (double)(count * w->n) * 5);
    return 0;
}

/* dx = dy / how many equal y, at those */
static void max_grad_fn(const void *args, int64_t begin, int64_t end)
{
    const struct walk *w = args;
    const float *x = w->x;
    float *dx = w->out;

    for (int64_t i = begin; i < end; i++) {
        int64_t base = offset_of(i, w->n_kept, w->kept, w->kept_stride), equal = 0;

        for (int64_t j = 0; j < w->n; j++)
            equal += x[base + offset_of(j, w->n_gone, w->gone, w->gone_stride)] == w->y[i];
        for (int64_t j = 0; j < w->n; j++) {
            int64_t at = base + offset_of(j, w->n_gone, w->gone, w->gone_stride);

            dx[at] = x[at] == w->y[i] ? w->dy[i] / (float)equal : 0;
        }
    }
}

/* dy, x, y */
static int max_grad_build(struct lt_build *b)
{
    struct walk *w = lt_build_args(b, sizeof *w);
    int count, ndim = b->g->values[b->n->in[1]].type.ndim;
    const int64_t *axes = lt_node_ints(b->n, "axes", &count);
    int64_t n = lt_build_count(b, b->n->in[2]);
    unsigned gone = 0;

    for (int i = 0; i < count; i++)
        gone |= 1u << (axes[i] < 0 ? axes[i] + ndim : axes[i]);
    walk_set(b, w, b->n->in[1], count ? gone : (1u << ndim) - 1);
    lt_build_in(b, 0, &w->dy);
    lt_build_in(b, 1, &w->x);
    lt_build_in(b, 2, &w->y);
    lt_build_out(b, 0, &w->out);
    lt_build_step(b, "max_grad", max_grad_fn, w, n, (double)(n * w->n) * 5);
    return 0;
}

const struct lt_builder lt_builders_wide[] = {{.op = "add", .build = wide_build, .any_type = true},
                                              {.op = "sub", .build = wide_build, .any_type = true},
                                              {.op = "mul", .build = wide_build, .any_type = true},
                                              {.op = "div", .build = wide_build, .any_type = true},
                                              {.op = "neg", .build = wide_build, .any_type = true},
                                              {.op = "cast", .build = wide_build, .any_type = true},
                                              {.op = "expand", .build = wide_build, .any_type = true},
                                              {.op = "relu", .build = wide_build, .any_type = true},
                                              {.op = "exp", .build = wide_build, .any_type = true},
                                              {.op = "log", .build = wide_build, .any_type = true},
                                              {.op = "sqrt", .build = wide_build, .any_type = true},
                                              {.op = "tanh", .build = wide_build, .any_type = true},
                                              {.op = "sigmoid", .build = wide_build, .any_type = true},
                                              {.op = "relu_grad", .build = wide_build, .any_type = true},
                                              {.op = "tanh_grad", .build = wide_build, .any_type = true},
                                              {.op = "sigmoid_grad", .build = wide_build, .any_type = true},
                                              {.op = "reduce_max_grad", .build = max_grad_build},
                                              {0}};
