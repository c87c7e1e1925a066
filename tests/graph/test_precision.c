/* test_precision.c - where the precision pass puts casts, and what runs in which type
 *
 * Golden texts lie in golden/; LT_GOLDEN_WRITE=1 writes them anew, for reading the difference.
 */
#include "tests/graph/plan_text.h"

#include <stdlib.h>
#include "engine/graph/edit.h"
#include "engine/graph/op.h"
#include "engine/graph/pass.h"

#define MLP                                                                                        \
    "model: {layers: [flatten, {linear: {out_features: 128}}, relu, {linear: {out_features: "      \
    "10}}]}\ndata: {source: {idx: {dir: x}}, batch_size: 32}\n"                                    \
    "step: {loss: cross_entropy, metrics: [accuracy]}\n"                                           \
    "optimizer: {adam: {lr: 1.0e-3}}\ntrainer: {gradient_clip_val: 1.0, precision: "

#define CNN                                                                                        \
    "model:\n  layers:\n"                                                                          \
    "    - conv2d: {out_channels: 8, kernel_size: 3, padding: 1}\n"                                \
    "    - batch_norm\n"                                                                           \
    "    - relu\n"                                                                                 \
    "    - max_pool2d: {kernel_size: 2}\n"                                                         \
    "    - residual: {layers: [{conv2d: {out_channels: 8, kernel_size: 3, padding: 1}}, relu]}\n"  \
    "    - conv2d: {out_channels: 4, kernel_size: 3}\n"                                            \
    "    - relu\n"                                                                                 \
    "    - dropout: {p: 0.25}\n"                                                                   \
    "    - flatten\n"                                                                              \
    "    - linear: {out_features: 10}\n"                                                           \
    "data: {source: {idx: {dir: x}}, batch_size: 8}\n"                                             \
    "step: {loss: {cross_entropy: {label_smoothing: 0.1}}, metrics: [accuracy]}\n"                 \
    "optimizer: {sgd: {momentum: 0.9}}\ntrainer: {accumulate_grad_batches: 2, precision: "

static struct lt_graph *compile(const char *text, enum lt_program_kind kind)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const Lt__V1__TrainingPlan *plan = plan_parse(arena, text);
    struct lt_pass_context c = {.plan = plan,
                                .update = kind == LT_PROGRAM_STEP,
                                .accumulate =
                                    plan->trainer && plan->trainer->accumulate_grad_batches > 1};
    struct lt_problems p = {0};
    struct lt_error err = {0};
    struct lt_graph *g =
        lt_graph_import(plan, mnist_fields, 2, kind, (int64_t)plan->data->batch_size, &p, NULL);

    if (!g)
        fail_msg("%s: %s", p.items[0].path, p.items[0].reason);
    if (lt_passes_run(g, &c, NULL, &err) < 0 || lt_graph_check(g, &err) < 0)
        fail_msg("%s", err.text);
    return g;
}

static void read_file(const char *path, struct lt_buf *out)
{
    char chunk[4096];
    size_t n;
    FILE *f = fopen(path, "r");

    if (!f)
        fail_msg("%s isn't there", path);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        lt_buf_append(out, chunk, n);
    fclose(f);
}

static void golden(const char *name, const struct lt_graph *g)
{
    const char *root = getenv("LT_SOURCE_ROOT");
    LT_AUTO(lt_free)
    char *path = lt_format("%s/tests/graph/golden/%s.txt", root ? root : ".", name);
    LT_BUF_AUTO want = {0};
    LT_BUF_AUTO got = {0};

    lt_graph_print(g, &got);
    if (getenv("LT_GOLDEN_WRITE")) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fwrite(got.data, 1, got.len, f);
        fclose(f);
    }
    read_file(path, &want);
    assert_string_equal(got.data, want.data);
}

