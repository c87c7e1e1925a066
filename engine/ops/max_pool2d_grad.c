/* max_pool2d_grad.c - dx of max_pool2d from dy and the index of each greatest element */
#include <errno.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/ops/window.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_type index = in[0];
    int rc = lt_window_check_input(n, &in[2], err);

    rc = rc ? rc : lt_check_float(n, &in[2], "the input", err);
    (void)g;
    index.dtype = LT_I32;
    out[0] = in[2]; /* which only lends its shape */
    out[0].dtype = in[0].dtype;
    rc = rc ? rc : lt_check_float(n, &in[0], "dy", err);
    if (!rc && (in[0].ndim != 4 || !lt_dim_eq(in[0].dim[0], in[2].dim[0]) ||
                !lt_dim_eq(in[0].dim[1], in[2].dim[1])))
        return lt_refuse(n, err, "dy must have samples and channels of the input");
    return rc ? rc : lt_check_same(n, &index, &in[1], "the index", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *dx = &k->out[0];
    int64_t out_plane = dy->dim[2] * dy->dim[3], in_plane = dx->dim[2] * dx->dim[3];
    double *sums = lt_calloc((size_t)dx->count + 1, sizeof *sums);
    int rc = 0;

    for (int64_t f = 0; f < dy->count && !rc; f++) {
        int64_t at = ((const int32_t *)k->in[1].data)[f];

        if (at < 0 || at >= in_plane)
            rc = lt_error_set(err, -EDOM, "index %lld is outside a plane of %lld", (long long)at,
                              (long long)in_plane);
        else
            sums[f / out_plane * in_plane + at] += lt_get(dy, f);
    }
    for (int64_t i = 0; i < dx->count && !rc; i++)
        lt_set(dx, i, sums[i]);
    lt_free(sums);
    return rc;
}

const struct lt_op lt_op_max_pool2d_grad = {
    .name = "max_pool2d_grad",
    .internal = true,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .shape_only = 4,
    .infer = infer,
    .ref = ref,
    .tol = 1e-6,
};
