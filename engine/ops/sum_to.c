/* sum_to.c - sums x over the dimensions that broadcasting repeated, to the shape of `like` (the
 * gradient of broadcasting) */
#include <stdlib.h>

#include "base/mem.h"
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_type pair[2] = {in[0], in[1]};
    int rc;

    pair[1].dtype = in[0].dtype;
    rc = lt_infer_broadcast(g, n, pair, out, err);
    if (!rc && !lt_shape_eq(&out[0], &in[0]))
        return lt_refuse(n, err, "the shape to sum to does not broadcast to the input's");
    out[0] = pair[1];
    return rc;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];
    lt_id in[] = {dout[0], n.in[0]};

    return lt_op_emit(g, &n, "dx", "expand", in, 2, NULL, 0, &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double *sums = lt_calloc((size_t)k->out[0].count + 1, sizeof *sums);

    (void)err;
    for (int64_t i = 0; i < k->in[0].count; i++)
        sums[lt_broadcast_index(&k->out[0], &k->in[0], i)] += lt_get(&k->in[0], i);
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, sums[i]);
    lt_free(sums);
    return 0;
}

const struct lt_op lt_op_sum_to = {
    .name = "sum_to",
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .shape_only = 2,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .tol = 1e-5,
};
