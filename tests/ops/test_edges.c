/* test_edges.c - NaN, infinities, ties, labels out of range, samples of weight 0, nothing at all;
 * and refusals word by word */
#include "tests/ops/kit.h"

#include <errno.h>
#include <math.h>

#include "engine/graph/pass.h"
#include "engine/ops/util.h"

#define INF ((double)INFINITY)
#define NOT ((double)NAN)
#define CELLS 64

/* One run of one operator on numbers: in[i] has the elements of input i. */
struct cell {
    int rc;
    struct lt_error err;
    double out[LT_NODE_OUT_MAX][CELLS];
};

static void fill_from(const struct lt_operand *o, const double *v)
{
    for (int64_t e = 0; e < o->count; e++)
        lt_set(o, e, v[e]);
}

static struct cell apply(const char *op, const char *types, const char *attrs,
                         const double *const *in)
{
    struct lt_binding b = kit_binding(3);
    struct kit_spec spec[KIT_IN_MAX];
    struct kit_attrs a;
    struct kit_memory m;
    struct cell c = {0};
    lt_id ids[KIT_IN_MAX];
    int n = kit_types(types, spec), node;
    struct lt_graph *g = kit_graph();

    kit_attrs_read(attrs, lt_op_find(op), &a);
    kit_inputs(g, lt_op_find(op), spec, n, false, ids);
    c.rc = node = lt_graph_add(g, lt_op_find(op), "node", ids, n, a.attr, a.n, &c.err);
    if (node >= 0) {
        kit_memory_init(&m, g, &b, 0xff);
        for (int i = 0; i < n; i++)
            fill_from(&m.value[ids[i]], in[i]);
        c.rc = kit_run(&m, &c.err);
        for (int o = 0; o < g->nodes[node].n_out; o++)
            for (int64_t e = 0; e < m.value[g->nodes[node].out[o]].count; e++)
                c.out[o][e] = lt_get(&m.value[g->nodes[node].out[o]], e);
        kit_memory_done(&m);
    }
    lt_graph_free(g);
    return c;
}

static void assert_numbers(const double *is, const double *should, int n)
{
    for (int i = 0; i < n; i++)
        if (!(is[i] == should[i] || (isnan(is[i]) && isnan(should[i])) ||
              fabs(is[i] - should[i]) < 1e-6))
            fail_msg("element %d is %g, not %g", i, is[i], should[i]);
}
#define LIST(...) ((const double[]){__VA_ARGS__})
#define RUN(op, types, attrs, ...) apply(op, types, attrs, (const double *const[]){__VA_ARGS__})
#define ASSERT_OUT(c, o, ...)                                                                      \
    assert_numbers((c).out[o], LIST(__VA_ARGS__), (int)(sizeof LIST(__VA_ARGS__) / sizeof(double)))

static void nan_goes_through_pointwise(void **state)
{
    (void)state;
    ASSERT_OUT(RUN("relu", "[4]", NULL, LIST(NOT, -INF, INF, -0.0)), 0, NOT, 0, INF, 0);
    ASSERT_OUT(RUN("relu_grad", "[3] [3]", NULL, LIST(1, 2, 3), LIST(NOT, 0, 1)), 0, 1, 0, 3);
    ASSERT_OUT(RUN("sigmoid", "[3]", NULL, LIST(NOT, -INF, INF)), 0, NOT, 0, 1);
    ASSERT_OUT(RUN("tanh", "[3]", NULL, LIST(NOT, -INF, INF)), 0, NOT, -1, 1);
    ASSERT_OUT(RUN("gelu", "[2]", NULL, LIST(NOT, INF)), 0, NOT, INF);
    ASSERT_OUT(RUN("log", "[3]", NULL, LIST(-1, 0, INF)), 0, NOT, -INF, INF);
    ASSERT_OUT(RUN("sqrt", "[3]", NULL, LIST(-1, 0, 4)), 0, NOT, 0, 2);
    ASSERT_OUT(RUN("div", "[3] [3]", NULL, LIST(0, 1, -1), LIST(0, 0, 0)), 0, NOT, INF, -INF);
}

