/* toy.h - operators without mathematics, and random graphs of them, for tests of structure */
#ifndef LT_TESTS_GRAPH_TOY_H
#define LT_TESTS_GRAPH_TOY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/op.h"

static int toy_same(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                    struct lt_type *out, struct lt_error *err)
{
    (void)g;
    for (int i = 1; i < n->n_in; i++)
        if (!lt_type_eq(&in[0], &in[i]))
            return lt_error_set(err, -22, "the shapes differ");
    for (int o = 0; o < n->n_out; o++)
        out[o] = in[0];
    return 0;
}

static int toy_sum_infer(const struct lt_graph *g, const struct lt_node *n,
                         const struct lt_type *in, struct lt_type *out, struct lt_error *err)
{
    (void)g, (void)n, (void)err;
    out[0] = (struct lt_type){.dtype = in[0].dtype};
    return 0;
}

static int toy_update_infer(const struct lt_graph *g, const struct lt_node *n,
                            const struct lt_type *in, struct lt_type *out, struct lt_error *err)
{
    (void)g, (void)err;
    out[0] = in[0];
    if (n->n_in > 2)
        out[1] = in[2];
    return 0;
}

static const struct lt_attr_spec toy_attrs[] = {
    {"k", LT_ATTR_INT, false, 3, NULL},       {"f", LT_ATTR_FLOAT, false, 0.5, NULL},
    {"mode", LT_ATTR_STR, false, 0, "plain"}, {"sizes", LT_ATTR_INTS, false, 0, "1,2"},
    {NULL, LT_ATTR_INT, false, 0, NULL},
};
static const struct lt_attr_spec toy_required[] = {{"k", LT_ATTR_INT, true, 0, NULL},
                                                   {NULL, LT_ATTR_INT, false, 0, NULL}};

static const struct lt_op toy_map = {.name = "toy_map",
                                     .cls = LT_OP_POINTWISE,
                                     .min_in = 1,
                                     .max_in = 1,
                                     .n_out = 1,
                                     .attrs = toy_attrs,
                                     .infer = toy_same,
                                     .inplace = {1}};
static const struct lt_op toy_pair = {.name = "toy_pair",
                                      .cls = LT_OP_POINTWISE,
                                      .min_in = 2,
                                      .max_in = 2,
                                      .n_out = 1,
                                      .infer = toy_same,
                                      .inplace = {3}};
static const struct lt_op toy_apart = {/* reads all of both before it could write */
                                       .name = "toy_apart", .cls = LT_OP_CONTRACTION,
                                       .min_in = 2,         .max_in = 2,
                                       .n_out = 1,          .attrs = toy_required,
                                       .infer = toy_same};
static const struct lt_op toy_split = {.name = "toy_split",
                                       .cls = LT_OP_OTHER,
                                       .min_in = 1,
                                       .max_in = 1,
                                       .n_out = 2,
                                       .infer = toy_same,
                                       .inplace = {1, 1}};
static const struct lt_op toy_view = {.name = "toy_view",
                                      .cls = LT_OP_VIEW,
                                      .min_in = 1,
                                      .max_in = 1,
                                      .n_out = 1,
                                      .infer = toy_same,
                                      .inplace = {1}};
static const struct lt_op toy_like = {/* like toy_map, with another value's shape */
                                      .name = "toy_like", .cls = LT_OP_OTHER, .min_in = 2,
                                      .max_in = 2,        .n_out = 1,         .infer = toy_same,
                                      .inplace = {1},     .shape_only = 2};
static const struct lt_op toy_sum = {.name = "toy_sum",
                                     .cls = LT_OP_REDUCTION,
                                     .min_in = 1,
                                     .max_in = 1,
                                     .n_out = 1,
                                     .infer = toy_sum_infer};
static const struct lt_op toy_update = {.name = "toy_update",
                                        .cls = LT_OP_UPDATE,
                                        .min_in = 2,
                                        .max_in = 3,
                                        .n_out = 2,
                                        .infer = toy_update_infer,
                                        .updates = {1, 3}};

