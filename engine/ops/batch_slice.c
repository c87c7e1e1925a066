/* batch_slice.c - samples [index * n, (index + 1) * n) of a batch of [slices * n, …] */
#include "engine/ops/util.h"

#include <string.h>

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int64_t slices = lt_node_int(n, "slices"), index = lt_node_int(n, "index");

    (void)g;
    if (in[0].ndim < 1 || slices < 1 || index < 0 || index >= slices || in[0].dim[0].k % slices)
        return lt_refuse(n, err, "the first dimension isn't %lld slices", (long long)slices);
    out[0] = in[0];
    out[0].dim[0].k /= slices;
    return 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    size_t bytes = (size_t)k->out[0].count * lt_dtype_sizes[k->out[0].dtype];

    (void)err;
    memcpy(k->out[0].data,
           (const char *)k->in[0].data + (size_t)lt_node_int(k->node, "index") * bytes, bytes);
    return 0;
}

static const struct lt_attr_spec attrs[] = {{"slices", LT_ATTR_INT, true, 0, NULL},
                                            {"index", LT_ATTR_INT, true, 0, NULL},
                                            LT_ATTR_END};

const struct lt_op lt_op_batch_slice = {
    .name = "batch_slice",
    .internal = true,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
};