static void the_greatest_of_equals_and_of_nan(void **state)
{
    struct cell c;

    (void)state;
    ASSERT_OUT(RUN("reduce_max", "[2,3]", "axes=1", LIST(1, NOT, 3, 4, 5, -1)), 0, NOT, 5);
    ASSERT_OUT(RUN("reduce_min", "[2,3]", "axes=1", LIST(1, NOT, 3, 4, 5, -1)), 0, NOT, -1);
    ASSERT_OUT(
        RUN("argmax", "[4,3]", NULL, LIST(1, 3, 3, 5, NOT, 7, -INF, -INF, -INF, NOT, NOT, 1)), 0, 1,
        1, 0, 0);
    ASSERT_OUT(RUN("reduce_max_grad", "[2] [2,3] [2]", "axes=1", LIST(6, 2), LIST(1, 3, 3, 5, 4, 4),
                   LIST(3, 5)),
               0, 0, 3, 3, 2, 0, 0);
    c = RUN("max_pool2d", "[1,1,2,6]", "kernel=2",
            LIST(1, 1, 2, NOT, -INF, -INF, 1, 0, 9, NOT, -INF, -INF));
    ASSERT_OUT(c, 0, 1, NOT, -INF);
    ASSERT_OUT(c, 1, 0, 3, 4);
    ASSERT_OUT(RUN("max_pool2d_grad", "[1,1,1,3] i32[1,1,1,3] [1,1,2,2]", NULL, LIST(1, 2, 4),
                   LIST(3, 0, 3), LIST(0, 0, 0, 0)),
               0, 2, 0, 0, 5);
    c = RUN("max_pool2d_grad", "[1,1,1,1] i32[1,1,1,1] [1,1,2,2]", NULL, LIST(1), LIST(4),
            LIST(0, 0, 0, 0));
    assert_int_equal(c.rc, -EDOM);
}

static void softmax_does_not_overflow(void **state)
{
    (void)state;
    ASSERT_OUT(RUN("softmax", "[2,2]", NULL, LIST(1e30, 1e30, -INF, 5)), 0, 0.5, 0.5, 0, 1);
    ASSERT_OUT(RUN("softmax", "[2]", NULL, LIST(-INF, -INF)), 0, NOT, NOT);
    ASSERT_OUT(RUN("softmax", "[3]", NULL, LIST(1, NOT, 2)), 0, NOT, NOT, NOT);
    ASSERT_OUT(RUN("log_softmax", "[2,2]", NULL, LIST(1000, 0, -INF, 5)), 0, 0, -1000, -INF, 0);
}

static void nothing_reduces_to_the_neutral_element(void **state)
{
    (void)state;
    ASSERT_OUT(RUN("reduce_sum", "[0,2]", "axes=0", NULL), 0, 0, 0);
    ASSERT_OUT(RUN("reduce_mean", "[0,2]", "axes=0", NULL), 0, NOT, NOT);
    ASSERT_OUT(RUN("reduce_max", "[0,2]", "axes=0", NULL), 0, -INF, -INF);
    ASSERT_OUT(RUN("sum_to", "[0,2] [2]", NULL, NULL, LIST(7, 7)), 0, 0, 0);
    ASSERT_OUT(RUN("matmul", "[2,0] [0,2]", NULL, NULL, NULL), 0, 0, 0, 0, 0);
    ASSERT_OUT(RUN("linear", "[2,0] [2,0] [2]", NULL, NULL, NULL, LIST(3, 4)), 0, 3, 4, 3, 4);
    ASSERT_OUT(RUN("cross_entropy", "[0,3] i64[0] [0]", NULL, NULL, NULL, NULL), 0, 0);
    ASSERT_OUT(RUN("conv2d_dw", "[0,1,1,1] [0,1,1,2] [1,1,1,2]", NULL, NULL, NULL, LIST(0, 0)), 0,
               0, 0);
}

#define LOGITS LIST(1, 2, 3, 3, 2, 1)