static inline lt_id toy_add(struct lt_graph *g, const struct lt_op *op, const lt_id *in, int n)
{
    struct lt_attr k = {.name = "k", .kind = LT_ATTR_INT, .i = 1};
    struct lt_error err = {0};
    int node = lt_graph_add(g, op, NULL, in, n, &k, op == &toy_apart, &err);

    if (node < 0)
        fail_msg("%s", err.text);
    return g->nodes[node].out[0];
}
static inline lt_id toy_1(struct lt_graph *g, const struct lt_op *op, lt_id a)
{
    return toy_add(g, op, &a, 1);
}
static inline lt_id toy_2(struct lt_graph *g, const struct lt_op *op, lt_id a, lt_id b)
{
    lt_id in[2] = {a, b};

    return toy_add(g, op, in, 2);
}

/* float32[n, k]; k 0: float32[n] */
static inline struct lt_type toy_batch(int64_t k)
{
    struct lt_type t = {.dtype = LT_F32, .ndim = k ? 2 : 1};

    t.dim[0] = (struct lt_dim){1, 0};
    t.dim[1] = lt_dim_num(k);
    return t;
}
static inline struct lt_type toy_vector(int64_t k)
{
    struct lt_type t = {.dtype = LT_F32, .ndim = 1};

    t.dim[0] = lt_dim_num(k);
    return t;
}

static inline unsigned toy_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(*state >> 33);
}

/* A random program: two inputs of two widths, parameters that are read and then updated, some
 * outputs. */
static inline struct lt_graph *toy_graph(uint64_t seed, int n_nodes)
{
    static const struct lt_op *const unary[] = {&toy_map, &toy_split, &toy_view, &toy_map};
    static const struct lt_op *const binary[] = {&toy_pair, &toy_apart, &toy_like};
    struct lt_graph *g = lt_graph_new("random");
    lt_id pool[2][64], params[2], state;
    int n_pool[2] = {0, 0};
    uint64_t r = seed * 2654435761u + 1;

    lt_graph_sym(g, "n", 16);
    for (int w = 0; w < 2; w++) {
        struct lt_type t = toy_batch(w ? 5 : 64);

        params[w] = lt_graph_value(g, LT_VALUE_INPUT, w ? "x1" : "x0", &t);
        pool[w][n_pool[w]++] = params[w];
        t.dim[0] = lt_dim_num(16); /* parameters have no symbols: as wide as the bound */
        params[w] = lt_graph_value(g, LT_VALUE_PARAM, w ? "p1" : "p0", &t);
    }
    struct lt_type s = lt_graph_find(g, "p0") >= 0 ? g->values[params[0]].type : toy_vector(1);

    state = lt_graph_value(g, LT_VALUE_OPTIM, "state", &s);
    lt_id read = toy_1(g, &toy_map, params[0]), view = toy_1(g, &toy_view, params[0]);
    lt_id grad = toy_2(g, &toy_pair, read, view);

    for (int i = 0; i < n_nodes; i++) {
        int w = (int)(toy_random(&r) % 2);
        lt_id a = pool[w][toy_random(&r) % (unsigned)n_pool[w]];
        lt_id b = pool[w][toy_random(&r) % (unsigned)n_pool[w]];
        lt_id made = toy_random(&r) % 2 ? toy_1(g, unary[toy_random(&r) % 4], a)
                                        : toy_2(g, binary[toy_random(&r) % 3], a, b);

        pool[w][n_pool[w] < 64 ? n_pool[w]++ : (int)(toy_random(&r) % 64)] = made;
        if (toy_random(&r) % 8 == 0)
            lt_graph_output(g, "out", made);
    }
    lt_id up[3] = {params[0], grad, state};

    toy_add(g, &toy_update, up, 3);
    toy_1(g, &toy_sum, params[1]);
    return g;
}

#endif
