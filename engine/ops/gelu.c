/* gelu.c - Gaussian error linear unit (Hendrycks & Gimpel, arXiv:1606.08415)
 *
 * none: x * Phi(x) = x/2 * (1 + erf(x / sqrt 2)); tanh: x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715
 * x^3))).
 */
#include <math.h>
#include <string.h>

#include "engine/ops/util.h"

static double exact(double x)
{
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

static double by_tanh(double x)
{
    return 0.5 * x * (1 + tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)));
}

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    static const char *const words[] = {"none", "tanh", NULL};
    int rc = lt_check_word(n, "approximate", words, err);

    return rc ? rc : lt_infer_same_float(g, n, in, out, err);
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {dout[0], n.in[0]};

    return lt_op_emit(g, &n, "dx", "gelu_grad", in, 2, NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    return lt_ref_unary(k, !strcmp(lt_node_str(k->node, "approximate"), "tanh") ? by_tanh : exact);
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_STR_DEF("approximate", "none"), LT_ATTR_END};

const struct lt_op lt_op_gelu = {
    .name = "gelu",
    .cls = LT_OP_POINTWISE,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .inplace = {1},
    .tol = 2e-6,
};
