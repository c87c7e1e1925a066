/* test_ops.c - every operator on cpu against its reference kernel: shapes with tails, broadcasting,
 * empty and single elements, special numbers, one and two threads with the same bits; no kernel is
 * a reference one. Every row over float32 is run over float64, too, and those that bf16-mixed runs
 * over bfloat16 also so. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/auto.h"
#include "base/mem.h"
#include "bed.h"

/* clang-format off */
#define D(...) {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}
#define SCALAR {0, {0}}

struct shape {
    int ndim;
    int64_t dim[LT_DIMS_MAX];
};
struct arg {
    struct shape shape;
    enum lt_dtype dtype;
    bool param;
};
struct row {
    const char *op;
    struct arg in[8];
    int n_in;
    struct lt_attr attrs[8];
    int n_attrs;
    double tol; /* 0: the operator's */
    int64_t ints; /* integers are below this; 0: 7 */
    enum { NORMAL, POSITIVE, SPECIAL } values;
    bool bits_vary; /* between thread counts */
};

#define F(...) {D(__VA_ARGS__), LT_F32, false}
#define P(...) {D(__VA_ARGS__), LT_F32, true}
#define I(...) {D(__VA_ARGS__), LT_I64, false}
#define F64(...) {D(__VA_ARGS__), LT_F64, false}
#define F64S {SCALAR, LT_F64, false}
#define I64S {SCALAR, LT_I64, false}
#define INT(n, v) {.name = n, .kind = LT_ATTR_INT, .i = v}
#define FLT(n, v) {.name = n, .kind = LT_ATTR_FLOAT, .f = v}
#define STR(n, v) {.name = n, .kind = LT_ATTR_STR, .s = v}
#define INTS(n, ...) \
    {.name = n, .kind = LT_ATTR_INTS, .i = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .ints = (int64_t[]){__VA_ARGS__}}
#define UNARY(name) \
    {.op = name, {F(1027)}, 1}, {.op = name, {F(3, 5, 7)}, 1}, {.op = name, {F(1)}, 1}, {.op = name, {F(0, 4)}, 1}, {.op = name, {F(70000)}, 1}, \
    {.op = name, {F(64)}, 1, .values = SPECIAL}
#define BINARY(name) \
    {.op = name, {F(1027), F(1027)}, 2, .values = POSITIVE}, {.op = name, {F(33, 10), F(10)}, 2, .values = POSITIVE}, \
    {.op = name, {F(4, 3, 5, 6), F(3, 1, 1)}, 2, .values = POSITIVE}, {.op = name, {F(5, 1), F(1, 7)}, 2, .values = POSITIVE}, \
    {.op = name, {F(1), F(2, 3)}, 2, .values = POSITIVE}, {.op = name, {F(0, 3), F(3)}, 2, .values = POSITIVE}, \
    {.op = name, {F(300, 300), F(300, 1)}, 2, .values = POSITIVE}
#define GRAD(name) {.op = name, {F(1027), F(1027)}, 2}, {.op = name, {F(3, 5), F(3, 5)}, 2}, {.op = name, {F(0), F(0)}, 2}, {.op = name, {F(70000), F(70000)}, 2}
#define REDUCE(name) \
    {.op = name, {F(17, 33)}, 1}, {.op = name, {F(17, 33)}, 1, {INTS("axes", 0)}, 1}, {.op = name, {F(17, 33)}, 1, {INTS("axes", -1)}, 1}, \
    {.op = name, {F(3, 4, 5, 6)}, 1, {INTS("axes", 0, 2, 3)}, 1}, {.op = name, {F(3, 4, 5, 6)}, 1, {INTS("axes", 2, 3), INT("keepdims", 1)}, 2}, \
    {.op = name, {F(3, 4, 5, 6)}, 1, {INTS("axes", 1)}, 1}, {.op = name, {F(3, 4, 5, 6)}, 1, {INTS("axes", 1, 3)}, 1}, \
    {.op = name, {F(1, 1)}, 1}, {.op = name, {F(100000)}, 1, .tol = 1e-4}, {.op = name, {F(3000, 70)}, 1, {INTS("axes", 0)}, 1, .tol = 2e-4}, \
    {.op = name, {F(64)}, 1, .values = SPECIAL}, {.op = name, {F(6, 9)}, 1, {INTS("axes", 0)}, 1, .values = SPECIAL}
