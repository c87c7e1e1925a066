/* dropout.c - dropout; the gradient is a pointwise operator */
#include <math.h>
#include <string.h>
#include "base/philox.h"
#include "base/str.h"
#include "engine/cpu/program.h"

static int dropout_build(struct lt_build *b)
{
    struct lt_dropout *a = lt_build_args(b, sizeof *a);
    const struct lt_node *n = b->n;
    double p = lt_node_float(n, "p");
    struct lt_rng rng = lt_rng_make((uint64_t)lt_node_int(n, "seed"), LT_RNG_DROPOUT,
                                    lt_hash64(n->name, strlen(n->name)));
    const struct lt_layout *l = &b->d->layouts[lt_build_layout(b, n->in[0])];
    bool low = lt_build_dtype(b, n->out[0]) == LT_BF16;
    int64_t d[LT_DIMS_MAX];

    lt_build_dims(b, n->in[0], d);
    a->n = d[0];
    a->per = lt_build_count(b, n->in[0]) / LT_MAX(a->n, 1);
    a->key[0] = rng.key[0];
    a->key[1] = rng.key[1];
    a->p = (ceil(p * 0x1p24) *
                   0x1p-24); /* uniforms are multiples of 2^-24: the same comparison, exactly */
    a->scale = p < 1 ? 1 / (1 - p) : 0;
    a->outer = l->kind == LT_LAYOUT_FLAT ? l->c : l->kind == LT_LAYOUT_LAST ? d[1] : 1;
    a->inner = LT_MAX(a->per / LT_MAX(a->outer, 1), 1);
    lt_build_in(b, 0, &a->x);
    lt_build_in(b, 1, &a->step);
    lt_build_in(b, 2, &a->sample);
    lt_build_out(b, 0, &a->y);
    lt_build_out(b, 1, &a->mask);
    lt_build_kernel(b, LT_KERN_dropout_mask, a, a->n, (double)(a->n * a->per) * 1.5);
    lt_build_kernel(b, low ? LT_KERN_dropout_low : LT_KERN_dropout_apply, a, a->n, (double)(a->n * a->per) * 0.2);
    return 0;
}

static bool always(const struct lt_graph *g, const struct lt_node *n)
{
    (void)g, (void)n;
    return true;
}

const struct lt_builder lt_builders_dropout[] = {{.op = "dropout", .build = dropout_build, .low = always}, {0}};
