/* test_passes.c - what each pass makes of a graph
 *
 * Golden texts of whole compilations lie in golden/; LT_GOLDEN_WRITE=1 writes them anew, for
 * reading the difference.
 */
#include "tests/graph/plan_text.h"

#include <stdlib.h>
#include "engine/graph/edit.h"
#include "engine/graph/op.h"
#include "engine/graph/pass.h"
#include "engine/graph/plan.h"

#define DATA(n) "data: {source: {idx: {dir: x}}, batch_size: " #n "}\n"

static const char mlp[] =
    "model: {layers: [flatten, {linear: {out_features: 128}}, relu, {linear: {out_features: "
    "10}}]}\n" DATA(32) "step: {loss: cross_entropy, metrics: [accuracy]}\n"
                        "optimizer: {adam: {lr: 1.0e-3}}\ntrainer: {gradient_clip_val: 1.0}\n";

static const char cnn[] =
    "model:\n  layers:\n"
    "    - conv2d: {out_channels: 8, kernel_size: 3, padding: 1}\n"
    "    - batch_norm\n"
    "    - relu\n"
    "    - max_pool2d: {kernel_size: 2}\n"
    "    - residual: {layers: [{conv2d: {out_channels: 8, kernel_size: 3, padding: 1}}, relu]}\n"
    "    - global_avg_pool2d\n"
    "    - flatten\n"
    "    - dropout: {p: 0.25}\n"
    "    - linear: {out_features: 10}\n" DATA(
        8) "step: {loss: {cross_entropy: {label_smoothing: 0.1}}, metrics: [accuracy]}\n"
           "optimizer: {sgd: {momentum: 0.9}}\ntrainer: {accumulate_grad_batches: 2}\n";

/* The graph after all passes; dump gets the text after each. ranks: what the session says of them. */
static struct lt_graph *compile_for(const char *text, enum lt_program_kind kind,
                                    struct lt_pass_context ranks, struct lt_buf *dump)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const Lt__V1__TrainingPlan *plan = plan_parse(arena, text);
    struct lt_pass_context c = ranks;
    struct lt_problems p = {0};
    struct lt_error err = {0};
    struct lt_graph *g =
        lt_graph_import(plan, mnist_fields, 2, kind, (int64_t)plan->data->batch_size, &p, NULL);

    c.plan = plan;
    c.update = kind == LT_PROGRAM_STEP;
    c.accumulate = plan->trainer && plan->trainer->accumulate_grad_batches > 1;
    c.reduce_sums = kind == LT_PROGRAM_STEP || kind == LT_PROGRAM_EVAL;
    if (!g)
        fail_msg("%s: %s", p.items[0].path, p.items[0].reason);
    if (lt_passes_run(g, &c, dump, &err) < 0)
        fail_msg("%s", err.text);
    return g;
}

static struct lt_graph *compile(const char *text, enum lt_program_kind kind, struct lt_buf *dump)
{
    return compile_for(text, kind, (struct lt_pass_context){.plan = NULL}, dump);
}

static char *golden_path(const char *name)
{
    const char *root = getenv("LT_SOURCE_ROOT");

    return lt_format("%s/tests/graph/golden/%s.txt", root ? root : ".", name);
}

static void golden(const char *name, const struct lt_buf *got)
{
    LT_AUTO(lt_free) char *path = golden_path(name);
    LT_BUF_AUTO want = {0};
    char chunk[4096];
    size_t n;
    FILE *f = fopen(path, getenv("LT_GOLDEN_WRITE") ? "w+" : "r");

    if (!f)
        fail_msg("%s isn't there", path);
    if (getenv("LT_GOLDEN_WRITE")) {
        fwrite(got->data, 1, got->len, f);
        rewind(f);
    }
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        lt_buf_append(&want, chunk, n);
    fclose(f);
    for (size_t i = 0, line = 1; i < want.len || i < got->len; i++) {
        if (i >= want.len || i >= got->len || want.data[i] != got->data[i])
            fail_msg("%s differs from line %zu on: %.200s", path, line,
                     i < got->len ? got->data + i : "");
        line += want.data[i] == '\n';
    }
}

static void the_mlp_compiles_as_it_did(void **state)
{
    (void)state;
    LT_BUF_AUTO dump = {0};
    LT_AUTO(lt_graph_free) struct lt_graph *step = compile(mlp, LT_PROGRAM_STEP, &dump);

    golden("mlp_step", &dump);
}

