/* accumulate.c - acc += g, in place: gradients and sums of an open accumulation window */
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = in[0];
    return lt_type_eq(&in[0], &in[1])
               ? 0
               : lt_refuse(n, err, "accumulator and addend must be of one type");
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, lt_get(&k->in[0], i) + lt_get(&k->in[1], i));
    return 0;
}

const struct lt_op lt_op_accumulate = {
    .name = "accumulate",
    .cls = LT_OP_UPDATE,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .infer = infer,
    .ref = ref,
    .updates = {1},
    .tol = 1e-6,
};
