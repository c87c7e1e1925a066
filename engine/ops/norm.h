/* norm.h - shared by the normalisations */
#ifndef LT_OPS_NORM_H
#define LT_OPS_NORM_H

#include "engine/ops/util.h"

/* in[first … first+count-1] are [c], of x's dtype, where x is [n, c, …]. */
int lt_norm_check_channels(const struct lt_node *n, const struct lt_type *x,
                           const struct lt_type *in, int first, int count, struct lt_error *err);
/* Sample weights: [n], floating. */
int lt_norm_check_weight(const struct lt_node *n, const struct lt_type *x,
                         const struct lt_type *weight, struct lt_error *err);

/* in[first … first+count-1] are totals of batch_norm_sum: float64 [c + 1]. */
int lt_norm_check_totals(const struct lt_node *n, const struct lt_type *x, const struct lt_type *in,
                         int first, int count, struct lt_error *err);
/* A channel's mean from a total, as x's type holds it; 0 when nothing counts. */
double lt_norm_mean(enum lt_dtype x, const struct lt_operand *total, int64_t channel);
/* batch_norm and batch_norm_batch; `weight`: which input the sample weights are, gamma and beta
 * behind them. */
int lt_batch_norm_grad_emit(struct lt_graph *g, int node, int weight, const lt_id *dout, lt_id *din,
                            struct lt_error *err);
void lt_batch_norm_ref(const struct lt_kernel_args *k, int weight);

/* Walks the elements of one channel of [n, c, …]. */
struct lt_channel {
    const struct lt_operand *x;
    int64_t channel, inner;
    int64_t sample, i; /* where it is */
    int64_t at;        /* flat index */
};
void lt_channel_start(struct lt_channel *c, const struct lt_operand *x, int64_t channel);
bool lt_channel_next(struct lt_channel *c);

#endif