#define NONE(...)
#define TWICE(...) , F(__VA_ARGS__)
#define SOFTMAXES(name, n, extra) \
    {.op = name, {F(5, 10) extra(5, 10)}, n, {INT("axis", -1)}, 1}, {.op = name, {F(400, 37) extra(400, 37)}, n, {INT("axis", 1)}, 1}, \
    {.op = name, {F(3, 7, 5) extra(3, 7, 5)}, n, {INT("axis", 1)}, 1}, {.op = name, {F(3, 7, 20) extra(3, 7, 20)}, n, {INT("axis", 0)}, 1}, \
    {.op = name, {F(4, 1) extra(4, 1)}, n, {INT("axis", -1)}, 1}

#define OVER(dtype) \
    {.op = "relu", {{D(7, 5), dtype, false}}, 1}, {.op = "exp", {{D(7, 5), dtype, false}}, 1}, {.op = "neg", {{D(7, 5), dtype, false}}, 1}, \
    {.op = "add", {{D(7, 5), dtype, false}, {D(7, 5), dtype, false}}, 2}, {.op = "div", {{D(7, 5), dtype, false}, {D(7, 5), dtype, false}}, 2}, \
    {.op = "relu_grad", {{D(7, 5), dtype, false}, {D(7, 5), dtype, false}}, 2}, {.op = "reduce_sum", {{D(7, 5), dtype, false}}, 1}, \
    {.op = "reduce_mean", {{D(7, 5), dtype, false}}, 1}, {.op = "reduce_max", {{D(7, 5), dtype, false}}, 1}