static void a_label_out_of_range_is_an_error(void **state)
{
    struct cell c = RUN("cross_entropy", "[2,3] i64[2] [2]", NULL, LOGITS, LIST(0, 3), LIST(1, 1));

    (void)state;
    assert_int_equal(c.rc, -EDOM);
    assert_non_null(strstr(c.err.text, "label 3 of sample 1"));
    c = RUN("cross_entropy", "[2,3] i32[2] [2]", NULL, LOGITS, LIST(-1, 0), LIST(1, 1));
    assert_int_equal(c.rc, -EDOM);
    assert_non_null(strstr(c.err.text, "label -1 of sample 0"));
    c = RUN("cross_entropy_grad", "f64[] [2,3] i64[2] [2]", NULL, LIST(1), LOGITS, LIST(0, 3),
            LIST(1, 1));
    assert_int_equal(c.rc, -EDOM);
    c = RUN("cross_entropy", "[2,3] i64[2] [2]", "ignore_index=-1", LOGITS, LIST(-1, 0),
            LIST(1, 1));
    assert_int_equal(c.rc, 0);
    ASSERT_OUT(c, 1, 1);
}

/* A sample of weight 0 isn't there, whatever it holds. */
static void samples_of_weight_zero_do_not_count(void **state)
{
    struct cell c = RUN("cross_entropy", "[2,3] i64[2] [2]", NULL, LIST(NOT, INF, 3, 0, 0, 0),
                        LIST(99, 2), LIST(0, 1));

    (void)state;
    assert_int_equal(c.rc, 0);
    ASSERT_OUT(c, 0, 1.0986123);
    ASSERT_OUT(c, 1, 1);
    c = RUN("cross_entropy_grad", "f64[] [2,3] i64[2] [2]", NULL, LIST(3),
            LIST(NOT, INF, 3, 0, 0, 0), LIST(99, 2), LIST(0, 1));
    ASSERT_OUT(c, 0, 0, 0, 0, 1, 1, -2);
    c = RUN("mse", "[2,2] [2,2] [2]", NULL, LIST(NOT, 1, 2, 3), LIST(0, 0, 0, 0), LIST(0, 2));
    ASSERT_OUT(c, 0, 13);
    ASSERT_OUT(c, 1, 2);
    c = RUN("mse_grad", "f64[] [2,2] [2,2] [2]", NULL, LIST(1), LIST(NOT, 1, 2, 3),
            LIST(0, 0, 0, 0), LIST(0, 2));
    ASSERT_OUT(c, 0, 0, 0, 4, 6);
    c = RUN("accuracy", "[3,2] i64[3] [3]", NULL, LIST(1, 2, 2, 1, 5, 5), LIST(1, 1, 0),
            LIST(0.5, 0, 2));
    ASSERT_OUT(c, 0, 2.5);
    ASSERT_OUT(c, 1, 2.5);
    c = RUN("batch_norm", "[3,1] [1] [1] [3]", "eps=0 momentum=0.5", LIST(1, 100, 3), LIST(0),
            LIST(1), LIST(1, 0, 2));
    ASSERT_OUT(c, 0, -1, 98, 1);
    ASSERT_OUT(c, 3, 1);
    ASSERT_OUT(c, 4, 1.5);
}

static void other_classes_may_be_impossible(void **state)
{
    struct cell c =
        RUN("cross_entropy", "[1,3] i64[1] [1]", NULL, LIST(0, -INF, 0), LIST(2), LIST(1));

    (void)state;
    ASSERT_OUT(c, 0, 0.6931472);
    c = RUN("cross_entropy_grad", "f64[] [1,3] i64[1] [1]", NULL, LIST(1), LIST(0, -INF, 0),
            LIST(2), LIST(1));
    ASSERT_OUT(c, 0, 0.5, 0, -0.5);
}

static void batch_norm_of_one_or_no_sample(void **state)
{
    struct cell c = RUN("batch_norm", "[2,1] [1] [1] [2]", "momentum=0.5", LIST(4, 9), LIST(2),
                        LIST(3), LIST(1, 0));

    (void)state;
    ASSERT_OUT(c, 3, 3);
    ASSERT_OUT(c, 4, 3);
    c = RUN("batch_norm", "[2,1] [1] [1] [2]", "momentum=0.5", LIST(4, 9), LIST(2), LIST(3),
            LIST(0, 0));
    ASSERT_OUT(c, 3, 2);
    ASSERT_OUT(c, 4, 3);
}

