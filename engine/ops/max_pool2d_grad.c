/* max_pool2d_grad.c - dx of max_pool2d from dy and the index of each greatest element */
#include "base/mem.h"
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in, struct lt_type *out,
                 struct lt_error *err)
{
    (void)g;
    if (!lt_shape_eq(&in[0], &in[1]) || in[1].dtype != LT_I32)
        return lt_refuse(n, err, "dy and the int32 index must have one shape");
    out[0] = in[2];
    return 0;
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *dx = &k->out[0];
    int64_t out_plane = dy->dim[2] * dy->dim[3], in_plane = dx->dim[2] * dx->dim[3];
    double *sums = lt_calloc((size_t)dx->count + 1, sizeof *sums);

    (void)err;
    for (int64_t f = 0; f < dy->count; f++)
        sums[f / out_plane * in_plane + ((const int32_t *)k->in[1].data)[f]] += lt_get(dy, f);
    for (int64_t i = 0; i < dx->count; i++)
        lt_set(dx, i, sums[i]);
    lt_free(sums);
    return 0;
}

const struct lt_op lt_op_max_pool2d_grad = {
    .name = "max_pool2d_grad",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape_only = 4,
    .infer = infer,
    .ref = ref,
    .tol = 1e-6,
};
