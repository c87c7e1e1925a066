/* kern.h - the vector kernels: what they take, and one table of them per instruction set
 *
 * A kernel does the units [begin, end) of its work. What a unit gives does not depend on which
 * other units the same call does, so results have the same bits at any number of threads; sums over
 * many units go through partial results whose number is a function of the shape alone. Tensors are
 * dense and of lt_real unless said otherwise.
 *
 * Every kernel exists over float32 and over float64: the sources are compiled for both, with lt_real
 * one or the other. Outside kern/ it is float32, and pointers are filled in as addresses only.
 */
#ifndef LT_CPU_KERN_H
#define LT_CPU_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef LT_REAL64
typedef double lt_real;
#else
typedef float lt_real;
#endif

typedef void lt_kern_fn(const void *args, int64_t begin, int64_t end);

/* clang-format off */
#define LT_KERNELS(X)                                                                              \
    X(chain) X(adam) X(sgd) X(sum_squares) X(reduce_rows) X(reduce_cols) X(relu_bias)              \
    X(softmax_rows) X(softmax_cols) X(softmax_grad_rows) X(softmax_grad_cols)                      \
    X(cross_entropy) X(mse) X(mse_grad) X(accuracy) X(argmax)                                      \
    X(layer_norm) X(layer_norm_grad) X(batch_norm_sums) X(batch_norm_apply) X(batch_norm_grad_sums) \
    X(batch_norm_grad_apply) X(max_pool) X(max_pool_grad) X(avg_pool) X(avg_pool_grad)             \
    X(dropout_apply)

/* Only over float32 (or types of their own), and only over float64: oneDNN has none of the latter. */
#define LT_KERNELS_32(X)                                                                           \
    X(dropout_mask) X(relu_bias_low) X(max_pool_low) X(max_pool_grad_low) X(dropout_low)
#define LT_KERNELS_64(X) X(gemm)
/* clang-format on */

enum lt_kern_id {
#define X(name) LT_KERN_##name,
    LT_KERNELS(X) LT_KERNELS_32(X) LT_KERNELS_64(X)
#undef X
        LT_KERN_N
};

struct lt_kern_table {
    const char *isa; /* "avx2", "avx512_core" */
    lt_kern_fn *fn[LT_KERN_N];
};
extern const struct lt_kern_table lt_kern_avx2, lt_kern_avx512; /* over float32 */
extern const struct lt_kern_table lt_kern_avx2_f64, lt_kern_avx512_f64;
extern const char *const lt_kern_names[LT_KERN_N];

/* ---- chain: pointwise operators over cache-sized tiles. Unit: a tile of LT_TILE elements of the
 * outputs. */
#define LT_TILE 512
#define LT_CHAIN_INPUTS 16
#define LT_CHAIN_OUTPUTS 8
#define LT_CHAIN_LENGTH 24
#define LT_CHAIN_DIMS 8

enum lt_chain_code {
    LT_CHAIN_COPY,
    LT_CHAIN_RELU,
    LT_CHAIN_GELU,
    LT_CHAIN_GELU_TANH,
    LT_CHAIN_TANH,
    LT_CHAIN_SIGMOID,
    LT_CHAIN_EXP,
    LT_CHAIN_LOG,
    LT_CHAIN_SQRT,
    LT_CHAIN_NEG,
    LT_CHAIN_ADD,
    LT_CHAIN_SUB,
    LT_CHAIN_MUL,
    LT_CHAIN_DIV,
    LT_CHAIN_RELU_GRAD,
    LT_CHAIN_GELU_GRAD,
    LT_CHAIN_GELU_TANH_GRAD,
    LT_CHAIN_TANH_GRAD,
    LT_CHAIN_SIGMOID_GRAD,
    LT_CHAIN_MASK, /* b != 0 ? a * imm : 0 */
    LT_CHAIN_FILL,  /* imm */
    LT_CHAIN_ROUND, /* to a number that bfloat16 has; ties to even */
    LT_CHAIN_CODE_N
};