static void the_cnn_compiles_as_it_did(void **state)
{
    (void)state;
    static const char *const names[] = {"cnn_micro", "cnn_step", "cnn_eval"};

    for (int kind = 0; kind < 3; kind++) {
        LT_BUF_AUTO text = {0};
        LT_AUTO(lt_graph_free) struct lt_graph *g = compile(cnn, (enum lt_program_kind)kind, NULL);

        lt_graph_print(g, &text);
        golden(names[kind], &text);
    }
}

/* ---- several ranks ---- */

static void ranks_compile_as_they_did(void **state)
{
    static const struct {
        const char *name, *plan;
        enum lt_program_kind kind;
        struct lt_pass_context ranks;
    } cases[] = {
        {"ranks_mlp_step", mlp, LT_PROGRAM_STEP, {.world = 2, .exchange = 3}},
        {"ranks_mlp_eval", mlp, LT_PROGRAM_EVAL, {.world = 2, .exchange = 3}},
        {"ranks_cnn_step", cnn, LT_PROGRAM_STEP, {.world = 2, .sync_batchnorm = true}},
        {"ranks_cnn_micro", cnn, LT_PROGRAM_MICRO, {.world = 2, .sync_batchnorm = true}},
        {"slices_mlp_step", mlp, LT_PROGRAM_STEP, {.world = 2, .slices = 4, .exchange = 3}},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++) {
        LT_BUF_AUTO text = {0};
        LT_AUTO(lt_graph_free)
        struct lt_graph *g = compile_for(cases[i].plan, cases[i].kind, cases[i].ranks, NULL);

        lt_graph_print(g, &text);
        golden(cases[i].name, &text);
    }
}

static size_t no_persistent(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    return 0;
}

/* Which nodes come, directly or not, behind a wait. */
static bool *behind_waits(const struct lt_graph *g)
{
    bool *behind = lt_calloc((size_t)g->n_nodes + 1, sizeof *behind);
    struct lt_deps deps;

    lt_deps_init(&deps, g);
    for (int i = 0; i < g->n_nodes; i++) {
        behind[i] = g->nodes[i].op->collective == LT_OP_COMM_WAIT;
        for (int k = deps.first[i]; k < deps.first[i + 1]; k++)
            behind[i] |= behind[deps.node[k]];
    }
    lt_deps_done(&deps);
    return behind;
}

/* A start stands right behind the last node that it needs, but for other starts. */
static void check_start(const struct lt_graph *g, int start)
{
    int last = -1, others = 0;

    for (int k = 0; k < g->nodes[start].n_in; k++)
        last = LT_MAX(last, g->values[g->nodes[start].in[k]].node);
    for (int i = last + 1; i < start; i++)
        others += g->nodes[i].op->collective != LT_OP_COMM_START;
    if (others)
        fail_msg("%s waits behind %d nodes", g->nodes[start].name, others);
}

static bool is_read_behind(const struct lt_graph *g, lt_id v, int node)
{
    for (int i = node + 1; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == v)
                return true;
    return false;
}

/* Gradients that nobody reads afterwards are computed where they will travel. */
static void check_packed(const struct lt_graph *g, const struct lt_plan *plan, int start)
{
    const struct lt_node *n = &g->nodes[start];
    const struct lt_slot *flat = &plan->slots[n->out[0]];

    for (int k = 0; k < n->n_in; k++) {
        const struct lt_slot *s = &plan->slots[n->in[k]];
        size_t at = lt_unit_offset(g, (int)lt_node_int(n, "unit"), k, &plan->binding,
                                   lt_graph_plain_bytes, NULL);

        if (g->values[n->in[k]].kind == LT_VALUE_NODE && g->values[n->in[k]].alias == LT_NONE &&
            !is_read_behind(g, n->in[k], start))
            assert_int_equal(s->offset, flat->offset + at);
    }
}

