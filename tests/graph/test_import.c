/* test_import.c - plans become graphs: names, shapes, programs, and every problem with its path */
#include "tests/graph/plan_text.h"

#include "base/str.h"
#include "engine/graph/import_in.h"
#include "engine/graph/op.h"

#define TAIL                                                                                       \
    "data: {source: {idx: {dir: x}}, batch_size: 32}\n"                                            \
    "step: {loss: cross_entropy, metrics: [accuracy]}\n"                                           \
    "optimizer: adam\n"

static struct lt_graph *import(const char *text, enum lt_program_kind kind, struct lt_buf *problems,
                               struct lt_layer_rows *rows)
{
    struct lt_arena *arena = lt_arena_new(0);
    struct lt_problems p = {0};
    struct lt_graph *g =
        lt_graph_import(plan_parse(arena, text), mnist_fields, 2, kind, 32, &p, rows);

    lt_buf_str(problems, "");
    problems->len = 0;
    problems_print(&p, problems);
    lt_problems_done(&p);
    lt_arena_free(arena);
    return g;
}

static void says(const char *text, const char *want)
{
    LT_BUF_AUTO got = {0};
    struct lt_graph *g = import(text, LT_PROGRAM_STEP, &got, NULL);

    assert_null(g);
    assert_string_equal(got.data, want);
}

static struct lt_graph *sound(const char *text, enum lt_program_kind kind)
{
    LT_BUF_AUTO got = {0};
    struct lt_graph *g = import(text, kind, &got, NULL);

    if (!g)
        fail_msg("%s", got.data);
    assert_int_equal(lt_graph_check(g, NULL), 0);
    return g;
}

static const char cnn[] =
    "model:\n  layers:\n"
    "    - conv2d: {out_channels: 8, kernel_size: 3, padding: 1}\n"
    "    - batch_norm\n"
    "    - relu\n"
    "    - residual: {layers: [{conv2d: {out_channels: 8, kernel_size: [3, 3], "
    "padding: [1, 1], bias: false}}, tanh]}\n"
    "    - repeat: {times: 2, layers: [{conv2d: {out_channels: 8, kernel_size: 1}}, gelu]}\n"
    "    - max_pool2d: {kernel_size: 2}\n"
    "    - global_avg_pool2d\n"
    "    - flatten\n"
    "    - dropout: {p: 0.25}\n"
    "    - linear: {out_features: 10}\n" TAIL;

static void names_are_those_of_nn_sequential(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = sound(cnn, LT_PROGRAM_STEP);
    static const struct {
        const char *name, *type;
        enum lt_value_kind kind;
    } want[] = {
        {"0.weight", "float32[8, 1, 3, 3]", LT_VALUE_PARAM},
        {"0.bias", "float32[8]", LT_VALUE_PARAM},
        {"1.weight", "float32[8]", LT_VALUE_PARAM},
        {"1.bias", "float32[8]", LT_VALUE_PARAM},
        {"1.running_mean", "float32[8]", LT_VALUE_BUFFER},
        {"1.running_var", "float32[8]", LT_VALUE_BUFFER},
        {"1.num_batches_tracked", "int64[]", LT_VALUE_BUFFER},
        {"3.0.weight", "float32[8, 8, 3, 3]", LT_VALUE_PARAM},
        {"4.0.0.weight", "float32[8, 8, 1, 1]", LT_VALUE_PARAM},
        {"4.0.0.bias", "float32[8]", LT_VALUE_PARAM},
        {"4.1.0.weight", "float32[8, 8, 1, 1]", LT_VALUE_PARAM},
        {"4.1.0.bias", "float32[8]", LT_VALUE_PARAM},
        {"9.weight", "float32[10, 8]", LT_VALUE_PARAM},
        {"9.bias", "float32[10]", LT_VALUE_PARAM},
    };
    size_t found = 0;

    for (lt_id v = 0; v < g->n_values; v++) {
        char type[LT_TYPE_TEXT];

        if (!lt_value_persists(g->values[v].kind))
            continue;
        assert_true(found < LT_ARRAY_LEN(want));
        lt_type_print(type, sizeof type, &g->values[v].type);
        assert_string_equal(g->values[v].name, want[found].name);
        assert_string_equal(type, want[found].type);
        assert_int_equal(g->values[v].kind, want[found].kind);
        found++;
    }
    assert_int_equal(found, LT_ARRAY_LEN(want));
    assert_int_equal(lt_graph_find(g, "3.0.bias"), LT_NONE);
}

