/* dropout.c - zeroes each element with probability p, scales the rest by 1 / (1 - p) (F.dropout);
 * p = 1 zeroes everything
 *
 * In: x [n, …], rng_step int64[], sample_index int64[n]. Out: y, mask uint8 (1: kept). Element e of
 * the sample with global index s is kept iff uniform(key(seed, DROPOUT, hash of the node's name), a
 * = rng_step, b = s, e) >= p: neither batch size, rank nor thread changes what is dropped
 * (base/philox.h).
 */
#include <errno.h>
#include <string.h>

#include "base/philox.h"
#include "base/str.h"
#include "engine/ops/util.h"

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    double p = lt_node_float(n, "p");

    (void)g;
    if (lt_check_float(n, &in[0], "the input", err))
        return -EINVAL;
    if (!(p >= 0 && p <= 1))
        return lt_refuse(n, err, "p is %g; 0 <= p <= 1", p);
    if (in[0].ndim < 1 || in[2].ndim != 1 || !lt_dim_eq(in[0].dim[0], in[2].dim[0]))
        return lt_refuse(n, err, "sample_index must have one element for each sample");
    if (in[1].ndim != 0 || in[1].dtype != LT_I64 || in[2].dtype != LT_I64)
        return lt_refuse(n, err, "rng_step must be an int64 scalar, sample_index int64");
    out[0] = in[0];
    out[1] = in[0];
    out[1].dtype = LT_U8;
    return 0;
}

static int grad(struct lt_graph *g, int node, const lt_id *dout, lt_id *din, struct lt_error *err)
{
    struct lt_node n = g->nodes[node];

    return lt_op_emit(g, &n, "dx", "dropout_grad", (lt_id[]){dout[0], n.out[1]}, 2, NULL, 0,
                      &din[0], err);
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    const struct lt_operand *x = &k->in[0];
    double p = lt_node_float(k->node, "p");
    const char *name = k->node->name ? k->node->name : "";
    struct lt_rng rng = lt_rng_make((uint64_t)lt_node_int(k->node, "seed"), LT_RNG_DROPOUT,
                                    lt_hash64(name, strlen(name)));
    uint64_t step = (uint64_t)lt_get_int(&k->in[1], 0);
    int64_t per_sample = x->dim[0] ? x->count / x->dim[0] : 0;

    (void)err;
    for (int64_t i = 0; i < x->count; i++) {
        uint64_t sample = (uint64_t)lt_get_int(&k->in[2], i / per_sample);
        bool kept = (double)lt_rng_uniform(&rng, step, sample, (uint32_t)(i % per_sample)) >= p;

        lt_set(&k->out[1], i, kept);
        lt_set(&k->out[0], i, kept ? lt_get(x, i) / (1 - p) : 0);
    }
    return 0;
}

static const struct lt_attr_spec attrs[] = {LT_ATTR_FLOAT_DEF("p", 0.5), LT_ATTR_INT_DEF("seed", 0),
                                            LT_ATTR_END};

const struct lt_op lt_op_dropout = {
    .name = "dropout",
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .inplace = {1},
    .by_name = true,
    .tol = 1e-6,
};