/* What is in flight lies where nobody writes until it has landed. */
static void check_flight(const struct lt_graph *g, const struct lt_plan *plan, int start, int wait)
{
    const struct lt_slot *flat = &plan->slots[g->nodes[start].out[0]];

    assert_int_equal(plan->slots[g->nodes[wait].out[0]].offset, flat->offset);
    for (int i = start + 1; i < wait; i++)
        for (int o = 0; o < g->nodes[i].n_out; o++) {
            const struct lt_slot *s = &plan->slots[g->nodes[i].out[o]];

            if (s->region == LT_REGION_ARENA && s->offset < flat->offset + flat->bytes &&
                flat->offset < s->offset + s->bytes)
                fail_msg("%s writes into %s", g->nodes[i].name, g->nodes[start].name);
        }
}

static void collectives_hide_behind_computation(void **state)
{
    static const struct lt_pass_context ranks = {
        .world = 2, .bucket_bytes = 512, .exchange = 2, .sync_batchnorm = true};
    static const struct lt_place_ask plain = {.bytes = lt_graph_plain_bytes,
                                              .persistent = no_persistent};

    (void)state;
    for (int net = 0; net < 2; net++) {
        LT_AUTO(lt_graph_free)
        struct lt_graph *g = compile_for(net ? cnn : mlp, LT_PROGRAM_STEP, ranks, NULL);
        LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
        struct lt_binding b = {{8}};
        int in_flight[64], first = 0, n = 0;
        bool *behind;

        assert_int_equal(lt_graph_order(g, &b, NULL), 0);
        assert_int_equal(lt_graph_check(g, NULL), 0);
        assert_int_equal(lt_plan_place(g, &b, &plain, &plan, NULL), 0);
        behind = behind_waits(g);
        for (int i = 0; i < g->n_nodes; i++) {
            const struct lt_node *node = &g->nodes[i];

            if (node->op->collective == LT_OP_COMM_START) {
                check_start(g, i);
                check_packed(g, plan, i);
                in_flight[n++] = i;
            }
            if (node->op->collective != LT_OP_COMM_WAIT)
                continue;
            assert_true(first < n); /* first started, first waited for */
            assert_int_equal(lt_node_int(node, "unit"),
                             lt_node_int(&g->nodes[in_flight[first]], "unit"));
            check_flight(g, plan, in_flight[first++], i);
            for (int k = i + 1; k < g->n_nodes; k++)
                assert_true(behind[k] || g->nodes[k].op->collective == LT_OP_COMM_START);
        }
        assert_int_equal(first, n);
        assert_true(n >= 4);
        lt_free(behind);
    }
}

/* ---- single passes, on graphs of real operators ---- */

static lt_id add(struct lt_graph *g, const char *op, const lt_id *in, int n,
                 const struct lt_attr *a, int n_attrs)
{
    struct lt_error err = {0};
    int node = lt_graph_add(g, lt_op_find(op), NULL, in, n, a, n_attrs, &err);

    if (node < 0)
        fail_msg("%s", err.text);
    return g->nodes[node].out[0];
}

static lt_id add1(struct lt_graph *g, const char *op, lt_id a)
{
    return add(g, op, &a, 1, NULL, 0);
}

static lt_id add2(struct lt_graph *g, const char *op, lt_id a, lt_id b)
{
    lt_id in[2] = {a, b};

    return add(g, op, in, 2, NULL, 0);
}

static struct lt_graph *graph_with(lt_id *x, lt_id *p)
{
    struct lt_graph *g = lt_graph_new("g");
    struct lt_type t = {.dtype = LT_F32, .ndim = 2, .dim = {{1, 0}, {4, LT_SYM_NONE}}}, w = t;

    lt_graph_sym(g, "n", 8);
    w.dim[0] = lt_dim_num(1);
    *x = lt_graph_value(g, LT_VALUE_INPUT, "x", &t);
    *p = lt_graph_value(g, LT_VALUE_PARAM, "p", &w);
    return g;
}

static const struct lt_pass_context no_context = {0};

static void simplify(struct lt_graph *g)
{
    struct lt_error err = {0};

    if (lt_pass_simplify(g, &no_context, &err) < 0 || lt_graph_check(g, &err) < 0)
        fail_msg("%s", err.text);
}

static void equal_nodes_become_one(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    lt_id a = add1(g, "exp", add1(g, "tanh", x)), b = add1(g, "exp", add1(g, "tanh", x));

    lt_graph_output(g, "y", add2(g, "add", a, b));
    simplify(g);
    assert_int_equal(g->n_nodes, 3);
    assert_int_equal(g->nodes[2].in[0], g->nodes[2].in[1]);
}

