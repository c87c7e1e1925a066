/* zero.c - an accumulator set to 0, in place */
#include "engine/ops/util.h"

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, 0);
    return 0;
}

const struct lt_op lt_op_zero = {
    .name = "zero",
    .cls = LT_OP_UPDATE,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .infer = lt_infer_same,
    .ref = ref,
    .updates = {1},
};
