/* loss.h - shared by losses, metrics and their gradients: one value and one weight per sample */
#ifndef LT_OPS_LOSS_H
#define LT_OPS_LOSS_H

#include "engine/ops/util.h"

/* in[first]: [n] of the batch dimension of x; refuses otherwise. */
int lt_loss_check_batch(const struct lt_node *n, const struct lt_type *x, const struct lt_type *v,
                        const char *what, struct lt_error *err);
/* Class numbers: int64, int32 or uint8. */
int lt_loss_check_labels(const struct lt_node *n, const struct lt_type *target,
                         struct lt_error *err);
/* Types of the two outputs: float64[] sum and float64[] weight. */
void lt_loss_outputs(struct lt_type *out);

/* logits [n, c], target int[n], weight [n], optionally class_weight [c], starting at in[0]. */
int lt_cross_entropy_check(const struct lt_node *n, const struct lt_type *in, int count,
                           struct lt_error *err);
extern const struct lt_attr_spec lt_cross_entropy_attrs[]; /* ignore_index, label_smoothing */
/* The label of sample i; -1: ignored (or of weight 0). -EDOM with text when it is out of range. */
int lt_cross_entropy_label(const struct lt_kernel_args *k, const struct lt_operand *in, int64_t i,
                           int64_t *label, struct lt_error *err);

#endif