static void start_values_are_torchs(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = sound(cnn, LT_PROGRAM_STEP);
    struct lt_init conv = g->values[lt_graph_find(g, "3.0.weight")].init;
    struct lt_init bias = g->values[lt_graph_find(g, "9.bias")].init;
    struct lt_init scale = g->values[lt_graph_find(g, "1.weight")].init;
    struct lt_init var = g->values[lt_graph_find(g, "1.running_var")].init;

    assert_int_equal(conv.kind, LT_INIT_UNIFORM);
    assert_true(conv.b > 0.117851 && conv.b < 0.117852 && conv.a == -conv.b); /* 1/sqrt(72) */
    assert_true(bias.b > 0.353553 && bias.b < 0.353554);                      /* 1/sqrt(8) */
    assert_true(scale.kind == LT_INIT_CONSTANT && scale.a == 1);
    assert_true(var.kind == LT_INIT_CONSTANT && var.a == 1);
}

static int count_op(const struct lt_graph *g, const char *name)
{
    int n = 0;

    for (int i = 0; i < g->n_nodes; i++)
        n += !strcmp(g->nodes[i].op->name, name);
    return n;
}

static void programs_behave_as_training_or_evaluation(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *step = sound(cnn, LT_PROGRAM_STEP);
    LT_AUTO(lt_graph_free) struct lt_graph *eval = sound(cnn, LT_PROGRAM_EVAL);
    LT_AUTO(lt_graph_free) struct lt_graph *predict = sound(cnn, LT_PROGRAM_PREDICT);

    assert_int_equal(count_op(step, "batch_norm"), 1);
    assert_int_equal(count_op(step, "dropout"), 1);
    assert_int_not_equal(step->loss, LT_NONE);
    assert_int_equal(count_op(eval, "batch_norm"), 0);
    assert_int_equal(count_op(eval, "batch_norm_eval"), 1);
    assert_int_equal(count_op(eval, "dropout"), 0);
    assert_int_equal(count_op(eval, "cross_entropy"), 1);
    assert_int_equal(eval->loss, LT_NONE);
    assert_int_equal(lt_graph_find(eval, "rng_step"), LT_NONE);
    assert_int_equal(predict->n_outputs, 1);
    assert_string_equal(predict->outputs[0].name, "output");
    assert_int_equal(lt_graph_find(predict, "label"), LT_NONE);
    assert_int_equal(lt_graph_find(predict, "weight"), LT_NONE);
    assert_string_equal(step->outputs[0].name, "loss.sum");
    assert_string_equal(step->outputs[1].name, "loss.weight");
    assert_string_equal(step->outputs[2].name, "acc.sum");
    assert_string_equal(step->outputs[3].name, "acc.weight");
    assert_string_equal(step->outputs[4].name, "output");
}