static const struct row rows[] = {
    UNARY("relu"), UNARY("gelu"), UNARY("tanh"), UNARY("sigmoid"), UNARY("exp"), UNARY("neg"), UNARY("sqrt"), UNARY("log"),
    {.op = "gelu", {F(1027)}, 1, {STR("approximate", "tanh")}, 1},
    {.op = "log", {F(1027)}, 1, .values = POSITIVE}, {.op = "sqrt", {F(1027)}, 1, .values = POSITIVE},
    BINARY("add"), BINARY("sub"), BINARY("mul"), BINARY("div"),
    {.op = "add", {{D(7), LT_I64, false}, {D(7), LT_I64, false}}, 2, .ints = 1000},
    {.op = "mul", {F64S, F64S}, 2},
    {.op = "cast", {{D(37), LT_U8, false}}, 1, {STR("dtype", "float32")}, 1}, {.op = "cast", {F(37)}, 1, {STR("dtype", "float64")}, 1},
    {.op = "cast", {{D(37), LT_I64, false}}, 1, {STR("dtype", "float32")}, 1},
    GRAD("relu_grad"), GRAD("gelu_grad"), GRAD("tanh_grad"), GRAD("sigmoid_grad"),
    {.op = "relu_grad", {F(64), F(64)}, 2, .values = SPECIAL},
    {.op = "gelu_grad", {F(1027), F(1027)}, 2, {STR("approximate", "tanh")}, 1},
    {.op = "sum_to", {F(4, 5, 6), F(5, 1)}, 2}, {.op = "sum_to", {F(7, 3), F(3)}, 2}, {.op = "sum_to", {F(7, 3), F(7, 3)}, 2},
    {.op = "expand", {F(5, 1), F(4, 5, 6)}, 2}, {.op = "expand", {F(3), F(7, 3)}, 2},
    {.op = "reshape", {F(4, 6)}, 1, {INTS("shape", 2, -1)}, 1}, {.op = "reshape", {F(4, 6), F(8, 3)}, 2},
    {.op = "transpose", {F(5, 7)}, 1, {INTS("perm", 1, 0)}, 1}, {.op = "transpose", {F(3, 4, 5, 6)}, 1, {INTS("perm", 0, 2, 3, 1)}, 1},
    {.op = "transpose", {{D(5, 7), LT_I64, false}}, 1, {INTS("perm", 1, 0)}, 1}, {.op = "transpose", {F(0, 7)}, 1, {INTS("perm", 1, 0)}, 1},
    REDUCE("reduce_sum"), REDUCE("reduce_mean"), REDUCE("reduce_max"), REDUCE("reduce_min"),
    {.op = "reduce_sum", {{D(5, 7), LT_F64, false}}, 1, {INTS("axes", 0)}, 1},
    {.op = "reduce_max_grad", {F(4), F(4, 9), F(4)}, 3, {INTS("axes", 1)}, 1},
    {.op = "reduce_max_grad", {F(4, 1, 3), F(4, 9, 3), F(4, 1, 3)}, 3, {INTS("axes", 1), INT("keepdims", 1)}, 2},
    {.op = "argmax", {F(33, 10)}, 1}, {.op = "argmax", {F(3, 4, 5)}, 1, {INT("axis", 1)}, 1}, {.op = "argmax", {F(3, 4)}, 1, {INT("axis", 0), INT("keepdims", 1)}, 2},
    {.op = "argmax", {F(8, 8)}, 1, .values = SPECIAL},
    {.op = "matmul", {F(5, 7), F(7, 3)}, 2}, {.op = "matmul", {F(7, 5), F(7, 3)}, 2, {INT("transpose_a", 1)}, 1},
    {.op = "matmul", {F(5, 7), F(3, 7)}, 2, {INT("transpose_b", 1)}, 1}, {.op = "matmul", {F(7, 5), F(3, 7)}, 2, {INT("transpose_a", 1), INT("transpose_b", 1)}, 2},
    {.op = "matmul", {F(2, 3, 5, 7), F(2, 3, 7, 4)}, 2}, {.op = "matmul", {F(3, 5, 7), F(7, 4)}, 2}, {.op = "matmul", {F(3, 7, 5), F(7, 4)}, 2, {INT("transpose_a", 1)}, 1},
    {.op = "matmul", {F(1, 1), F(1, 1)}, 2}, {.op = "matmul", {F(0, 7), F(7, 3)}, 2}, {.op = "matmul", {F(4, 0), F(0, 3)}, 2},
    {.op = "matmul", {F(64, 300), F(300, 100)}, 2}, {.op = "matmul", {F(6, 5, 7), F(6, 3, 7)}, 2, {INT("transpose_b", 1)}, 1},
    {.op = "matmul", {F(2048, 64), F(2048, 96)}, 2, {INT("transpose_a", 1)}, 1, .tol = 1e-3}, {.op = "matmul", {F(300, 256), F(128, 256)}, 2, {INT("transpose_b", 1)}, 1, .tol = 1e-4},
    {.op = "linear", {F(33, 20), P(10, 20), P(10)}, 3}, {.op = "linear", {F(33, 20), P(10, 20), P(10)}, 3, {STR("act", "relu")}, 1},
    {.op = "linear", {F(3, 4, 20), P(10, 20)}, 2}, {.op = "linear", {F(5, 20), F(10, 20), F(10)}, 3}, {.op = "linear", {F(1, 1), P(1, 1), P(1)}, 3},
    {.op = "linear", {F(20), P(10, 20), P(10)}, 3}, {.op = "linear", {F(64, 784), P(128, 784), P(128)}, 3, .tol = 1e-4},
    {.op = "conv2d", {F(2, 3, 9, 8), P(5, 3, 3, 3), P(5)}, 3, {INTS("padding", 1, 1)}, 1},
    {.op = "conv2d", {F(2, 4, 9, 8), P(6, 2, 3, 2), P(6)}, 3, {INTS("stride", 2, 1), INT("groups", 2)}, 2},
    {.op = "conv2d", {F(2, 3, 11, 9), P(16, 3, 3, 3)}, 2, {INTS("dilation", 2, 2), INTS("padding", 2)}, 2},
    {.op = "conv2d", {F(3, 1, 12, 12), P(32, 1, 3, 3), P(32)}, 3, {INTS("padding", 1), STR("act", "relu")}, 2},
    {.op = "conv2d", {F(2, 16, 6, 6), F(16, 1, 3, 3), F(16)}, 3, {INT("groups", 16), INTS("padding", 1)}, 2},
    {.op = "conv2d", {F(4, 32, 14, 14), P(64, 32, 3, 3), P(64)}, 3, {INTS("padding", 1)}, 1, .tol = 1e-4},
    {.op = "conv2d", {F(1, 3, 5, 5), P(4, 3, 1, 1), P(4)}, 3}, {.op = "conv2d", {F(2, 3, 5, 5), P(4, 3, 5, 5), P(4)}, 3},
    {.op = "conv2d_dx", {F(2, 5, 9, 8), P(5, 3, 3, 3), F(2, 3, 9, 8)}, 3, {INTS("padding", 1, 1)}, 1},
    {.op = "conv2d_dx", {F(2, 6, 4, 7), P(6, 2, 3, 2), F(2, 4, 9, 8)}, 3, {INTS("stride", 2, 1), INT("groups", 2)}, 2},
    {.op = "conv2d_dx", {F(2, 16, 11, 9), F(16, 3, 3, 3), F(2, 3, 11, 9)}, 3, {INTS("dilation", 2, 2), INTS("padding", 2)}, 2},
    {.op = "conv2d_dx", {F(4, 64, 14, 14), P(64, 32, 3, 3), F(4, 32, 14, 14)}, 3, {INTS("padding", 1)}, 1, .tol = 1e-4},
    {.op = "conv2d_dw", {F(2, 5, 9, 8), F(2, 3, 9, 8), F(5, 3, 3, 3)}, 3, {INTS("padding", 1, 1)}, 1},
    {.op = "conv2d_dw", {F(2, 6, 4, 7), F(2, 4, 9, 8), F(6, 2, 3, 2)}, 3, {INTS("stride", 2, 1), INT("groups", 2)}, 2},
    {.op = "conv2d_dw", {F(2, 16, 11, 9), F(2, 3, 11, 9), F(16, 3, 3, 3)}, 3, {INTS("dilation", 2, 2), INTS("padding", 2)}, 2},
    {.op = "conv2d_dw", {F(11, 64, 14, 14), F(11, 32, 14, 14), F(64, 32, 3, 3)}, 3, {INTS("padding", 1)}, 1, .tol = 1e-3},
    {.op = "conv2d_dw", {F(19, 32, 28, 28), F(19, 1, 28, 28), F(32, 1, 3, 3)}, 3, {INTS("padding", 1)}, 1, .tol = 1e-3},
    {.op = "max_pool2d", {F(2, 3, 9, 8)}, 1, {INTS("kernel", 3), INTS("stride", 2), INTS("padding", 1)}, 3},
    {.op = "max_pool2d", {F(2, 16, 8, 6)}, 1, {INTS("kernel", 2)}, 1}, {.op = "max_pool2d", {F(2, 19, 9, 7)}, 1, {INTS("kernel", 2), INT("ceil_mode", 1)}, 2},
    {.op = "max_pool2d", {F(2, 5, 9, 9)}, 1, {INTS("kernel", 2, 3), INTS("stride", 1), INTS("dilation", 2, 1)}, 3},
    {.op = "max_pool2d", {F(2, 4, 4, 4)}, 1, {INTS("kernel", 2)}, 1, .values = SPECIAL}, {.op = "max_pool2d", {F(2, 4, 1, 1)}, 1, {INTS("kernel", 1)}, 1},
    {.op = "max_pool2d_grad", {F(2, 3, 4, 4), {D(2, 3, 4, 4), LT_I32, false}, F(2, 3, 8, 8)}, 3, .ints = 64},
    {.op = "avg_pool2d", {F(2, 3, 9, 8)}, 1, {INTS("kernel", 3), INTS("stride", 2), INTS("padding", 1)}, 3},
    {.op = "avg_pool2d", {F(2, 16, 8, 6)}, 1, {INTS("kernel", 2)}, 1},
    {.op = "avg_pool2d", {F(2, 5, 9, 7)}, 1, {INTS("kernel", 2), INT("ceil_mode", 1), INTS("padding", 1), INT("count_include_pad", 0)}, 4},
    {.op = "avg_pool2d", {F(2, 5, 9, 7)}, 1, {INTS("kernel", 2), INT("ceil_mode", 1), INTS("padding", 1)}, 3},
    {.op = "max_pool2d", {F(2, 3, 2, 7)}, 1, {INTS("kernel", 3), INTS("stride", 2), INT("ceil_mode", 1)}, 3}, /* larger than what is left */
    {.op = "avg_pool2d", {F(2, 3, 2, 7)}, 1, {INTS("kernel", 3), INTS("stride", 2), INT("ceil_mode", 1)}, 3},
    {.op = "avg_pool2d_grad", {F(2, 3, 1, 3), F(2, 3, 2, 7)}, 2, {INTS("kernel", 3), INTS("stride", 2), INT("ceil_mode", 1)}, 3},
    {.op = "avg_pool2d", {F(2, 16, 6, 5)}, 1, {INTS("kernel", 3), INTS("stride", 2), INTS("padding", 1), INT("ceil_mode", 1)}, 4},
    {.op = "layer_norm", {F(7, 5), F(5)}, 2}, {.op = "batch_norm_eval", {F(1, 3, 1, 1), P(3), P(3), F(3)}, 4, .values = POSITIVE},
    OVER(LT_F64), OVER(LT_BF16), OVER(LT_F16), {.op = "reduce_sum", {{D(7, 5), LT_I32, false}}, 1, .ints = 9},
    {.op = "avg_pool2d_grad", {F(2, 3, 5, 4), F(2, 3, 9, 8)}, 2, {INTS("kernel", 3), INTS("stride", 2), INTS("padding", 1)}, 3},
    {.op = "batch_norm", {F(7, 5), P(5), P(5), F(7), F(5), F(5)}, 6}, {.op = "batch_norm", {F(1, 5), P(5), P(5), F(1)}, 4},
    {.op = "batch_norm_batch", {F(7, 5), F(7), F(5), F(5)}, 4}, {.op = "batch_norm_batch", {F(4, 19, 5, 6), F(4), F(19)}, 3},
    {.op = "batch_norm_batch", {F(64, 32, 7, 7), F(64)}, 2}, {.op = "batch_norm_batch", {F(1, 5), F(1)}, 2},
    {.op = "batch_norm", {F(4, 19, 5, 6), P(19), P(19), F(4), F(19), F(19)}, 6},
    {.op = "batch_norm", {F(4, 3, 5), P(3), P(3), F(4)}, 4}, {.op = "batch_norm", {F(64, 32, 7, 7), P(32), P(32), F(64), F(32)}, 5},
    {.op = "batch_norm_eval", {F(4, 19, 5, 6), P(19), P(19), F(19), F(19)}, 5, .values = POSITIVE}, {.op = "batch_norm_eval", {F(7, 5), P(5), P(5)}, 3, .values = POSITIVE},
    {.op = "batch_norm_grad", {F(4, 19, 5, 6), F(4, 19, 5, 6), F(19), F(19), F(4), F(19)}, 6}, {.op = "batch_norm_grad", {F(7, 5), F(7, 5), F(5), F(5), F(7)}, 5},
    {.op = "layer_norm", {F(7, 37), F(37), F(37)}, 3}, {.op = "layer_norm", {F(3, 4, 5), F(4, 5)}, 2, {INT("ndim", 2)}, 1}, {.op = "layer_norm", {F(130, 16)}, 1},
    {.op = "layer_norm_grad", {F(7, 37), F(7, 37), F(7), F(7), F(37)}, 5}, {.op = "layer_norm_grad", {F(200, 16), F(200, 16), F(200), F(200)}, 4},
    {.op = "dropout", {F(7, 37), I64S, I(7)}, 3, {FLT("p", 0.3), INT("seed", 5)}, 2}, {.op = "dropout", {F(3, 5, 6, 7), I64S, I(3)}, 3, {FLT("p", 0.9)}, 1},
    {.op = "dropout", {F(3, 8), I64S, I(3)}, 3, {FLT("p", 0)}, 1}, {.op = "dropout", {F(3, 8), I64S, I(3)}, 3, {FLT("p", 1)}, 1},
    {.op = "dropout_grad", {F(7, 37), {D(7, 37), LT_U8, false}}, 2, {FLT("p", 0.3)}, 1, .ints = 2},
    SOFTMAXES("softmax", 1, NONE), SOFTMAXES("log_softmax", 1, NONE), SOFTMAXES("softmax_grad", 2, TWICE), SOFTMAXES("log_softmax_grad", 2, TWICE),
    {.op = "cross_entropy", {F(33, 10), I(33), F(33)}, 3}, {.op = "cross_entropy", {F(70, 37), {D(70), LT_I32, false}, F(70), F(37)}, 4, {FLT("label_smoothing", 0.1), INT("ignore_index", 3)}, 2},
    {.op = "cross_entropy", {F(5, 10), {D(5), LT_U8, false}, F(5)}, 3, {FLT("label_smoothing", 0.1)}, 1}, {.op = "cross_entropy", {F(1, 10), I(1), F(1)}, 3},
    {.op = "cross_entropy_grad", {F64S, F(33, 10), I(33), F(33)}, 4},
    {.op = "cross_entropy_grad", {F64S, F(70, 37), I(70), F(70), F(37)}, 5, {FLT("label_smoothing", 0.1), INT("ignore_index", 3)}, 2},
    {.op = "mse", {F(33, 10), F(33, 10), F(33)}, 3}, {.op = "mse", {F(100, 3, 5), F(100, 3, 5), F(100)}, 3}, {.op = "mse_grad", {F64S, F(33, 10), F(33, 10), F(33)}, 4},
    {.op = "accuracy", {F(33, 10), I(33), F(33)}, 3}, {.op = "accuracy", {F(100, 7), {D(100), LT_U8, false}, F(100)}, 3},
    {.op = "batch_norm_sum", {F(7, 5), F(7)}, 2}, {.op = "batch_norm_sum", {F(4, 19, 5, 6), F(4), F64(20)}, 3, .values = POSITIVE},
    {.op = "batch_norm_sum", {F(64, 32, 7, 7), F(64)}, 2, .tol = 1e-4}, {.op = "batch_norm_sum", {F(4, 3, 5), F(4), F64(4)}, 3, .values = POSITIVE},
    {.op = "batch_norm_apply", {F(4, 19, 5, 6), F64(20), F64(20), F(19), F(19)}, 5, .values = POSITIVE}, {.op = "batch_norm_apply", {F(7, 5), F64(6), F64(6)}, 3, .values = POSITIVE},
    {.op = "batch_norm_running", {P(19), P(19), F64(20), F64(20)}, 4, {FLT("momentum", 0.3)}, 1, .values = POSITIVE},
    {.op = "batch_norm_grad_sum", {F(4, 19, 5, 6), F(4, 19, 5, 6), F(19), F(19)}, 4}, {.op = "batch_norm_grad_sum", {F(7, 5), F(7, 5), F(5), F(5)}, 4},
    {.op = "batch_norm_params", {F64(38)}, 1}, {.op = "batch_norm_params", {F64(38)}, 1, {STR("dtype", "float64")}, 1, .tol = 1e-15},
    {.op = "batch_norm_sync_grad", {F(4, 19, 5, 6), F(4, 19, 5, 6), F(19), F(19), F(4), F64(20), F64(38), F(19)}, 8, .values = POSITIVE},
    {.op = "batch_norm_sync_grad", {F(7, 5), F(7, 5), F(5), F(5), F(7), F64(6), F64(10)}, 7, .values = POSITIVE},
    {.op = "batch_slice", {F(6, 5)}, 1, {INT("slices", 3), INT("index", 1)}, 2},
    {.op = "accumulate", {P(1027), F(1027)}, 2}, {.op = "accumulate", {{SCALAR, LT_F64, true}, F64S}, 2}, {.op = "accumulate", {{SCALAR, LT_I64, true}, I64S}, 2, .ints = 9}, {.op = "zero", {P(1027)}, 1},
    {.op = "sum_squares", {F(1027), F(3, 5), F(40000)}, 3}, {.op = "grad_scale", {F64S, F64S, F64S}, 3, {FLT("clip_norm", 0.5)}, 1, .values = POSITIVE},
    {.op = "grad_scale", {F64S, F64S}, 2, .values = POSITIVE},
    {.op = "sgd", {P(1027), F(1027), F64S, F64S}, 4, {FLT("weight_decay", 0.1), INT("maximize", 1)}, 2},
    {.op = "sgd_momentum", {P(10000), F(10000), P(10000), F64S, I64S, F64S}, 6, {FLT("momentum", 0.9), FLT("dampening", 0.1), FLT("clip_value", 0.01)}, 3, .ints = 5},
    {.op = "sgd_momentum", {P(10), F(10), P(10), F64S, I64S, F64S}, 6, {FLT("momentum", 0.9), INT("nesterov", 1)}, 2, .ints = 5},
    {.op = "adam", {P(10000), F(10000), P(10000), P(10000), F64S, I64S, F64S}, 7, .values = POSITIVE},
    {.op = "adam", {P(37), F(37), P(37), P(37), F64S, I64S, F64S}, 7, {FLT("weight_decay", 0.1), FLT("clip_value", 0.2)}, 2, .values = POSITIVE},
    {.op = "adam", {P(37), F(37), P(37), P(37), F64S, I64S, F64S}, 7, {FLT("weight_decay", 0.1), INT("decoupled", 1), INT("maximize", 1)}, 3, .values = POSITIVE},
    {.op = "adam_amsgrad", {P(37), F(37), P(37), P(37), P(37), F64S, I64S, F64S}, 8, .values = POSITIVE},
};