static void scale_of_the_gradients(void **state)
{
    struct cell c =
        RUN("grad_scale", "f64[] f64[] f64[]", "clip_norm=1", LIST(5), LIST(4), LIST(64));

    (void)state;
    ASSERT_OUT(c, 0, 0.125);
    ASSERT_OUT(c, 1, 2);
    ASSERT_OUT(c, 2, 0);
    c = RUN("grad_scale", "f64[] f64[] f64[]", "clip_norm=3", LIST(5), LIST(4), LIST(64));
    ASSERT_OUT(c, 0, 0.25);
    c = RUN("grad_scale", "f64[] f64[]", NULL, LIST(5), LIST(0));
    ASSERT_OUT(c, 0, 0);
    ASSERT_OUT(c, 2, 0);
    c = RUN("grad_scale", "f64[] f64[]", NULL, LIST(NOT), LIST(4));
    ASSERT_OUT(c, 0, NOT);
    ASSERT_OUT(c, 2, 1);
    c = RUN("grad_scale", "f64[] f64[] f64[]", "clip_norm=1", LIST(5), LIST(4), LIST(INF));
    ASSERT_OUT(c, 0, NOT);
    ASSERT_OUT(c, 2, 1);
}

/* Updates are refused as a whole: a scale of NaN changes nothing, not even states. */
static void a_scale_of_nan_changes_nothing(void **state)
{
    struct cell c =
        RUN("sgd", "[2] [2] f64[] f64[]", NULL, LIST(1, 2), LIST(3, 4), LIST(0.1), LIST(NOT));

    (void)state;
    ASSERT_OUT(c, 0, 1, 2);
    c = RUN("sgd_momentum", "[2] [2] [2] f64[] i64[] f64[]", "momentum=0.9", LIST(1, 2), LIST(3, 4),
            LIST(5, 6), LIST(0.1), LIST(2), LIST(NOT));
    ASSERT_OUT(c, 0, 1, 2);
    ASSERT_OUT(c, 1, 5, 6);
    c = RUN("adam", "[1] [1] [1] [1] f64[] i64[] f64[]", "weight_decay=1 decoupled=1", LIST(1),
            LIST(3), LIST(5), LIST(7), LIST(0.1), LIST(2), LIST(NOT));
    ASSERT_OUT(c, 0, 1);
    ASSERT_OUT(c, 1, 5);
    ASSERT_OUT(c, 2, 7);
    c = RUN("adam_amsgrad", "[1] [1] [1] [1] [1] f64[] i64[] f64[]", NULL, LIST(1), LIST(3),
            LIST(5), LIST(7), LIST(8), LIST(0.1), LIST(2), LIST(NOT));
    ASSERT_OUT(c, 0, 1);
    ASSERT_OUT(c, 3, 8);
}

static void clipping_keeps_nan(void **state)
{
    (void)state;
    ASSERT_OUT(RUN("sgd", "[4] [4] f64[] f64[]", "clip_value=1", LIST(0, 0, 0, 0),
                   LIST(NOT, INF, -8, 1), LIST(1), LIST(0.5)),
               0, NOT, -1, 1, -0.5);
}

/* What is dropped of a sample depends on its index, the step, the seed and the node's name, not on
 * where in which batch it is. */
static void dropout_goes_with_the_sample(void **state)
{
    double ones[12];
    struct cell a, b;
    int kept = 0;

    (void)state;
    for (int i = 0; i < 12; i++)
        ones[i] = 1;
    a = RUN("dropout", "[3,4] i64[] i64[3]", "p=0.5 seed=3", ones, LIST(7), LIST(10, 11, 12));
    b = RUN("dropout", "[2,4] i64[] i64[2]", "p=0.5 seed=3", ones, LIST(7), LIST(12, 10));
    assert_numbers(b.out[0], a.out[0] + 8, 4);
    assert_numbers(b.out[0] + 4, a.out[0], 4);
    b = RUN("dropout", "[3,4] i64[] i64[3]", "p=0.5 seed=3", ones, LIST(8), LIST(10, 11, 12));
    assert_true(memcmp(a.out[1], b.out[1], 12 * sizeof(double)) != 0);
    for (int i = 0; i < 12; i++) {
        assert_true(a.out[0][i] == (a.out[1][i] != 0 ? 2 : 0));
        kept += a.out[1][i] != 0;
    }
    assert_in_range(kept, 2, 10);
}