static void attributes_and_constants_tell_nodes_apart(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    struct lt_attr how = {.name = "approximate", .kind = LT_ATTR_STR, .s = "tanh"};
    lt_id a = add(g, "gelu", &x, 1, &how, 1), b = add1(g, "gelu", x);
    lt_id c = add2(g, "mul", a, lt_graph_const(g, 2, LT_F32)),
          d = add2(g, "mul", a, lt_graph_const(g, 3, LT_F32));
    lt_id e = add2(g, "mul", a, lt_graph_const(g, 2, LT_F32));

    lt_graph_output(g, "y", add2(g, "add", add2(g, "add", b, c), add2(g, "add", d, e)));
    simplify(g);
    assert_int_equal(g->n_nodes, 7); /* only e went */
}

static void dropouts_stay_two(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    struct lt_type scalar = {.dtype = LT_I64}, each = {.dtype = LT_I64, .ndim = 1, .dim = {{1, 0}}};
    lt_id in[3] = {x, lt_graph_value(g, LT_VALUE_INPUT, "rng_step", &scalar),
                   lt_graph_value(g, LT_VALUE_INPUT, "sample_index", &each)};
    lt_id a = add(g, "dropout", in, 3, NULL, 0), b = add(g, "dropout", in, 3, NULL, 0);

    lt_graph_output(g, "y", add2(g, "add", a, b));
    simplify(g);
    assert_int_equal(g->n_nodes, 3);
}

static void constants_are_computed(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    lt_id six = add2(g, "mul", lt_graph_const(g, 2, LT_F32), lt_graph_const(g, 3, LT_F32));
    lt_id minus = add1(g, "neg", six);

    lt_graph_output(g, "y", add2(g, "add", x, minus));
    simplify(g);
    assert_int_equal(g->n_nodes, 1);
    assert_int_equal(g->values[g->nodes[0].in[1]].kind, LT_VALUE_CONST);
    assert_true(g->values[g->nodes[0].in[1]].constant == -6);
}

static void what_changes_nothing_goes(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    int64_t same[] = {0, 4}, identity[] = {0, 1}, swap[] = {1, 0}, flat[] = {-1};
    struct lt_attr shape = {.name = "shape", .kind = LT_ATTR_INTS, .i = 2, .ints = same};
    struct lt_attr perm = {.name = "perm", .kind = LT_ATTR_INTS, .i = 2, .ints = identity};
    struct lt_attr dtype = {.name = "dtype", .kind = LT_ATTR_STR, .s = "float32"};
    lt_id v = add(g, "cast", &x, 1, &dtype, 1);

    v = add(g, "reshape", &v, 1, &shape, 1);
    v = add(g, "transpose", &v, 1, &perm, 1);
    v = add2(g, "expand", v, x);
    shape.ints = flat;
    shape.i = 1;
    lt_id there = add(g, "reshape", &v, 1, &shape, 1);

    v = add1(g, "tanh", add2(g, "reshape", there, x)); /* there and back */
    perm.ints = swap;
    lt_graph_output(g, "y", add(g, "transpose", &v, 1, &perm, 1));
    simplify(g);
    assert_int_equal(g->n_nodes, 2);
    assert_string_equal(g->nodes[0].op->name, "tanh");
    assert_int_equal(g->nodes[0].in[0], x);
    assert_string_equal(g->nodes[1].op->name, "transpose");
}

static int count_op(const struct lt_graph *g, const char *name)
{
    int n = 0;

    for (int i = 0; i < g->n_nodes; i++)
        n += !g->nodes[i].dead && !strcmp(g->nodes[i].op->name, name);
    return n;
}

static void gradients_of_several_users_are_summed(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    lt_id a = add2(g, "mul", p, p), b = add1(g, "tanh", p);
    struct lt_error err = {0};

    g->loss = add1(g, "reduce_sum", add2(g, "add", a, b));
    assert_int_equal(lt_pass_autodiff(g, &no_context, &err), 0);
    assert_int_equal(g->n_grads, 1);
    assert_int_equal(g->grads[0].param, p);
    assert_true(lt_type_eq(&g->values[g->grads[0].grad].type, &g->values[p].type));
    assert_int_equal(lt_graph_check(g, &err), 0);
    simplify(g);
    assert_int_equal(count_op(g, "tanh_grad"), 1);
}

