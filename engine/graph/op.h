/* op.h - an operator: one file in engine/ops, one word in its list
 *
 * It has a shape rule, a gradient rule that builds nodes, and a reference kernel that defines what it computes.
 * Back ends add fast kernels under the same name.
 */
#ifndef LT_GRAPH_OP_H
#define LT_GRAPH_OP_H

#include "engine/graph/graph.h"

enum lt_op_class { LT_OP_OTHER, LT_OP_POINTWISE, LT_OP_REDUCTION, LT_OP_CONTRACTION, LT_OP_VIEW, LT_OP_UPDATE };
enum lt_op_precision { LT_PRECISION_FOLLOW, LT_PRECISION_LOW, LT_PRECISION_KEEP }; /* the precision pass's table */

/* What a node does to a collective: start returns at once, the flat form belongs to the collective until the wait is over. */
enum lt_op_collective { LT_OP_COMM_NONE, LT_OP_COMM_START, LT_OP_COMM_WAIT };

struct lt_attr_spec {
    const char *name; /* NULL ends the table */
    enum lt_attr_kind kind;
    bool required;
    double def;          /* INT, FLOAT */
    const char *def_str; /* STR; INTS: "1,1" (NULL: no elements) */
};

/* One operand of a reference kernel: plain row-major. */
struct lt_operand {
    void *data;
    enum lt_dtype dtype;
    int ndim;
    int64_t dim[LT_DIMS_MAX];
    int64_t count;
};
struct lt_kernel_args {
    const struct lt_node *node; /* for attributes and the name */
    int n_in, n_out;
    const struct lt_operand *in;
    struct lt_operand *out; /* outputs that alias an input have its data pointer */
};

#define LT_OP_VARIADIC 1000

struct lt_op {
    const char *name;
    enum lt_op_class cls;
    enum lt_op_precision precision;
    int min_in, max_in, n_out;
    const struct lt_attr_spec *attrs;
    /* Types of the outputs from those of the inputs (dims may be symbolic). */
    int (*infer)(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in, struct lt_type *out,
                 struct lt_error *err);
    /* Adds nodes that compute din[i] = d loss / d in[i] from dout[o]; LT_NONE where there is none (dout[o] may be
     * LT_NONE, too). NULL: not differentiable. Adding moves arrays: copy what you need of the node first. */
    int (*grad)(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err);
    /* Defines the operator: readable, float64 accumulation. -EDOM with text for bad data (a label out of range). */
    int (*ref)(const struct lt_kernel_args *k, struct lt_error *err);
    /* Multiply-adds count two. NULL: one per output element. */
    int64_t (*flops)(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b);
    /* Bit i of [o]: output o may lie where input i lay (if they have equally many bytes). In an LT_OP_VIEW it means that
     * the output *is* that input's bytes under another shape: plan.h lets both live in one place where it can, and
     * the kernel copies only when it finds two addresses. */
    uint32_t inplace[LT_NODE_OUT_MAX];
    uint32_t shape_only;               /* bit i: of input i only the type is used, never its bytes (which may be gone) */
    int8_t updates[LT_NODE_OUT_MAX];   /* 1 + the input whose new content output o is; 0: none */
    enum lt_op_collective collective;  /* its input (wait) or output (start) is a unit's flat form */
    bool part;                         /* the output lies inside input 0, a flat form: member `index` of its unit */
    bool internal;                     /* made by passes only: no model can name it, and what it reads is trusted */
    bool by_name;                      /* what it computes depends on the node's name (dropout): never merged */
    double tol;                        /* back ends agree with ref within tol * (1 + |ref|) at float32 */
};

static inline bool lt_op_shape_only(const struct lt_op *op, int input)
{
    return input < 32 && (op->shape_only >> input & 1);
}

const struct lt_op *lt_op_find(const char *name); /* NULL: unknown */
extern const struct lt_op *const lt_ops[];        /* NULL-ended (engine/ops/table.c) */

#endif
