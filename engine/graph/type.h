/* type.h - element types, dimensions and shapes of tensors
 *
 * A dimension is a number or a multiple of a bounded symbol (`n`, the batch; `t<=1024`): value = k * binding[sym].
 * Shape rules work on both; programs are compiled per binding.
 */
#ifndef LT_GRAPH_TYPE_H
#define LT_GRAPH_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LT_DIMS_MAX 8
#define LT_SYMS_MAX 8
#define LT_SYM_NONE (-1)

enum lt_dtype { LT_F32, LT_F64, LT_BF16, LT_F16, LT_I32, LT_I64, LT_U8, LT_BOOL, LT_DTYPE_N };

extern const char *const lt_dtype_names[LT_DTYPE_N]; /* "float32", "float64", "bfloat16", … (torch's) */
extern const size_t lt_dtype_sizes[LT_DTYPE_N];      /* bytes */

struct lt_dim {
    int64_t k;
    int sym; /* LT_SYM_NONE: the number k */
};

struct lt_type {
    enum lt_dtype dtype;
    int ndim;
    struct lt_dim dim[LT_DIMS_MAX]; /* row-major, outermost first */
};

/* What the symbols stand for. */
struct lt_binding {
    int64_t value[LT_SYMS_MAX];
};

static inline struct lt_dim lt_dim_num(int64_t n)
{
    return (struct lt_dim){n, LT_SYM_NONE};
}
bool lt_dim_eq(struct lt_dim a, struct lt_dim b);
int64_t lt_dim_value(struct lt_dim d, const struct lt_binding *b);
/* Product of two dimensions; false where it can't be said (two symbols) or overflows. */
bool lt_dim_mul(struct lt_dim a, struct lt_dim b, struct lt_dim *out);
bool lt_type_eq(const struct lt_type *a, const struct lt_type *b); /* dtype and shape */
bool lt_shape_eq(const struct lt_type *a, const struct lt_type *b);
int64_t lt_type_count(const struct lt_type *t, const struct lt_binding *b); /* elements */
size_t lt_type_bytes(const struct lt_type *t, const struct lt_binding *b);  /* of the plain layout */
/* "float32[n, 1, 28, 28]"; symbol 0 is the batch, `n`; others `s1`, `s2`, … */
size_t lt_type_print(char *buf, size_t n, const struct lt_type *t);
#define LT_TYPE_TEXT 160 /* bytes enough for it */
bool lt_dtype_is_float(enum lt_dtype d);
/* Element i of an array as a number, and back (number.c). */
double lt_dtype_load(enum lt_dtype dtype, const void *data, int64_t i);
void lt_dtype_store(enum lt_dtype dtype, void *data, int64_t i, double v);
enum lt_dtype lt_dtype_find(const char *name); /* LT_DTYPE_N: unknown */

#endif
