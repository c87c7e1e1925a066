/* util.h - what many operators' rules and reference kernels share */
#ifndef LT_OPS_UTIL_H
#define LT_OPS_UTIL_H

#include "engine/graph/op.h"

/* Element i of an operand as a number, whatever its dtype. */
double lt_get(const struct lt_operand *o, int64_t i);
void lt_set(const struct lt_operand *o, int64_t i, double v);
int64_t lt_get_int(const struct lt_operand *o, int64_t i);

/* ---- shape rules */
int lt_infer_same(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                  struct lt_type *out, struct lt_error *err); /* out[0] = in[0] */
int lt_infer_same_second(const struct lt_graph *g, const struct lt_node *n,
                         const struct lt_type *in, struct lt_type *out,
                         struct lt_error *err); /* out[0]: dtype of in[0], shape of in[1] */
int lt_infer_same_float(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                        struct lt_type *out,
                        struct lt_error *err); /* the same, of a floating type */
int lt_infer_pair(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                  struct lt_type *out,
                  struct lt_error *err); /* out[0] = in[0]; in[1] must be the same */
int lt_infer_broadcast(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                       struct lt_type *out,
                       struct lt_error *err); /* out[0] = numpy's broadcast of in[0] and in[1] */
struct lt_type lt_scalar_type(enum lt_dtype dtype);
/* What contractions have, all of which sum in float32 or better: attribute `dtype`, the result's
 * type: that of the operands, or float32 of bfloat16 operands. */
#define LT_ATTR_RESULT LT_ATTR_STR_DEF("dtype", "")
int lt_infer_result(const struct lt_node *n, enum lt_dtype operands, struct lt_type *out,
                    struct lt_error *err);
/* A bias is of the operands' type, or float32 beside bfloat16: it is added to the sum. */
bool lt_bias_fits(enum lt_dtype operands, enum lt_dtype bias);
/* -EINVAL "OP: what": the standard refusal. */
int lt_refuse(const struct lt_node *n, struct lt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What inputs must be: -EINVAL with text that calls the input `what`. */
int lt_check_same(const struct lt_node *n, const struct lt_type *should, const struct lt_type *is,
                  const char *what, struct lt_error *err);
int lt_check_float(const struct lt_node *n, const struct lt_type *is, const char *what,
                   struct lt_error *err);
int lt_check_word(const struct lt_node *n, const char *attr, const char *const *words,
                  struct lt_error *err); /* NULL-ended */
/* The axis as 0 … ndim-1 (negative counts from the end), or -EINVAL. */
int lt_axis(const struct lt_node *n, int64_t axis, int ndim, struct lt_error *err);

/* ---- gradient rules */
/* Adds OP named "<base>/<suffix>"; attributes of `like` that OP has, too, are copied (like may be
 * NULL). *out = its first output. */
int lt_op_emit(struct lt_graph *g, const struct lt_node *like, const char *suffix, const char *op,
               const lt_id *in, int n_in, const struct lt_attr *attrs, int n_attrs, lt_id *out,
               struct lt_error *err);
/* For rules that know the first output's gradient only: refuses where the loss reaches the node
 * through another output. */
int lt_op_only_first(const struct lt_node *n, const lt_id *dout, struct lt_error *err);
/* v summed over what broadcasting repeated, to the shape of `like`; v itself when the shapes are
 * equal. */
int lt_op_emit_sum_to(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id v,
                      lt_id like, lt_id *out, struct lt_error *err);

/* ---- walking tensors in reference kernels */
/* Offset in an operand broadcast to `full` (shape of the result), for the result's flat index. */
int64_t lt_broadcast_index(const struct lt_operand *o, const struct lt_operand *full, int64_t flat);
/* outer × axis × inner of a dimension. */
struct lt_span {
    int64_t outer, len, inner;
};
struct lt_span lt_span_of(const struct lt_operand *o, int axis);
int lt_ref_unary(const struct lt_kernel_args *k, double (*f)(double));
int lt_ref_binary(const struct lt_kernel_args *k, double (*f)(double, double));
int lt_ref_copy(const struct lt_kernel_args *k, struct lt_error *err); /* same count, row-major */

#define LT_ATTR_INT_DEF(n, d)                                                                      \
    {                                                                                              \
        .name = n, .kind = LT_ATTR_INT, .def = d                                                   \
    }
#define LT_ATTR_FLOAT_DEF(n, d)                                                                    \
    {                                                                                              \
        .name = n, .kind = LT_ATTR_FLOAT, .def = d                                                 \
    }
#define LT_ATTR_STR_DEF(n, d)                                                                      \
    {                                                                                              \
        .name = n, .kind = LT_ATTR_STR, .def_str = d                                               \
    }
#define LT_ATTR_INTS_OPT(n)                                                                        \
    {                                                                                              \
        .name = n, .kind = LT_ATTR_INTS                                                            \
    }
#define LT_ATTR_INTS_REQ(n)                                                                        \
    {                                                                                              \
        .name = n, .kind = LT_ATTR_INTS, .required = true                                          \
    }
#define LT_ATTR_END                                                                                \
    {                                                                                              \
        .name = NULL                                                                               \
    }

#endif