static void casts_round_to_nearest_even(void **state)
{
    struct cell c = RUN("cast", "[8]", "dtype=float16",
                        LIST(1 + 1.0 / 2048, 1 + 3.0 / 2048, 65504, 65519, 65520, ldexp(1, -24),
                             ldexp(1, -25), -ldexp(1.5, -15)));

    (void)state;
    ASSERT_OUT(c, 0, 1, 1 + 2.0 / 1024, 65504, 65504, INF, ldexp(1, -24), 0, -ldexp(1.5, -15));
    assert_true(c.out[0][5] == ldexp(1, -24) && c.out[0][6] == 0 &&
                c.out[0][7] == -ldexp(1.5, -15));
    c = RUN("cast", "[5]", "dtype=bfloat16", LIST(1 + 1.0 / 256, 1 + 3.0 / 256, NOT, INF, -3));
    ASSERT_OUT(c, 0, 1, 1 + 4.0 / 256, NOT, INF, -3);
    ASSERT_OUT(RUN("cast", "[4]", "dtype=bool", LIST(0, 0.25, -3, 256)), 0, 0, 1, 1, 1);
    ASSERT_OUT(RUN("cast", "[3]", "dtype=int32", LIST(1.9, -1.9, 7)), 0, 1, -1, 7);
}

static void every_float16_survives(void **state)
{
    uint16_t half[256];
    double as_double[256];
    struct lt_operand h = {.data = half, .dtype = LT_F16, .ndim = 1, .dim = {256}, .count = 256};

    (void)state;
    for (unsigned high = 0; high < 256; high++) {
        for (unsigned low = 0; low < 256; low++) {
            half[low] = (uint16_t)(high << 8 | low);
            as_double[low] = lt_get(&h, low);
        }
        for (unsigned low = 0; low < 256; low++) {
            lt_set(&h, low, as_double[low]);
            if (!isnan(as_double[low]))
                assert_int_equal(half[low], high << 8 | low);
        }
    }
}

/* Pools along the edge: torch's sizes, also where the window is larger than what is left. */
static void pools_at_the_edge(void **state)
{
    struct cell c =
        RUN("max_pool2d", "[1,1,1,5]", "kernel=1,2 stride=1,2 ceil_mode=1", LIST(1, 2, 3, 4, 5));

    (void)state;
    ASSERT_OUT(c, 0, 2, 4, 5);
    c = RUN("avg_pool2d", "[1,1,1,2]", "kernel=1,3 stride=1,2 ceil_mode=1", LIST(4, 8));
    assert_int_equal(c.rc, 0);
    ASSERT_OUT(c, 0, 6);
    c = RUN("avg_pool2d", "[1,1,1,2]", "kernel=1,2 stride=1,2 padding=0,1", LIST(4, 8));
    ASSERT_OUT(c, 0, 2, 4);
    c = RUN("avg_pool2d", "[1,1,1,2]", "kernel=1,2 stride=1,2 padding=0,1 count_include_pad=0",
            LIST(4, 8));
    ASSERT_OUT(c, 0, 4, 8);
    c = RUN("max_pool2d", "[1,1,1,1]", "kernel=2 dilation=2 padding=1", LIST(3));
    assert_int_equal(c.rc, -EINVAL); /* no tap of the window lies on the one element */
}

