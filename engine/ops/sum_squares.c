/* sum_squares.c - Σ of the squares of all elements of all inputs, float64: for the global gradient
 * norm */
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g, (void)n, (void)in, (void)err;
    out[0] = lt_scalar_type(LT_F64);
    return 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    double sum = 0;

    (void)err;
    for (int t = 0; t < k->n_in; t++)
        for (int64_t i = 0; i < k->in[t].count; i++)
            sum += lt_get(&k->in[t], i) * lt_get(&k->in[t], i);
    lt_set(&k->out[0], 0, sum);
    return 0;
}

static int64_t flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    int64_t sum = 0;

    for (int i = 0; i < n->n_in; i++)
        sum += 2 * lt_type_count(&g->values[n->in[i]].type, b);
    return sum;
}

const struct lt_op lt_op_sum_squares = {
    .name = "sum_squares",
    .internal = true,
    .cls = LT_OP_REDUCTION,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = LT_OP_VARIADIC,
    .n_out = 1,
    .infer = infer,
    .ref = ref,
    .flops = flops,
    .tol = 1e-6,
};
