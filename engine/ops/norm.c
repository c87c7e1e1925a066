/* norm.c - see norm.h */
#include <errno.h>

#include "engine/ops/norm.h"

int lt_norm_check_channels(const struct lt_node *n, const struct lt_type *x,
                           const struct lt_type *in, int first, int count, struct lt_error *err)
{
    char text[128];

    lt_type_print(text, sizeof text, x);
    if (lt_check_float(n, x, "the input", err))
        return -EINVAL;
    if (x->ndim < 2 || x->dim[1].sym != LT_SYM_NONE)
        return lt_refuse(n, err, "expected [n, c, …], got %s", text);
    for (int i = first; i < first + count; i++)
        if (in[i].ndim != 1 || in[i].dtype != x->dtype || !lt_dim_eq(in[i].dim[0], x->dim[1]))
            return lt_refuse(
                n, err,
                "input %d must have one element for each of the %lld channels of %s, of its dtype",
                i, (long long)x->dim[1].k, text);
    return 0;
}

int lt_norm_check_weight(const struct lt_node *n, const struct lt_type *x,
                         const struct lt_type *weight, struct lt_error *err)
{
    char text[LT_TYPE_TEXT];

    lt_type_print(text, sizeof text, weight);
    if (weight->ndim != 1 || !lt_dtype_is_float(weight->dtype) ||
        !lt_dim_eq(weight->dim[0], x->dim[0]))
        return lt_refuse(n, err, "weight must be one number for each sample, not %s", text);
    return 0;
}

void lt_channel_start(struct lt_channel *c, const struct lt_operand *x, int64_t channel)
{
    *c = (struct lt_channel){.x = x, .channel = channel, .inner = 1, .i = -1};
    for (int d = 2; d < x->ndim; d++)
        c->inner *= x->dim[d];
}

bool lt_channel_next(struct lt_channel *c)
{
    if (++c->i >= c->inner) {
        c->i = 0;
        c->sample++;
    }
    c->at = (c->sample * c->x->dim[1] + c->channel) * c->inner + c->i;
    return c->sample < c->x->dim[0] && c->inner > 0;
}

int lt_norm_check_totals(const struct lt_node *n, const struct lt_type *x, const struct lt_type *in,
                         int first, int count, struct lt_error *err)
{
    for (int i = first; i < first + count; i++)
        if (x->ndim < 2 || in[i].dtype != LT_F64 || in[i].ndim != 1 ||
            in[i].dim[0].k != x->dim[1].k + 1)
            return lt_refuse(n, err, "input %d isn't float64 [c + 1]", i);
    return 0;
}

double lt_norm_mean(enum lt_dtype x, const struct lt_operand *total, int64_t channel)
{
    double n = lt_get(total, total->count - 1), mean = n > 0 ? lt_get(total, channel) / n : 0;

    return x == LT_F32 ? (double)(float)mean : mean;
}
