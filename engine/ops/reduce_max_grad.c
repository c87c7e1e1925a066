/* reduce_max_grad.c - dx of reduce_max and reduce_min from dy, x and the extreme y: dy shared
 * evenly among the elements that equal y (torch.amax); nothing equals NaN, which gives nothing */
#include "base/mem.h"
#include "engine/ops/reduce.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    struct lt_type y;
    int rc = lt_infer_reduce(g, n, &in[1], &y, err);

    rc = rc ? rc : lt_check_same(n, &y, &in[0], "dy", err);
    out[0] = in[1];
    return rc ? rc : lt_check_same(n, &y, &in[2], "y", err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *dy = &k->in[0], *x = &k->in[1], *y = &k->in[2];
    double *equal = lt_calloc((size_t)y->count + 1, sizeof *equal);
    unsigned mask;

    (void)err;
    lt_reduce_mask(k->node, x->ndim, &mask, NULL);
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at = lt_reduce_index(x, mask, i);

        equal[at] += lt_get(x, i) == lt_get(y, at);
    }
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at = lt_reduce_index(x, mask, i);

        lt_set(&k->out[0], i, lt_get(x, i) == lt_get(y, at) ? lt_get(dy, at) / equal[at] : 0);
    }
    lt_free(equal);
    return 0;
}

const struct lt_op lt_op_reduce_max_grad = {
    .name = "reduce_max_grad",
    .internal = true,
    .cls = LT_OP_OTHER,
    .precision = LT_PRECISION_KEEP,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .attrs = lt_reduce_attrs,
    .infer = infer,
    .ref = ref,
    .tol = 1e-6,
};