static void plans_compile_as_they_did(void **state)
{
    static const struct {
        const char *golden, *plan;
        enum lt_program_kind kind;
    } rows[] = {{"mlp_step_bf16", MLP "bf16-mixed}\n", LT_PROGRAM_STEP},
                {"cnn_step_bf16", CNN "bf16-mixed}\n", LT_PROGRAM_STEP},
                {"cnn_eval_bf16", CNN "bf16-mixed}\n", LT_PROGRAM_EVAL},
                {"mlp_step_f64", MLP "64-true}\n", LT_PROGRAM_STEP},
                {"cnn_micro_f64", CNN "64-true}\n", LT_PROGRAM_MICRO}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        LT_AUTO(lt_graph_free) struct lt_graph *g = compile(rows[i].plan, rows[i].kind);

        golden(rows[i].golden, g);
    }
}

static void short_words_mean_the_same(void **state)
{
    static const char *const pairs[][2] = {{MLP "bf16}\n", MLP "bf16-mixed}\n"},
                                           {MLP "64}\n", MLP "64-true}\n"},
                                           {MLP "32}\n", MLP "32-true}\n"}};

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        LT_AUTO(lt_graph_free) struct lt_graph *a = compile(pairs[i][0], LT_PROGRAM_STEP);
        LT_AUTO(lt_graph_free) struct lt_graph *b = compile(pairs[i][1], LT_PROGRAM_STEP);
        LT_BUF_AUTO x = {0};
        LT_BUF_AUTO y = {0};

        lt_graph_print(a, &x);
        lt_graph_print(b, &y);
        assert_string_equal(x.data, y.data);
    }
}

/* What holds whatever the net: nothing that lives between runs, and no gradient on its way to an
 * update, is bfloat16; contractions have bfloat16 operands; the others never mix. */
static void rules_hold(const struct lt_graph *g)
{
    for (lt_id v = 0; v < g->n_values; v++)
        if (lt_value_persists(g->values[v].kind))
            assert_int_not_equal(g->values[v].type.dtype, LT_BF16);
    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *n = &g->nodes[i];
        bool low = n->op->precision == LT_PRECISION_LOW,
             keep = n->op->precision == LT_PRECISION_KEEP || n->op->cls == LT_OP_UPDATE;

        for (int k = 0; !n->dead && k < n->n_in; k++) {
            enum lt_dtype t = g->values[n->in[k]].type.dtype;

            if (lt_op_shape_only(n->op, k))
                continue;
            if (low && k < 2 && t != LT_BF16)
                fail_msg("%s takes %s", n->name, lt_dtype_names[t]);
            if (keep && t == LT_BF16)
                fail_msg("%s takes %s", n->name, lt_dtype_names[t]);
        }
    }
    for (int i = 0; i < g->n_outputs; i++)
        assert_int_not_equal(g->values[g->outputs[i].value].type.dtype, LT_BF16);
}

static void mixed_rules_hold_in_every_program(void **state)
{
    (void)state;
    for (int kind = 0; kind < LT_PROGRAM_N; kind++) {
        LT_AUTO(lt_graph_free)
        struct lt_graph *a = compile(MLP "bf16-mixed}\n", (enum lt_program_kind)kind);
        LT_AUTO(lt_graph_free)
        struct lt_graph *b = compile(CNN "bf16-mixed}\n", (enum lt_program_kind)kind);

        rules_hold(a);
        rules_hold(b);
    }
}

static int casts_of(const struct lt_graph *g, const char *name)
{
    lt_id v = lt_graph_find(g, name);
    int n = 0;

    for (int i = 0; i < g->n_nodes; i++)
        n += !g->nodes[i].dead && !strcmp(g->nodes[i].op->name, "cast") && g->nodes[i].in[0] == v;
    return n;
}

static void a_weight_is_cast_once_and_a_bias_never(void **state)
{
    LT_AUTO(lt_graph_free) struct lt_graph *g = compile(CNN "bf16-mixed}\n", LT_PROGRAM_STEP);

    (void)state;
    assert_int_equal(casts_of(g, "0.weight"), 1);
    assert_int_equal(casts_of(g, "4.0.weight"), 1); /* read forward and backward */
    assert_int_equal(casts_of(g, "9.weight"), 1);
    assert_int_equal(casts_of(g, "9.bias"), 0);
    assert_int_equal(casts_of(g, "1.weight"), 0); /* batch norm's */
}