static void rows_tell_shapes_and_parameters(void **state)
{
    (void)state;
    struct lt_layer_rows rows = {0};
    LT_BUF_AUTO got = {0};
    LT_AUTO(lt_graph_free) struct lt_graph *g = import(cnn, LT_PROGRAM_STEP, &got, &rows);
    LT_BUF_AUTO text = {0};

    assert_non_null(g);
    for (int i = 0; i < rows.len; i++) {
        char type[LT_TYPE_TEXT];

        lt_type_print(type, sizeof type, &rows.items[i].out);
        lt_buf_printf(&text, "%s %s %s %lld\n", rows.items[i].name, rows.items[i].kind, type,
                      (long long)rows.items[i].parameters);
    }
    assert_string_equal(text.data, "0 conv2d float32[n, 8, 28, 28] 80\n"
                                   "1 batch_norm float32[n, 8, 28, 28] 16\n"
                                   "2 relu float32[n, 8, 28, 28] 0\n"
                                   "3.0 conv2d float32[n, 8, 28, 28] 576\n"
                                   "3.1 tanh float32[n, 8, 28, 28] 0\n"
                                   "4.0.0 conv2d float32[n, 8, 28, 28] 72\n"
                                   "4.0.1 gelu float32[n, 8, 28, 28] 0\n"
                                   "4.1.0 conv2d float32[n, 8, 28, 28] 72\n"
                                   "4.1.1 gelu float32[n, 8, 28, 28] 0\n"
                                   "5 max_pool2d float32[n, 8, 14, 14] 0\n"
                                   "6 global_avg_pool2d float32[n, 8, 1, 1] 0\n"
                                   "7 flatten float32[n, 8] 0\n"
                                   "8 dropout float32[n, 8] 0\n"
                                   "9 linear float32[n, 10] 90\n");
    lt_layer_rows_done(&rows);
}

static void a_shape_that_does_not_fit_is_named_with_its_layer(void **state)
{
    (void)state;
    says("model: {layers: [flatten, {linear: {out_features: 5}}, relu, {conv2d: {out_channels: 4, "
         "kernel_size: 3}}]}\n" TAIL,
         "model.layers[3].conv2d: expected 4-d input [n, channels, height, width], got float32[n, "
         "5]; "
         "put `unflatten` before it, or take out the layer that flattens\n");
    says("model: {layers: [flatten, {residual: {layers: [{linear: {out_features: 5}}]}}, {linear: "
         "{out_features: 10}}]}\n" TAIL,
         "model.layers[1].residual: the layers make float32[n, 5] of float32[n, 784], which can't "
         "be "
         "added; its layers must give back the shape they take\n");
}

static void checking_goes_on_behind_a_problem(void **state)
{
    (void)state;
    says("model: {layers: [{linear: {}}, {conv2d: {groups: 3}}, {dropout: {p: 2}}, {repeat: "
         "{times: 1, "
         "layers: [{max_pool2d: {kernel_size: 2, padding: 2}}]}}]}\n"
         "data: {source: {idx: {dir: x}}, batch_size: 32}\n"
         "step: {loss: {cross_entropy: {target: lable}}, metrics: [{accuracy: {target: Label}}]}\n",
         "model.layers[0].linear: out_features is missing; give a number of outputs, such as "
         "out_features: 10\n"
         "model.layers[1].conv2d: out_channels is missing; give a number of channels, such as "
         "out_channels: 16\n"
         "model.layers[1].conv2d: kernel_size is missing; give one value or [height, width], such "
         "as "
         "kernel_size: 3\n"
         "model.layers[2].dropout: p is 2; 0 <= p <= 1\n"
         "model.layers[3].repeat.layers[0].max_pool2d: padding [2, 2] is too much; padding is at "
         "most "
         "half of the kernel\n"
         "step.loss.cross_entropy: target: the data have no field `lable`; label\n"
         "step.metrics[0].accuracy: target: the data have no field `Label`; label\n");
}

static void more_classes_than_outputs_are_refused(void **state)
{
    (void)state;
    says("model: {layers: [flatten, {linear: {out_features: 8}}]}\n"
         "data: {source: {idx: {dir: x}}, batch_size: 32}\nstep: {loss: cross_entropy}\n",
         "step.loss.cross_entropy: `label` has classes 0 … 9, but the model gives float32[n, 8]; "
         "the "
         "last layer needs an output per class\n");
}

static void endless_models_are_refused(void **state)
{
    (void)state;
    LT_BUF_AUTO got = {0};
    struct lt_graph *g =
        import("model: {layers: [flatten, {repeat: {times: 9000, layers: [relu, relu]}}, "
               "{linear: {out_features: 10}}]}\n" TAIL,
               LT_PROGRAM_STEP, &got, NULL);

    assert_null(g);
    assert_non_null(strstr(got.data, "more than 10000 layers"));
    says("model: {layers: [flatten, {linear: {out_features: 9000000000000}}]}\n" TAIL,
         "model.layers[1].linear: a tensor of it would have more than 2^40 elements; \n");
}