static void refusals_say_what_is_wrong(void **state)
{
    static const struct {
        const char *op, *in, *attrs, *text;
    } rows[] = {
        {"add", "[2,3] [2,4]", NULL,
         "node: add: shapes float32[2, 3] and float32[2, 4] do not broadcast"},
        {"add", "[2] f64[2]", NULL, "operands are float32 and float64"},
        {"relu_grad", "[n,3] [n,4]", NULL,
         "the second input must be float32[n, 3], not float32[n, 4]"},
        {"gelu", "[2]", "approximate=fast", "approximate can't be 'fast'; inputs: float32[2]"},
        {"cast", "[2]", "dtype=int7", "unknown dtype 'int7'"},
        {"reshape", "[2,3]", "shape=-1,-1", "more than one -1"},
        {"reshape", "[2,3]", "shape=4,2", "different numbers of elements; inputs: float32[2, 3]"},
        {"reshape", "[2,3]", "shape=-2", "shape[0] is -2"},
        {"reshape", "[2,3]", "shape=4,-1", "different numbers"},
        {"reshape", "[0,3]", "shape=0,-1,7,0", "shape[3] is 0"},
        {"reshape", "[n,3]", "shape=3037000500,3037000500,3", "too many elements"},
        {"reshape", "[n,t]", "shape=-1", "more than one symbolic dimension"},
        {"transpose", "[2,3]", "perm=0,0", "no permutation"},
        {"transpose", "[2,3]", "perm=0", "perm has 1 entries for 2 dimensions"},
        {"sum_to", "[2,3] [2]", NULL, "do not broadcast"},
        {"sum_to", "[3] [2,3]", NULL, "the shape to sum to does not broadcast"},
        {"expand", "[2,3] [3]", NULL, "the shape to expand to is smaller"},
        {"reduce_sum", "[2,3]", "axes=2", "axis 2 is outside a tensor of 2 dimensions"},
        {"reduce_sum", "[2,3]", "axes=1,-1", "axis 1 is named twice"},
        {"softmax", "[]", NULL, "axis -1 is outside"},
        {"matmul", "[2,3] [4,5]", NULL, "float32[2, 3] and float32[4, 5] can't be multiplied"},
        {"matmul", "[n,3,4] [2,4,5]", NULL, "can't be multiplied"},
        {"linear", "[n,3] [4,5]", NULL, "input float32[n, 3] does not fit weight float32[4, 5]"},
        {"linear", "[n,5] [4,5] [5]", NULL, "the bias does not fit weight float32[4, 5]"},
        {"linear", "[n,5] [4,5] [4]", "act=swish", "act can't be 'swish'"},
        {"conv2d", "[n,3,5,5] [2,2,3,3]", NULL,
         "the weight is for 2 input channels, the input has 3"},
        {"conv2d", "[n,3,5,5] [2,3,3,3]", "groups=2",
         "groups = 2 does not divide 3 input and 2 output channels"},
        {"conv2d", "[n,3,2,5] [2,3,3,3]", NULL, "a 3x3 kernel does not fit into 2x5"},
        {"conv2d", "[n,3,5,5] [2,3,3,3]", "stride=0", "stride is 0; at least 1"},
        {"conv2d", "[n,3,5,5] [2,3,3,3]", "padding=1,2,3", "padding has 3 values"},
        {"conv2d", "[n,5] [2,3,3,3]", NULL, "expected [n, c, h, w], got float32[n, 5]"},
        {"conv2d_dx", "[n,2,3,4] [2,3,3,3] [n,3,5,5]", NULL,
         "dy must be float32[n, 2, 3, 3], not float32[n, 2, 3, 4]"},
        {"max_pool2d", "[n,3,5,5]", "kernel=2 padding=2",
         "padding 2 is more than half of kernel 2"},
        {"max_pool2d", "[n,3,5,5]", "kernel=6", "a 6x6 window does not fit into 5x5"},
        {"max_pool2d", "[n,3,5,5]", NULL, "attribute `kernel` is missing"},
        {"batch_norm", "[n,3] [4] [3] [n]", NULL,
         "input 1 must have one element for each of the 3 channels of float32[n, 3]"},
        {"batch_norm", "[n,3] [3] [3] [3]", NULL,
         "weight must be one number for each sample, not float32[3]"},
        {"layer_norm", "[n,3]", "ndim=3", "3 normalised dimensions of a tensor of 2"},
        {"layer_norm", "[n,3] [4]", NULL,
         "input 1 must have dtype and shape of the last 1 dimensions"},
        {"dropout", "[n,3] i64[] i64[n]", "p=1.5", "p is 1.5; 0 <= p <= 1"},
        {"dropout", "[n,3] i64[] i64[3]", NULL,
         "sample_index must have one element for each sample"},
        {"cross_entropy", "[n] i64[n] [n]", NULL, "expected logits [n, classes], got float32[n]"},
        {"cross_entropy", "[n,3] [n] [n]", NULL, "the target must hold class numbers, not float32"},
        {"cross_entropy", "[n,3] i64[3] [n]", NULL,
         "the target must have one element for each sample, got int64[3]"},
        {"cross_entropy", "[n,3] i64[n] [n] [4]", NULL,
         "class weights must have one element for each of the 3 classes"},
        {"mse", "[n,3] [n] [n]", NULL,
         "input float32[n, 3] and target float32[n] must be of one type"},
        {"sgd", "[3] [4] f64[] f64[]", NULL, "input 1 must be of the parameter's type"},
        {"sgd", "[3] [3] f64[1] f64[]", NULL, "lr must be float64[], not float64[1]"},
        {"grad_scale", "f64[] f64[2]", NULL, "window_weight must be float64[], not float64[2]"},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        static const double none[CELLS];
        struct cell c = RUN(rows[i].op, rows[i].in, rows[i].attrs, none, none, none, none, none);

        if (c.rc != -EINVAL || !strstr(c.err.text, rows[i].text))
            fail_msg("%s %s {%s}: %d '%s', not '%s'", rows[i].op, rows[i].in, rows[i].attrs, c.rc,
                     c.err.text, rows[i].text);
    }
}