static lt_id output_of(const struct lt_graph *g, const char *name)
{
    for (int i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name))
            return g->outputs[i].value;
    return LT_NONE;
}

static void in_64_true_only_inputs_and_output_are_float32(void **state)
{
    LT_AUTO(lt_graph_free) struct lt_graph *g = compile(CNN "64-true}\n", LT_PROGRAM_STEP);

    (void)state;
    for (int i = 0; i < g->n_nodes; i++)
        for (int o = 0; !g->nodes[i].dead && o < g->nodes[i].n_out; o++)
            if (g->values[g->nodes[i].out[o]].type.dtype == LT_F32)
                assert_int_equal(g->nodes[i].out[o], output_of(g, "output"));
    for (lt_id v = 0; v < g->n_values; v++)
        if (lt_value_persists(g->values[v].kind))
            assert_int_not_equal(g->values[v].type.dtype, LT_F32);
    assert_int_equal(g->values[lt_graph_find(g, "image")].type.dtype, LT_F32);
}

/* ---- single rules, on a graph of one's own */

static lt_id add(struct lt_graph *g, const char *op, const lt_id *in, int n)
{
    struct lt_error err = {0};
    int node = lt_graph_add(g, lt_op_find(op), NULL, in, n, NULL, 0, &err);

    if (node < 0)
        fail_msg("%s", err.text);
    return g->nodes[node].out[0];
}

static void mix(struct lt_graph *g)
{
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;
    Lt__V1__Trainer trainer = LT__V1__TRAINER__INIT;
    struct lt_pass_context c = {.plan = &plan};
    struct lt_error err = {0};

    plan.trainer = &trainer;
    trainer.precision = (char *)(uintptr_t)"bf16-mixed";
    if (lt_pass_precision(g, &c, &err) < 0 || lt_graph_check(g, &err) < 0)
        fail_msg("%s", err.text);
}

static void what_follows_does_so(void **state)
{
    LT_AUTO(lt_graph_free) struct lt_graph *g = lt_graph_new("g");
    struct lt_type t = {.dtype = LT_F32, .ndim = 2, .dim = {{4, LT_SYM_NONE}, {4, LT_SYM_NONE}}};
    lt_id x = lt_graph_value(g, LT_VALUE_INPUT, "x", &t), w = lt_graph_value(g, LT_VALUE_PARAM, "w", &t);
    lt_id h = add(g, "linear", (lt_id[]){x, w}, 2);
    lt_id scaled = add(g, "mul", (lt_id[]){h, lt_graph_const(g, 0.5, LT_F32)}, 2);
    lt_id with_input = add(g, "add", (lt_id[]){scaled, x}, 2);
    lt_id top = add(g, "linear", (lt_id[]){scaled, w}, 2);
    lt_id kept = add(g, "softmax", &top, 1);
    const struct lt_node *n;

    (void)state;
    lt_graph_output(g, "a", add(g, "linear", (lt_id[]){with_input, w}, 2));
    lt_graph_output(g, "b", kept);
    mix(g);
    assert_int_equal(g->values[h].type.dtype, LT_BF16);
    assert_int_equal(g->values[scaled].type.dtype, LT_BF16); /* a number doesn't make it float32 */
    assert_int_equal(g->values[with_input].type.dtype, LT_F32); /* a tensor does */
    assert_int_equal(g->values[top].type.dtype, LT_F32); /* only softmax reads it: not rounded */
    n = &g->nodes[g->values[top].node];
    assert_string_equal(lt_node_str(n, "dtype"), "float32");
    assert_int_equal(g->values[n->in[1]].type.dtype, LT_BF16);
    assert_int_equal(casts_of(g, "w"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_compile_as_they_did),
        cmocka_unit_test(short_words_mean_the_same),
        cmocka_unit_test(mixed_rules_hold_in_every_program),
        cmocka_unit_test(a_weight_is_cast_once_and_a_bias_never),
        cmocka_unit_test(in_64_true_only_inputs_and_output_are_float32),
        cmocka_unit_test(what_follows_does_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