static void frozen_parameters_are_buffers(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free)
    struct lt_graph *g = sound(
        "model: {layers: [flatten, {linear: {out_features: 5}}, {linear: {out_features: 10}}], "
        "freeze: ['1.*']}\n" TAIL,
        LT_PROGRAM_STEP);

    assert_int_equal(g->values[lt_graph_find(g, "1.weight")].kind, LT_VALUE_BUFFER);
    assert_int_equal(g->values[lt_graph_find(g, "2.weight")].kind, LT_VALUE_PARAM);
    says("model: {layers: [flatten, {linear: {out_features: 10}}], freeze: ['x*']}\n" TAIL,
         "model.freeze[0]: `x*` matches no parameter; patterns are of names such as 1.weight\n");
}

static void wildcards_are_the_shells(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *s;
        bool want;
    } rows[] = {
        {"*", "", true},
        {"1.*", "1.weight", true},
        {"1.*", "11.weight", false},
        {"*.bias", "3.bias", true},
        {"?.bias", "10.bias", false},
        {"[0-2].*", "1.weight", true},
        {"[!0-2].*", "1.weight", false},
        {"[!0-2].*", "3.weight", true},
        {"a[", "a[", true},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b*", "xxbxxaxx", false},
        {"", "", true},
        {"", "x", false},
        {"[]]x", "]x", true},
    };

    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++)
        if (lt_glob(rows[i].pattern, rows[i].s) != rows[i].want)
            fail_msg("%s against %s", rows[i].pattern, rows[i].s);
}

static const char general[] =
    "model:\n  graph:\n"
    "    inputs: [{name: image, shape: [n, '1', '28', '28']}]\n"
    "    parameters:\n"
    "      - {name: fc.weight, shape: [10, 784], init: {kaiming_uniform: {a: 1}}}\n"
    "      - {name: fc.bias, shape: [10], init: {constant: {value: 0.5}}}\n"
    "    nodes:\n"
    "      - {name: flat, op: reshape, inputs: [image], attributes: {shape: {ints: {values: [0, "
    "784]}}}}\n"
    "      - {name: drop, op: dropout, inputs: [flat], attributes: {p: {f: 0.5}}, outputs: [kept, "
    "mask]}\n"
    "      - {name: fc, op: linear, inputs: [kept, fc.weight, fc.bias], attributes: {act: {s: "
    "relu}}}\n"
    "    outputs: [fc]\n" TAIL;

static void the_general_form_lowers_to_the_same(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *step = sound(general, LT_PROGRAM_STEP);
    LT_AUTO(lt_graph_free) struct lt_graph *eval = sound(general, LT_PROGRAM_EVAL);
    const struct lt_init *bias = &step->values[lt_graph_find(step, "fc.bias")].init;

    assert_int_equal(count_op(step, "dropout"), 1);
    assert_int_equal(count_op(eval, "dropout"), 0);
    assert_true(bias->kind == LT_INIT_CONSTANT && bias->a == 0.5);
    assert_int_equal(step->values[lt_graph_find(step, "fc.weight")].kind, LT_VALUE_PARAM);
}

