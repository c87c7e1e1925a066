/* layer_norm_grad.c - dx, dgamma, dbeta of layer_norm from dy, x, mean, rstd, gamma
 *
 * With h = (x - mean) * rstd, d = dy * gamma, over a row of length m: dx = rstd * (d - Σd / m - h *
 * Σ(d h) / m); dgamma = Σ rows dy h, dbeta = Σ rows dy.
 */
#include "base/mem.h"
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int nd = (int)lt_node_int(n, "ndim");

    struct lt_type rows = in[1];
    int rc = lt_check_same(n, &in[1], &in[0], "dy", err);

    (void)g;
    if (!rc && (nd < 1 || nd > in[1].ndim))
        return lt_refuse(n, err, "%d normalised dimensions of a tensor of %d", nd, in[1].ndim);
    if (rc)
        return rc;
    out[0] = in[1];
    out[1] = (struct lt_type){.dtype = in[1].dtype, .ndim = nd};
    for (int d = 0; d < nd; d++)
        out[1].dim[d] = in[1].dim[in[1].ndim - nd + d];
    out[2] = out[1];
    rows.ndim = in[1].ndim - nd;
    rc = lt_check_same(n, &rows, &in[2], "mean", err);
    rc = rc ? rc : lt_check_same(n, &rows, &in[3], "rstd", err);
    return rc || n->n_in < 5 ? rc : lt_check_same(n, &out[1], &in[4], "gamma", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *x = &k->in[1];
    int64_t len = k->out[1].count, rows = len ? x->count / len : 0;
    double *sums = lt_calloc((size_t)(2 * len) + 1, sizeof *sums);

    (void)err;
    for (int64_t r = 0; r < rows; r++) {
        double mean = lt_get(&k->in[2], r), rstd = lt_get(&k->in[3], r), sd = 0, sdh = 0;

        for (int64_t i = 0; i < len; i++) {
            double h = (lt_get(x, r * len + i) - mean) * rstd, g = lt_get(dy, r * len + i);
            double d = k->n_in > 4 ? g * lt_get(&k->in[4], i) : g;

            sums[i] += g * h;
            sums[len + i] += g;
            sd += d;
            sdh += d * h;
        }
        for (int64_t i = 0; i < len; i++) {
            double h = (lt_get(x, r * len + i) - mean) * rstd, g = lt_get(dy, r * len + i);
            double d = k->n_in > 4 ? g * lt_get(&k->in[4], i) : g;

            lt_set(&k->out[0], r * len + i, rstd * (d - sd / (double)len - h * sdh / (double)len));
        }
    }
    for (int64_t i = 0; i < len; i++) {
        lt_set(&k->out[1], i, sums[i]);
        lt_set(&k->out[2], i, sums[len + i]);
    }
    lt_free(sums);
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_INT_DEF("ndim", 1), LT_ATTR_END};

const struct lt_op lt_op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .internal = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 4,
    .max_in = 5,
    .n_out = 3,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
    .tol = 2e-5,
};
