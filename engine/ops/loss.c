/* loss.c - see loss.h */
#include "engine/ops/loss.h"

#include <errno.h>

#include "base/error.h"

const struct lt_attr_spec lt_cross_entropy_attrs[] = {
    LT_ATTR_INT_DEF("ignore_index", -100),
    LT_ATTR_FLOAT_DEF("label_smoothing", 0),
    LT_ATTR_END,
};

int lt_loss_check_batch(const struct lt_node *n, const struct lt_type *x, const struct lt_type *v,
                        const char *what, struct lt_error *err)
{
    char text[128];

    lt_type_print(text, sizeof text, v);
    if (!lt_dtype_is_float(x->dtype))
        return lt_check_float(n, x, "the input", err);
    if (x->ndim < 1 || v->ndim != 1 || !lt_dim_eq(x->dim[0], v->dim[0]))
        return lt_refuse(n, err, "%s must have one element for each sample, got %s", what, text);
    return 0;
}

int lt_loss_check_labels(const struct lt_node *n, const struct lt_type *target,
                         struct lt_error *err)
{
    if (target->dtype == LT_I64 || target->dtype == LT_I32 || target->dtype == LT_U8)
        return 0;
    return lt_refuse(n, err, "the target must hold class numbers, not %s",
                     lt_dtype_names[target->dtype]);
}

void lt_loss_outputs(struct lt_type *out)
{
    out[0] = lt_scalar_type(LT_F64);
    out[1] = lt_scalar_type(LT_F64);
}

int lt_cross_entropy_check(const struct lt_node *n, const struct lt_type *in, int count,
                           struct lt_error *err)
{
    char text[128];
    int rc;

    lt_type_print(text, sizeof text, &in[0]);
    if (lt_check_float(n, &in[0], "logits", err))
        return -EINVAL;
    if (in[0].ndim != 2)
        return lt_refuse(n, err, "expected logits [n, classes], got %s", text);
    rc = lt_loss_check_batch(n, &in[0], &in[1], "the target", err);
    rc = rc ? rc : lt_loss_check_batch(n, &in[0], &in[2], "weight", err);
    rc = rc ? rc : lt_check_float(n, &in[2], "weight", err);
    rc = rc || count < 4 ? rc : lt_check_float(n, &in[3], "class weights", err);
    rc = rc ? rc : lt_loss_check_labels(n, &in[1], err);
    if (!rc && count > 3 && (in[3].ndim != 1 || !lt_dim_eq(in[3].dim[0], in[0].dim[1])))
        return lt_refuse(n, err, "class weights must have one element for each of the %lld classes",
                         (long long)in[0].dim[1].k);
    return rc;
}

int lt_cross_entropy_label(const struct lt_kernel_args *k, const struct lt_operand *in, int64_t i,
                           int64_t *label, struct lt_error *err)
{
    int64_t y = lt_get_int(&in[1], i), classes = in[0].dim[1];

    *label = -1;
    if (lt_get(&in[2], i) == 0 || y == lt_node_int(k->node, "ignore_index"))
        return 0;
    if (y < 0 || y >= classes)
        return lt_error_set(err, -EDOM,
                            "label %lld of sample %lld in the batch is outside 0 … %lld",
                            (long long)y, (long long)i, (long long)classes - 1);
    *label = y;
    return 0;
}