static void only_what_reaches_a_parameter_is_differentiated(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    lt_id before = add1(g, "tanh", x), y = add2(g, "mul", before, p);
    lt_id aside = add1(g, "sigmoid", p);
    struct lt_error err = {0};

    g->loss = add1(g, "reduce_sum", y);
    lt_graph_output(g, "aside", aside);
    assert_int_equal(lt_pass_autodiff(g, &no_context, &err), 0);
    assert_int_equal(count_op(g, "tanh_grad"), 0);
    assert_int_equal(count_op(g, "sigmoid_grad"), 0);
    simplify(g);
    assert_int_equal(count_op(g, "sum_to"), 1); /* of p alone: x needs none */
}

static void an_activation_moves_into_its_linear(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    lt_id in[2] = {x, p};
    lt_id one = add(g, "linear", in, 2, NULL, 0),
          two = add1(g, "tanh", add(g, "linear", in, 2, NULL, 0));

    lt_graph_output(g, "relu", add1(g, "relu", one));
    lt_graph_output(g, "tanh", two);
    assert_int_equal(lt_pass_fuse(g, &no_context, NULL), 0);
    assert_int_equal(lt_graph_check(g, NULL), 0);
    assert_int_equal(g->n_nodes, 3);
    assert_string_equal(lt_node_str(&g->nodes[0], "act"), "relu");
    assert_int_equal(g->outputs[0].value, one);
    assert_string_equal(lt_node_str(&g->nodes[1], "act"), "");
}

static void an_activation_stays_where_its_input_is_needed(void **state)
{
    (void)state;
    lt_id x, p;
    LT_AUTO(lt_graph_free) struct lt_graph *g = graph_with(&x, &p);
    lt_id in[2] = {x, p};
    lt_id before = add(g, "linear", in, 2, NULL, 0);

    lt_graph_output(g, "y", add1(g, "relu", before));
    lt_graph_output(g, "before", before);
    assert_int_equal(lt_pass_fuse(g, &no_context, NULL), 0);
    assert_int_equal(g->n_nodes, 2);
    assert_string_equal(lt_node_str(&g->nodes[0], "act"), "");
}

static void many_gradients_make_one_norm(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free)
    struct lt_graph *g = compile(
        "model: {layers: [flatten, {repeat: {times: 40, layers: [{linear: {out_features: "
        "10}}]}}]}\n" DATA(
            8) "step: {loss: cross_entropy}\noptimizer: sgd\ntrainer: {gradient_clip_val: 1}\n",
        LT_PROGRAM_STEP, NULL);

    assert_int_equal(count_op(g, "sum_squares"), 2); /* 80 gradients, at most 64 operands */
    assert_int_equal(count_op(g, "sgd"), 80);
    assert_int_equal(count_op(g, "grad_scale"), 1);
}

static void frozen_parameters_get_no_gradient(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free)
    struct lt_graph *g = compile(
        "model: {layers: [flatten, {linear: {out_features: 10}}, relu, {linear: {out_features: "
        "10}}], freeze: ['1.*']}\n" DATA(8) "step: {loss: cross_entropy}\noptimizer: adam\n",
        LT_PROGRAM_STEP, NULL);

    assert_int_equal(count_op(g, "adam"), 2);
    assert_int_equal(count_op(g, "relu_grad"), 0);
    assert_int_equal(lt_graph_find(g, "exp_avg/1.weight"), LT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mlp_compiles_as_it_did),
        cmocka_unit_test(the_cnn_compiles_as_it_did),
        cmocka_unit_test(ranks_compile_as_they_did),
        cmocka_unit_test(collectives_hide_behind_computation),
        cmocka_unit_test(equal_nodes_become_one),
        cmocka_unit_test(attributes_and_constants_tell_nodes_apart),
        cmocka_unit_test(dropouts_stay_two),
        cmocka_unit_test(constants_are_computed),
        cmocka_unit_test(what_changes_nothing_goes),
        cmocka_unit_test(gradients_of_several_users_are_summed),
        cmocka_unit_test(only_what_reaches_a_parameter_is_differentiated),
        cmocka_unit_test(an_activation_moves_into_its_linear),
        cmocka_unit_test(an_activation_stays_where_its_input_is_needed),
        cmocka_unit_test(many_gradients_make_one_norm),
        cmocka_unit_test(frozen_parameters_get_no_gradient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
