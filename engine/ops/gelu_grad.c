/* gelu_grad.c - dx of gelu from dy and its input x */
#include <math.h>
#include <string.h>

#include "engine/ops/util.h"

static double exact(double dy, double x)
{
    double cdf = 0.5 * (1 + erf(x * M_SQRT1_2));
    double pdf = exp(-0.5 * x * x) * M_2_SQRTPI * M_SQRT1_2 * 0.5;

    return dy * (cdf + x * pdf);
}

static double by_tanh(double dy, double x)
{
    double c = M_2_SQRTPI * M_SQRT1_2;
    double t = tanh(c * (x + 0.044715 * x * x * x));

    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x));
}

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    static const char *const words[] = {"none", "tanh", NULL};
    int rc = lt_check_word(n, "approximate", words, err);

    return rc ? rc : lt_infer_pair(g, n, in, out, err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_binary(k, !strcmp(lt_node_str(k->node, "approximate"), "tanh") ? by_tanh : exact);
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_STR_DEF("approximate", "none"), LT_ATTR_END};

const struct lt_op lt_op_gelu_grad = {
    .name = "gelu_grad",
    .internal = true,
    .cls = LT_OP_POINTWISE,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .inplace = {3},
    .tol = 4e-6,
};