/* clang-format on */
/* A row as it is run: float32 tensors are of another type; contractions may give float32. */
struct run {
    const struct row *r;
    enum lt_dtype over;
    bool full; /* attribute dtype: float32 */
};

/* A bias stays float32. */
static enum lt_dtype dtype_of(const struct run *u, int i)
{
    const struct lt_op *op = lt_op_find(u->r->op);
    bool bias = op->precision == LT_PRECISION_LOW && i == 2 && u->r->in[i].shape.ndim == 1;

    if (u->r->in[i].dtype != LT_F32 || (bias && u->over == LT_BF16))
        return u->r->in[i].dtype;
    return u->over;
}

static void row_build(struct bed *t, const struct run *u)
{
    const struct row *r = u->r;
    struct lt_attr attrs[9];
    lt_id in[8];

    bed_open(t);
    for (int i = 0; i < r->n_in; i++) {
        char name[8];

        snprintf(name, sizeof name, "in%d", i);
        in[i] = (r->in[i].param ? bed_param : bed_input)(t, name, dtype_of(u, i),
                                                         r->in[i].shape.ndim, r->in[i].shape.dim);
    }
    memcpy(attrs, r->attrs, sizeof r->attrs);
    attrs[r->n_attrs] = (struct lt_attr)STR("dtype", "float32");
    bed_outputs(t, bed_node(t, r->op, "node", in, r->n_in, attrs, r->n_attrs + u->full));
}