/* Autodiff of the sum of one output. */
static int differentiate(const char *op, const char *types, const char *attrs, int output,
                         int *n_grads, struct lt_error *err)
{
    struct lt_graph *g = kit_graph();
    struct kit_spec spec[KIT_IN_MAX];
    struct kit_attrs a;
    lt_id ids[KIT_IN_MAX], y;
    int n = kit_types(types, spec), node, rc;

    kit_attrs_read(attrs, lt_op_find(op), &a);
    kit_inputs(g, lt_op_find(op), spec, n, true, ids);
    node = lt_graph_add(g, lt_op_find(op), "node", ids, n, a.attr, a.n, err);
    assert_true(node >= 0);
    y = g->nodes[node].out[output];
    if (g->values[y].type.ndim)
        y = g->nodes[lt_graph_add(g, lt_op_find("reduce_sum"), "sum", &y, 1, NULL, 0, err)].out[0];
    g->loss = y;
    rc = lt_pass_autodiff(g, NULL, err);
    *n_grads = g->n_grads;
    lt_graph_free(g);
    return rc;
}

static void statistics_have_no_gradient(void **state)
{
    struct lt_error err = {0};
    int n;

    (void)state;
    assert_int_equal(differentiate("layer_norm", "[2,3]", NULL, 1, &n, &err), -EINVAL);
    assert_non_null(
        strstr(err.text, "layer_norm: the loss depends on output 1, which has no gradient"));
    assert_int_equal(differentiate("batch_norm", "[2,3] [3]! [3]! [2]!", NULL, 2, &n, &err),
                     -EINVAL);
    assert_int_equal(differentiate("cross_entropy", "[2,3] i64[2] [2]!", NULL, 1, &n, &err), 0);
    assert_int_equal(n, 0);
    assert_int_equal(differentiate("mse", "[2,3] [2,3]! [2]!", NULL, 1, &n, &err), 0);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nan_goes_through_pointwise),
        cmocka_unit_test(the_greatest_of_equals_and_of_nan),
        cmocka_unit_test(softmax_does_not_overflow),
        cmocka_unit_test(nothing_reduces_to_the_neutral_element),
        cmocka_unit_test(a_label_out_of_range_is_an_error),
        cmocka_unit_test(samples_of_weight_zero_do_not_count),
        cmocka_unit_test(other_classes_may_be_impossible),
        cmocka_unit_test(batch_norm_of_one_or_no_sample),
        cmocka_unit_test(scale_of_the_gradients),
        cmocka_unit_test(a_scale_of_nan_changes_nothing),
        cmocka_unit_test(clipping_keeps_nan),
        cmocka_unit_test(dropout_goes_with_the_sample),
        cmocka_unit_test(casts_round_to_nearest_even),
        cmocka_unit_test(every_float16_survives),
        cmocka_unit_test(pools_at_the_edge),
        cmocka_unit_test(statistics_have_no_gradient),
        cmocka_unit_test(refusals_say_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
