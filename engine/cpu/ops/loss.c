/* loss.c - cross-entropy, mean squared error, accuracy: pieces of samples, then the pieces' sums */
#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "engine/cpu/program.h"

#define PIECE 32

static struct lt_int_array ints_of(const struct lt_build *b, lt_id v)
{
    enum lt_dtype t = lt_build_dtype(b, v);

    return (struct lt_int_array){.load = t == LT_I64   ? LT_LOAD_I64
                                         : t == LT_I32 ? LT_LOAD_I32
                                                       : LT_LOAD_U8};
}

/* Two lists of partial sums, each summed in order into a scalar. */
struct two_sums {
    const double *a, *b;
    double *out_a, *out_b;
    int64_t n;
};

static void two_sums(const void *args, int64_t begin, int64_t end)
{
    const struct two_sums *s = args;
    double a = 0, b = 0;

    (void)begin;
    (void)end;
    for (int64_t i = 0; i < s->n; i++) {
        a += s->a[i];
        b += s->b[i];
    }
    *s->out_a = a;
    *s->out_b = b;
}

/* Where a kernel puts its partial sums: the outputs themselves when there is one piece. */
static void sums_bind(struct lt_build *b, int64_t pieces, double **first, double **second)
{
    if (pieces == 1) {
        lt_build_out(b, 0, first);
        lt_build_out(b, 1, second);
        return;
    }
    lt_build_at_scratch(b, lt_build_scratch(b, (size_t)pieces * sizeof(double)), first);
    lt_build_at_scratch(b, lt_build_scratch(b, (size_t)pieces * sizeof(double)), second);
}

static void sums_finish(struct lt_build *b, int64_t pieces)
{
    struct two_sums *s;
    size_t bytes = ((size_t)pieces * sizeof(double) + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN;

    if (pieces == 1)
        return;
    s = lt_build_args(b, sizeof *s);
    s->n = pieces;
    lt_build_at_scratch(b, 0, &s->a); /* the first two pieces of scratch that this node took */
    lt_build_at_scratch(b, bytes, &s->b);
    lt_build_out(b, 0, &s->out_a);
    lt_build_out(b, 1, &s->out_b);
    lt_build_step(b, "two_sums", two_sums, s, 1, 0);
}

static int label_check(const void *args, struct lt_error *err)
{
    const struct lt_cross_entropy *a = args;
    int64_t i = *a->bad;

    if (i < 0)
        return 0;
    *a->bad = -1;
    return lt_error_set(err, -EDOM, "sample %lld of the batch has a label outside 0 … %lld",
                        (long long)i, (long long)a->c - 1);
}

/* x: which input the logits are; the others follow. dloss: input or -1. dx: output or -1. */
static int cross_entropy_build(struct lt_build *b, int x, int dloss, int dx, bool sums)
{
    struct lt_cross_entropy *a = lt_build_args(b, sizeof *a);
    const struct lt_node *n = b->n;
    int class_weight = x + 3, end = dloss > x ? dloss : n->n_in;
    int64_t d[LT_DIMS_MAX], pieces;

    lt_build_dims(b, n->in[x], d);
    a->n = d[0];
    a->c = d[1];
    a->chunk = PIECE;
    a->ignore_index = lt_node_int(n, "ignore_index");
    a->smoothing = lt_node_float(n, "label_smoothing");
    a->bad = lt_build_args(b, sizeof *a->bad);
    *a->bad = -1;
    a->target = ints_of(b, n->in[x + 1]);
    lt_build_in(b, x, &a->x);
    lt_build_in(b, x + 1, &a->target.data);
    lt_build_in(b, x + 2, &a->weight);
    if (class_weight < end)
        lt_build_in(b, class_weight, &a->class_weight);
    if (dloss >= 0) {
        lt_build_in(b, dloss, &a->dloss);
        lt_build_out(b, dx, &a->dx);
    }
    pieces = LT_MAX(lt_pieces(a->n, a->chunk), 1);
    if (sums)
        sums_bind(b, pieces, &a->loss, &a->weight_sum);
    lt_build_kernel(b, LT_KERN_cross_entropy, a, pieces, (double)(a->n * a->c) + 30 * (double)a->n);
    lt_build_check(b, label_check);
    if (sums)
        sums_finish(b, pieces);
    return 0;
}

static int forward_build(struct lt_build *b)
{
    return cross_entropy_build(b, 0, -1, -1, true);
}

static int grad_build(struct lt_build *b)
{
    return cross_entropy_build(b, 1, 0, 0, false);
}

static int both_build(struct lt_build *b)
{
    return cross_entropy_build(b, 0, b->n->n_in - 1, 2, true);
}

static struct lt_mse *mse_args(struct lt_build *b, int x)
{
    struct lt_mse *a = lt_build_args(b, sizeof *a);
    int64_t d[LT_DIMS_MAX];

    lt_build_dims(b, b->n->in[x], d);
    a->n = d[0];
    a->c = lt_build_count(b, b->n->in[x]) / LT_MAX(a->n, 1);
    a->chunk = PIECE;
    lt_build_in(b, x, &a->x);
    lt_build_in(b, x + 1, &a->target);
    lt_build_in(b, x + 2, &a->weight);
    return a;
}

static int mse_build(struct lt_build *b)
{
    struct lt_mse *a = mse_args(b, 0);
    int64_t pieces = LT_MAX(lt_pieces(a->n, a->chunk), 1);

    sums_bind(b, pieces, &a->loss, &a->weight_sum);
    lt_build_kernel(b, LT_KERN_mse, a, pieces, (double)(a->n * a->c) * 0.2);
    sums_finish(b, pieces);
    return 0;
}

static int mse_grad_build(struct lt_build *b)
{
    struct lt_mse *a = mse_args(b, 1);

    lt_build_in(b, 0, &a->dloss);
    lt_build_out(b, 0, &a->dx);
    lt_build_kernel(b, LT_KERN_mse_grad, a, lt_pieces(a->n, a->chunk), (double)(a->n * a->c) * 0.2);
    return 0;
}

static int accuracy_build(struct lt_build *b)
{
    struct lt_accuracy *a = lt_build_args(b, sizeof *a);
    int64_t d[LT_DIMS_MAX], pieces;

    lt_build_dims(b, b->n->in[0], d);
    a->n = d[0];
    a->c = d[1];
    a->chunk = PIECE;
    a->target = ints_of(b, b->n->in[1]);
    lt_build_in(b, 0, &a->x);
    lt_build_in(b, 1, &a->target.data);
    lt_build_in(b, 2, &a->weight);
    pieces = LT_MAX(lt_pieces(a->n, a->chunk), 1);
    sums_bind(b, pieces, &a->hits, &a->seen);
    lt_build_kernel(b, LT_KERN_accuracy, a, pieces, (double)(a->n * a->c) * 0.5);
    sums_finish(b, pieces);
    return 0;
}

const struct lt_builder lt_builders_loss[] = {{.op = "cross_entropy", .build = forward_build},
                                              {.op = "cross_entropy_grad", .build = grad_build},
                                              {.op = "cpu_cross_entropy", .build = both_build},
                                              {.op = "mse", .build = mse_build},
                                              {.op = "mse_grad", .build = mse_grad_build},
                                              {.op = "accuracy", .build = accuracy_build},
                                              {0}};