enum lt_chain_load {
    LT_LOAD_F32,
    LT_LOAD_U8,
    LT_LOAD_I32,
    LT_LOAD_I64,
    LT_LOAD_F64,
    LT_LOAD_BF16
};

struct lt_chain_input {
    const void *data;
    enum lt_chain_load load;
    enum { LT_IN_DIRECT, LT_IN_SCALAR, LT_IN_STRIDED } how;
    int64_t stride[LT_CHAIN_DIMS]; /* elements, per dimension of the iteration space */
};
struct lt_chain_instr {
    enum lt_chain_code code;
    int a, b; /* < n_in: an input; else instruction a - n_in's result */
    double imm;
    int out; /* which output keeps the result; -1: none */
};
struct lt_chain {
    int64_t total; /* elements of each output */
    int ndim;
    int64_t dim[LT_CHAIN_DIMS]; /* iteration space in storage order, for strided inputs */
    int n_in, n_out, n_code;
    struct lt_chain_input in[LT_CHAIN_INPUTS];
    void *out[LT_CHAIN_OUTPUTS];
    enum lt_chain_load store; /* what the outputs are: F32, BF16; F64 where lt_real is that */
    struct lt_chain_instr code[LT_CHAIN_LENGTH];
};

/* ---- optimisers, over any number of tensors in one pass. Unit: LT_UPDATE_BLOCK elements of a
 * tensor. */
#define LT_UPDATE_BLOCK 4096

struct lt_update_tensor {
    lt_real *p;
    const lt_real *g;
    lt_real *s1, *s2, *s3; /* adam: m, v, vmax; sgd: buf; NULL: none */
    int64_t n;
    int64_t first; /* its first unit */
};
struct lt_update {
    struct lt_update_tensor *t;
    int n_tensors;
    const double *lr, *scale; /* a NaN scale leaves everything as it is */
    const int64_t *step;      /* 1-based */
    double beta1, beta2, eps, weight_decay, clip_value;
    double momentum, dampening;
    bool decoupled, maximize, nesterov;
};

/* ---- sum_squares. Unit: LT_SQUARES_BLOCK elements; out[unit] */
#define LT_SQUARES_BLOCK 16384

struct lt_squares_tensor {
    const lt_real *x;
    int64_t n, first;
};
struct lt_squares {
    struct lt_squares_tensor *t;
    int n_tensors;
    double *out;
};

/* ---- reductions */
enum lt_reduce_kind { LT_REDUCE_SUM, LT_REDUCE_MAX, LT_REDUCE_MIN };

struct lt_reduce {
    enum lt_reduce_kind kind;
    const lt_real *x;
    lt_real *out;
    double scale;    /* of a sum */
    int64_t a, r, c; /* rows: x[a, r] over r; cols: x[a, r, c] over r */
    int64_t parts,
        chunk; /* r in `parts` pieces of `chunk`: out[a, parts(, c)]. Unit: (a, part(, block)) */
    int64_t width; /* cols: columns per block */
    int64_t blocks;
};
/* dx = y > 0 ? dy : 0, and its column sums. y NULL: sums only. Unit: a piece of `chunk` rows,
 * out[unit, c]. relu_bias_low: dy, y, dx are bfloat16, the sums float32. */
struct lt_relu_bias {
    const lt_real *dy, *y;
    lt_real *dx; /* may be dy */
    lt_real *out;
    int64_t rows, c, chunk;
};
struct lt_argmax {
    const lt_real *x;
    int64_t *out;
    int64_t a, r, c; /* x[a, r, c] over r; unit: an a */
};

/* ---- gemm: c[m, n] (+)= a[m, k] b[k, n], each by strides in elements; only over float64. Unit: a
 * block of LT_GEMM_ROWS rows of one product of the batch. Sums go through k in order, whatever the
 * units. */
#define LT_GEMM_ROWS 48

