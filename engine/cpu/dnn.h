/* dnn.h - the oneDNN that the cpu back end uses: matmul, convolution, reorder
 *
 * The only header between us and the library; dnn*.c compile against 2.6 and 3.x. Tensors are
 * float32 or bfloat16; sums are float32. A reference implementation is never accepted: where the library has nothing else,
 * creation fails with -ENOTSUP and the caller uses a kernel of our own. Scratch memory is the
 * caller's, and the number of threads is fixed at creation.
 */
#ifndef LT_CPU_DNN_H
#define LT_CPU_DNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "engine/graph/type.h"

struct lt_error;

/* ---- where the elements of a tensor lie */
struct lt_md;

/* strides in elements; NULL: dense, row-major. */
struct lt_md *lt_md_strided(enum lt_dtype t, int ndim, const int64_t *dims, const int64_t *strides);
/* Left to the implementation. */
struct lt_md *lt_md_any(enum lt_dtype t, int ndim, const int64_t *dims);
struct lt_md *lt_md_copy(const struct lt_md *m);
void lt_md_free(struct lt_md *m);
LT_DEFINE_AUTO(struct lt_md *, lt_md_free)
bool lt_md_equal(const struct lt_md *a, const struct lt_md *b);
size_t lt_md_bytes(const struct lt_md *m); /* with padding */
enum lt_dtype lt_md_dtype(const struct lt_md *m);
int lt_md_dims(const struct lt_md *m, int64_t *dims);
bool lt_md_is_plain(const struct lt_md *m);                  /* dense, row-major */
void lt_md_text(const struct lt_md *m, char *buf, size_t n); /* "64x32x3x3:Abcd16b16a"-like */

/* ---- primitives */
enum lt_prim_arg {
    LT_PRIM_SRC,
    LT_PRIM_WEIGHTS,
    LT_PRIM_BIAS,
    LT_PRIM_DST,
    LT_PRIM_DIFF_SRC,
    LT_PRIM_DIFF_WEIGHTS,
    LT_PRIM_DIFF_BIAS,
    LT_PRIM_DIFF_DST,
    LT_PRIM_SCRATCH,
    LT_PRIM_ARG_N
};
struct lt_prim;

struct lt_matmul_spec {
    const struct lt_md *src, *weights, *bias,
        *dst;  /* bias may be NULL; 2-d, or 3-d with a batch in front */
    bool relu; /* of the result */
    int threads;
};
int lt_prim_matmul(const struct lt_matmul_spec *s, struct lt_prim **out, struct lt_error *err);

enum lt_conv_kind { LT_CONV_FORWARD, LT_CONV_DATA, LT_CONV_WEIGHTS };
struct lt_conv_spec {
    enum lt_conv_kind kind;
    const struct lt_md *src, *weights, *bias, *dst; /* of whichever direction; bias may be NULL */
    int64_t stride[2], dilation[2], pad_before[2], pad_after[2]; /* dilation 1: dense */
    bool relu;                                                   /* forward only */
    int threads;
};
int lt_prim_conv(const struct lt_conv_spec *s, struct lt_prim **out, struct lt_error *err);

int lt_prim_reorder(const struct lt_md *src, const struct lt_md *dst, int threads,
                    struct lt_prim **out, struct lt_error *err);

/* The same primitive with arguments of its own: for other data, or another thread. */
int lt_prim_copy(const struct lt_prim *p, struct lt_prim **out, struct lt_error *err);

void lt_prim_free(struct lt_prim *p);
LT_DEFINE_AUTO(struct lt_prim *, lt_prim_free)
/* Layout that the implementation wants for an argument; borrowed from p. */
const struct lt_md *lt_prim_md(const struct lt_prim *p, enum lt_prim_arg a);
size_t lt_prim_scratch(const struct lt_prim *p);
const char *lt_prim_impl(const struct lt_prim *p);
void lt_prim_set(struct lt_prim *p, enum lt_prim_arg a, const void *data);
int lt_prim_run(const struct lt_prim *p); /* 0, -EIO */

/* Caps the instruction set of code made from now on; the library takes it only before the first
 * primitive. Returns whether the cap (or less) is in effect. */
bool lt_dnn_cap(const char *isa);
const char *lt_dnn_version(void); /* "2.6.3" */

#endif