static void the_general_form_reports_each_problem(void **state)
{
    (void)state;
    says("model:\n  graph:\n"
         "    inputs: [{name: image, shape: [n, '3', '28', '28']}]\n"
         "    parameters: [{name: w, shape: [10, 784]}, {name: idle, shape: [3]}]\n"
         "    nodes:\n"
         "      - {name: flat, op: reshap, inputs: [image]}\n"
         "      - {name: fc, op: linear, inputs: [flat, w], attributes: {akt: {s: relu}}}\n"
         "      - {name: fc2, op: linear, inputs: [image, w]}\n"
         "      - {name: up, op: sgd, inputs: [wx]}\n"
         "      - {name: back, op: max_pool2d_grad, inputs: [image, image, image]}\n"
         "    outputs: [fcc]\n"
         "data: {source: {idx: {dir: x}}, batch_size: 32}\nstep: {loss: cross_entropy}\n",
         "model.graph.inputs[0]: shape: the data give float32[n, 1, 28, 28]; shape must be [n, …] "
         "as the "
         "data give it\n"
         "model.graph.nodes[0]: op: unknown operator `reshap`; reshape\n"
         "model.graph.nodes[1]: attributes.akt: linear has no such attribute; act\n"
         "model.graph.nodes[2]: fc2: linear: input float32[n, 1, 28, 28] does not fit weight "
         "float32[10, 784]; \n"
         "model.graph.nodes[3]: op: sgd belongs to the trainer and can't be in a model; \n"
         "model.graph.nodes[3]: inputs: nothing before it is called `wx`; w\n"
         "model.graph.nodes[4]: op: max_pool2d_grad belongs to the trainer and can't be in a model; \n"
         "model.graph.outputs[0]: nothing is called `fcc`; fc\n"
         "model.graph.parameters[1]: `idle` is used by no node; take it out\n");
}

static void names_that_are_taken_are_refused(void **state)
{
    (void)state;
    says("model: {graph: {inputs: [{name: image}], parameters: [{name: lr, shape: [10, 784]}, "
         "{name: "
         "exp_avg/x, shape: [3]}], nodes: [{name: f, op: reshape, inputs: [image], attributes: "
         "{shape: {ints: {values: [0, 784]}}}}, {name: y, op: linear, inputs: [f, lr]}, {name: z, "
         "op: add, "
         "inputs: [y, exp_avg/x]}], outputs: [z]}}\n"
         "data: {source: {idx: {dir: x}}, batch_size: 32}\n"
         "step: {loss: cross_entropy, metrics: [{accuracy: {}}, {accuracy: {}}]}\n",
         "model.graph.parameters[0]: `lr` is what the trainer calls a value of its own; call it "
         "differently\n"
         "model.graph.parameters[1]: `exp_avg/x` has a `/`; call it differently\n");
    says("model: {layers: [flatten, {linear: {out_features: 10}}]}\n"
         "data: {source: {idx: {dir: x}}, batch_size: 32}\n"
         "step: {loss: cross_entropy, metrics: [{accuracy: {}}, {accuracy: {}}, {accuracy: {name: "
         "loss}}]}\n",
         "step.metrics[1].accuracy: name: `acc` is too long or taken; name: another\n"
         "step.metrics[2].accuracy: name: `loss` is too long or taken; name: another\n");

    static const char *const names[] = {"0.weight", "weight", "lr"};

    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
        struct lt_field fields[] = {{names[i], LT_F32, 1, {4}, 0}, {"label", LT_I64, 0, {0}, 3}};
        struct lt_problems p = {0};

        assert_null(lt_graph_import(
            plan_parse(arena, "model: {layers: [{linear: {out_features: 3}}]}\n" TAIL), fields, 2,
            LT_PROGRAM_STEP, 32, &p, NULL));
        assert_int_equal(p.errors, 1);
        lt_problems_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_nn_sequential),
        cmocka_unit_test(start_values_are_torchs),
        cmocka_unit_test(programs_behave_as_training_or_evaluation),
        cmocka_unit_test(rows_tell_shapes_and_parameters),
        cmocka_unit_test(a_shape_that_does_not_fit_is_named_with_its_layer),
        cmocka_unit_test(checking_goes_on_behind_a_problem),
        cmocka_unit_test(more_classes_than_outputs_are_refused),
        cmocka_unit_test(endless_models_are_refused),
        cmocka_unit_test(frozen_parameters_are_buffers),
        cmocka_unit_test(wildcards_are_the_shells),
        cmocka_unit_test(the_general_form_lowers_to_the_same),
        cmocka_unit_test(the_general_form_reports_each_problem),
        cmocka_unit_test(names_that_are_taken_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