static void adjust_floats(const struct row *r, const struct arg *a, enum lt_dtype dtype, void *p)
{
    static const float special[] = {NAN,  INFINITY, -INFINITY, 0.0f,    -0.0f,
                                    1.0f, -1.0f,    88.0f,     -100.0f, 1e-30f};
    int64_t n = 1;

    for (int d = 0; d < a->shape.ndim; d++)
        n *= a->shape.dim[d];
    for (int64_t i = 0; i < n; i++) {
        double v = lt_dtype_load(dtype, p, i);

        if (r->values == POSITIVE)
            v = (double)(fabsf((float)v) + 0.1f);
        else if (r->values == SPECIAL)
            v = i % 3 ? v * 3 : (double)special[i / 3 % (int64_t)LT_ARRAY_LEN(special)];
        lt_dtype_store(dtype, p, i, v);
    }
}

/* Which input the samples' weights are. */
static int weights_at(const char *op)
{
    if (!strcmp(op, "batch_norm_batch"))
        return 1;
    return strstr(op, "batch_norm") ? (strstr(op, "_grad") ? 4 : 3) : 2;
}

/* POSITIVE scalars are step numbers and learning rates; a weight of 0 is among the samples'
 * weights. */
static void adjust(const struct run *u, struct bed_values *v)
{
    const struct row *r = u->r;
    int in = 0, param = 0;

    for (int i = 0; i < r->n_in; i++) {
        void *p = r->in[i].param ? v->persistent[param++] : v->in[in++];

        if (r->in[i].dtype == LT_F32)
            adjust_floats(r, &r->in[i], dtype_of(u, i), p);
        if (r->in[i].dtype == LT_I64 && !r->in[i].shape.ndim)
            ++*(int64_t *)p;
        for (int64_t k = 0; r->in[i].dtype == LT_F64 && r->values == POSITIVE &&
                            k < (r->in[i].shape.ndim ? r->in[i].shape.dim[0] : 1);
             k++)
            ((double *)p)[k] = fabs(((double *)p)[k]) + 0.01;
        if (r->in[i].dtype == LT_F32 && i == weights_at(r->op) && r->in[i].shape.ndim == 1 &&
            r->in[i].shape.dim[0] > 2)
            lt_dtype_store(dtype_of(u, i), p, 1, 0);
    }
}

