/* layer_norm.c - normalisation over the last `ndim` dimensions (Ba et al., arXiv:1607.06450;
 * F.layer_norm)
 *
 * In: x, gamma, beta (shape of those dimensions). Out: y, mean and rstd of each row ([leading
 * dimensions]).
 */
#include <errno.h>
#include <math.h>

#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int64_t nd = lt_node_int(n, "ndim");

    (void)g;
    if (lt_check_float(n, &in[0], "the input", err))
        return -EINVAL;
    if (nd < 1 || nd > in[0].ndim)
        return lt_refuse(n, err, "%lld normalised dimensions of a tensor of %d", (long long)nd,
                         in[0].ndim);
    for (int i = 1; i < n->n_in; i++) {
        bool fits = in[i].ndim == nd && in[i].dtype == in[0].dtype;

        for (int d = 0; fits && d < nd; d++)
            fits = lt_dim_eq(in[i].dim[d], in[0].dim[in[0].ndim - nd + d]);
        if (!fits)
            return lt_refuse(n, err,
                             "input %d must have dtype and shape of the last %lld dimensions", i,
                             (long long)nd);
    }
    out[0] = in[0];
    out[1] = in[0];
    out[1].ndim = (int)(in[0].ndim - nd);
    out[2] = out[1];
    return 0;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {dout[0], n.in[0], n.out[1], n.out[2], n.n_in > 1 ? n.in[1] : LT_NONE}, dx;
    int rc = lt_op_only_first(&n, dout, err), made;

    rc = rc ? rc
            : lt_op_emit(g, &n, "dx", "layer_norm_grad", in, n.n_in > 1 ? 5 : 4, NULL, 0, &dx, err);
    if (rc)
        return rc;
    made = g->values[dx].node;
    din[0] = dx;
    for (int i = 1; i < n.n_in; i++)
        din[i] = g->nodes[made].out[i];
    return 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    int64_t rows = k->out[1].count, len = rows ? x->count / rows : 0;
    double eps = lt_node_float(k->node, "eps");

    (void)err;
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, var = 0, rstd;

        for (int64_t i = 0; i < len; i++)
            mean += lt_get(x, r * len + i) / (double)len;
        for (int64_t i = 0; i < len; i++)
            var += (lt_get(x, r * len + i) - mean) * (lt_get(x, r * len + i) - mean) / (double)len;
        rstd = 1 / sqrt(var + eps);
        lt_set(&k->out[1], r, mean);
        lt_set(&k->out[2], r, rstd);
        for (int64_t i = 0; i < len; i++) {
            double v = (lt_get(x, r * len + i) - mean) * rstd;

            v = k->n_in > 1 ? v * lt_get(&k->in[1], i) : v;
            lt_set(&k->out[0], r * len + i, k->n_in > 2 ? v + lt_get(&k->in[2], i) : v);
        }
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INT_DEF("ndim", 1),
                                            LT_ATTR_FLOAT_DEF("eps", 1e-5), LT_ATTR_END};

const struct lt_op lt_op_layer_norm = {
    .name = "layer_norm",
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 3,
    .n_out = 3,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .tol = 1e-5,
};