struct lt_gemm {
    const lt_real *a, *b, *bias; /* bias [n]; NULL: none */
    lt_real *c;
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;
    int64_t a_step, b_step, c_step; /* from one product of the batch to the next */
    bool add;                       /* to what c holds */
    bool relu;                      /* of the result; a NaN stays one */
};

/* ---- softmax. rows: x[rows, c] over c, unit: a row. cols: x[a, r, c] over r, unit: an a. */
struct lt_softmax {
    const lt_real *x, *dy; /* gradient: x is the forward's result */
    lt_real *out;
    int64_t a, r, c;
    bool log;
};

/* ---- losses and metrics over samples. Unit: a piece of `chunk` samples; sums[unit] */
struct lt_int_array {
    const void *data;
    enum lt_chain_load load; /* U8, I32, I64 */
};
struct lt_cross_entropy {
    const lt_real *x; /* [n, c] */
    struct lt_int_array target;
    const lt_real *weight, *class_weight; /* class_weight may be NULL */
    const double *dloss;                /* NULL: no gradient */
    lt_real *dx;                          /* NULL: no gradient */
    double *loss, *weight_sum;          /* per unit; NULL: gradient only */
    int64_t n, c, chunk;
    int64_t ignore_index;
    double smoothing;
    int64_t *bad; /* set to a sample with a label out of range; -1 before */
};
struct lt_mse {
    const lt_real *x, *target, *weight;
    const double *dloss;
    lt_real *dx;
    double *loss, *weight_sum;
    int64_t n, c, chunk;
};
struct lt_accuracy {
    const lt_real *x;
    struct lt_int_array target;
    const lt_real *weight;
    double *hits, *seen;
    int64_t n, c, chunk;
};

/* ---- norms */
struct lt_layer_norm {
    const lt_real *x, *gamma, *beta, *dy; /* gamma, beta may be NULL */
    lt_real *y, *mean, *rstd;             /* gradient: mean and rstd are read, y is dx */
    lt_real *dgamma, *dbeta;  /* gradient: partial sums [unit, c]; unit: a piece of `chunk` rows */
    int64_t rows, c, chunk; /* forward: unit is a row */
    double eps;
};
/* x[rows, c], row r is of sample r / rows_per_sample; samples of weight 0 are left out of the
 * statistics. Unit: a piece of `chunk` rows. */
struct lt_batch_norm {
    const lt_real *x, *dy, *weight; /* weight NULL: all count */
    const lt_real *mean, *invstd, *gamma, *beta;
    const lt_real *shift; /* grad: mean of dy, mean of dy * xhat over counted samples, [2, c] */
    lt_real *y;           /* or dx */
    lt_real *sums;        /* per unit: [2, c]: sums, or sums of dy and dy * xhat */
    int64_t rows, c, chunk, rows_per_sample;
    bool centred; /* sums of (x - mean)^2 instead of x */
};

/* ---- pooling of channels-last x[n, h, w, c]. Unit: one row (n, oh) of the output; gradients: a
 * sample. */
struct lt_pool {
    const lt_real *x, *dy;
    const lt_real *gate; /* max gradient: dy counts only where gate > 0; NULL: everywhere */
    lt_real *y;
    uint8_t *index8;  /* place within the window (kernel of at most 255 places), or */
    int32_t *index32; /* h * w + w in the plane; exactly one of the two */
    int64_t n, h, w, c, oh, ow;
    int64_t kh, kw, sh, sw, ph, pw, dh, dw;
    bool count_pad; /* avg: divide by the window's size, padding included (but not what ceil_mode
                       adds) */
};

/* ---- dropout. Unit: a sample of `per` elements. */
struct lt_dropout {
    const lt_real *x;
    lt_real *y;
    uint8_t *mask;
    const int64_t *step, *sample;
    uint32_t key[2];
    int64_t n, per;
    int64_t inner, outer; /* channels-last storage of [outer = c, inner = h * w]: element e = c *
                             inner + s lies at s * outer + c; outer 1: plain */
    double p, scale;
};

#endif