static bool names_reference(const char *kernels)
{
    const char *at = kernels;

    for (; (at = strstr(at, "ref")); at++)
        if (at == kernels || !strchr("abcdefghijklmnopqrstuvwxyz_", at[-1]))
            return true;
    return false;
}

/* Where a result is rounded to bfloat16, the last digit may be another: 2^-7 of it. What isn't rounded is a float32
 * sum of products that float32 has, and as near as over float32. */
static double tolerance(const struct run *u)
{
    double tol = u->r->tol > 0 ? u->r->tol : LT_MAX(lt_op_find(u->r->op)->tol, 2e-7);

    if (u->over == LT_F64)
        return LT_MIN(tol, 1e-12);
    return u->over == LT_BF16 && !u->full ? 0x1p-7 : tol;
}

/* oneDNN's products of bfloat16 split their sums by the number of threads, where AMX makes them. */
static bool bits_vary(const struct run *u)
{
    return u->r->bits_vary ||
           (u->over == LT_BF16 && lt_op_find(u->r->op)->precision == LT_PRECISION_LOW);
}

/* Returns how many things are wrong. */
static int run_check(const struct run *u, uint64_t seed)
{
    static char kernels[4096];
    const struct row *r = u->r;
    struct lt_device_config one = {.threads = 1}, two = {.threads = 2};
    struct bed_values start, ref, cpu, cpu2;
    const char *over = lt_dtype_names[u->over];
    struct bed t;
    double worst;
    int wrong = 0;

    row_build(&t, u);
    bed_fill(&t, &start, seed, r->ints ? r->ints : 7);
    adjust(u, &start);
    bed_copy(&t, &start, &ref);
    bed_copy(&t, &start, &cpu);
    bed_copy(&t, &start, &cpu2);
    cpu2.spread = 1;
    if (bed_run(&t, &lt_backend_ref, &one, &ref, 1, NULL, 0) < 0 ||
        bed_run(&t, &lt_backend_cpu, &one, &cpu, 1, kernels, sizeof kernels) < 0 ||
        bed_run(&t, &lt_backend_cpu, &two, &cpu2, 1, NULL, 0) < 0)
        return print_error("%s (row %d, %s): a run failed\n", r->op, (int)(r - rows), over), 1;
    worst = bed_distance(&t, &cpu, &ref);
    if (!(worst <= tolerance(u)) && ++wrong)
        print_error("%s (row %d, %s): differs from the reference by %g, allowed %g\n", r->op,
                    (int)(r - rows), over, worst, tolerance(u));
    if (!bits_vary(u) && !bed_same_bits(&t, &cpu, &cpu2) && ++wrong)
        print_error("%s (row %d, %s): other bits with two threads\n", r->op, (int)(r - rows), over);
    if (names_reference(kernels) && ++wrong)
        print_error("%s (%s): runs on a reference kernel: %s\n", r->op, over, kernels);
    bed_free(&start);
    bed_free(&ref);
    bed_free(&cpu);
    bed_free(&cpu2);
    bed_close(&t);
    return wrong;
}

