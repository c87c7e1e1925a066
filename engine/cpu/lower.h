/* lower.h - the steps of lowering, and the operators that only this back end has
 *
 * fuse: patterns for which there is one kernel. chains: pointwise operators that follow each other.
 * layouts: where every value lies, with reorders where two nodes disagree.
 */
#ifndef LT_CPU_LOWER_H
#define LT_CPU_LOWER_H

#include "engine/cpu/cpu.h"

extern const struct lt_op lt_cpu_op_reorder; /* (x): the same elements in the output's layout */
extern const struct lt_op
    lt_cpu_op_cross_entropy; /* cross_entropy with dlogits for a constant dloss as third output;
                                dloss is the last input */
extern const struct lt_op lt_cpu_op_max_pool_grad; /* (dy, index, gate): counts where gate > 0 */
extern const struct lt_op
    lt_cpu_op_relu_bias; /* (dy, y): relu_grad and its sums over all but the channels */
extern const struct lt_op
    lt_cpu_op_conv2d_dw_bias; /* conv2d_dw with the bias gradient as second output */

/* Output types of a device's operators are set when nodes are rewritten; asked again, they are what
 * they are. */
int lt_cpu_infer_same(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                      struct lt_type *out, struct lt_error *err);
/* Node becomes (op, in); attributes with the names that op knows are kept. Outputs stay. */
void lt_cpu_rewrite(struct lt_graph *g, int node, const struct lt_op *op, const lt_id *in,
                    int n_in);
/* Output `v` of another node becomes the node's last one. */
void lt_cpu_take_output(struct lt_graph *g, int node, lt_id v);

void lt_cpu_fuse(struct lt_graph *g, const struct lt_binding *b);
void lt_cpu_chains(struct lt_graph *g, const struct lt_binding *b);
void lt_cpu_chains_in_place(struct lt_graph *g); /* after the last change to chains */
void lt_cpu_chain_add(struct lt_graph *g, enum lt_chain_code code, lt_id v, lt_id out);
/* What the device computes otherwise than as bfloat16 (lower_low.c). */
void lt_cpu_low(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b);
int lt_cpu_layouts(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b,
                   struct lt_error *err);

#endif
