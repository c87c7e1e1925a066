/* collective_wait.c - the end of a collective: the same flat form, now complete */
#include "engine/ops/util.h"

#include <string.h>

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    size_t bytes = (size_t)k->in[0].count * lt_dtype_sizes[k->in[0].dtype];

    (void)err;
    if (k->out[0].data != k->in[0].data)
        memcpy(k->out[0].data, k->in[0].data, bytes);
    return 0;
}

static const struct lt_attr_spec attrs[] = {{"unit", LT_ATTR_INT, true, 0, NULL}, LT_ATTR_END};

const struct lt_op lt_op_collective_wait = {
    .name = "collective_wait",
    .cls = LT_OP_VIEW,
    .internal = true,
    .by_name = true,
    .collective = LT_OP_COMM_WAIT,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = lt_infer_same,
    .ref = ref,
    .inplace = {1},
};