static int row_check(const struct row *r, uint64_t seed)
{
    const struct lt_op *op = lt_op_find(r->op);
    bool numbers = false, low = op->precision == LT_PRECISION_LOW;
    int wrong = run_check(&(struct run){r, LT_F32, false}, seed);

    for (int i = 0; i < r->n_in; i++)
        numbers |= r->in[i].dtype == LT_F32;
    if (!numbers)
        return wrong;
    wrong += run_check(&(struct run){r, LT_F64, false}, seed);
    if (op->precision != LT_PRECISION_KEEP && op->cls != LT_OP_UPDATE)
        wrong += run_check(&(struct run){r, LT_BF16, false}, seed);
    return wrong + (low ? run_check(&(struct run){r, LT_BF16, true}, seed) : 0);
}

static void test_rows(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++)
        wrong += row_check(&rows[i], i + 1);
    assert_int_equal(wrong, 0);
}

static void test_every_operator_is_tested(void **state)
{
    (void)state;
    for (int i = 0; lt_ops[i]; i++) {
        bool seen = false;

        for (size_t k = 0; k < LT_ARRAY_LEN(rows); k++)
            seen = seen || !strcmp(rows[k].op, lt_ops[i]->name);
        if (!seen && !lt_ops[i]->collective && !lt_ops[i]->part) /* tests/session runs these */
            fail_msg("no row for operator %s", lt_ops[i]->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_every_operator_is_tested)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
