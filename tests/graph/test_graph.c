/* test_graph.c - building graphs, their text, clones and edits */
#include "tests/graph/toy.h"

#include "base/buf.h"
#include "engine/graph/edit.h"

static struct lt_graph *two_layers(void)
{
    struct lt_graph *g = lt_graph_new("step");
    struct lt_type x = toy_batch(4), w = toy_vector(3);

    lt_graph_sym(g, "n", 32);
    lt_id in = lt_graph_value(g, LT_VALUE_INPUT, "x", &x);
    lt_id p = lt_graph_value(g, LT_VALUE_PARAM, "0.weight", &w);
    lt_id a = toy_1(g, &toy_map, in);
    lt_id up[2] = {p, p};

    up[1] = toy_1(g, &toy_map, p);
    toy_add(g, &toy_update, up, 2);
    lt_graph_output(g, "output", toy_2(g, &toy_apart, a, in));
    return g;
}

static void text_is_as_documented(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = two_layers();
    LT_BUF_AUTO b = {0};

    lt_graph_print(g, &b);
    assert_string_equal(b.data, "graph step (n<=32)\n"
                                "  %0 = input x : float32[n, 4]\n"
                                "  %1 = param 0.weight : float32[3]\n"
                                "  %2 = toy_map(%0) : float32[n, 4]   # toy_map\n"
                                "  %3 = toy_map(%1) : float32[3]   # toy_map\n"
                                "  %4 = toy_update(%1, %3) : float32[3] -> %1   # toy_update\n"
                                "  %5 = toy_apart(%2, %0) {k: 1} : float32[n, 4]   # toy_apart\n"
                                "  output output = %5\n");
    assert_int_equal(lt_graph_check(g, NULL), 0);
}

static void a_clone_has_the_same_text_and_its_own_memory(void **state)
{
    (void)state;
    struct lt_graph *g = two_layers(), *c = lt_graph_clone(g);
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    lt_graph_print(g, &a);
    lt_graph_free(g);
    lt_graph_print(c, &b);
    assert_string_equal(a.data, b.data);
    assert_int_equal(lt_graph_check(c, NULL), 0);
    lt_graph_free(c);
}

static void attributes_are_checked_and_get_defaults(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = two_layers();
    struct lt_attr good[] = {{.name = "f", .kind = LT_ATTR_INT, .i = 2}};
    struct lt_attr bad[][2] = {
        {{.name = "mod", .kind = LT_ATTR_STR, .s = "x"}},
        {{.name = "k", .kind = LT_ATTR_STR, .s = "x"}},
        {{.name = "k", .kind = LT_ATTR_INT, .i = 1}, {.name = "k", .kind = LT_ATTR_INT, .i = 2}}};
    static const char *const texts[] = {"no attribute `mod`", "attribute `k` is an integer",
                                        "attribute `k` is given twice"};
    struct lt_error err;
    lt_id x = 0, both[2] = {0, 0};
    int values = g->n_values, count;
    int node = lt_graph_add(g, &toy_map, "m", &x, 1, good, 1, &err);

    assert_true(node >= 0);
    assert_true(lt_node_float(&g->nodes[node], "f") == 2);
    assert_int_equal(lt_node_int(&g->nodes[node], "k"), 3);
    assert_string_equal(lt_node_str(&g->nodes[node], "mode"), "plain");
    assert_int_equal(lt_node_ints(&g->nodes[node], "sizes", &count)[1], 2);
    assert_int_equal(count, 2);
    values++;
    for (int i = 0; i < 3; i++) {
        assert_true(lt_graph_add(g, &toy_map, "m", &x, 1, bad[i], 1 + (i == 2), &err) < 0);
        assert_non_null(strstr(err.text, texts[i]));
        assert_non_null(strstr(err.text, "m (toy_map)"));
    }
    assert_true(lt_graph_add(g, &toy_apart, "m", both, 2, NULL, 0, &err) < 0);
    assert_non_null(strstr(err.text, "attribute `k` is missing"));
    assert_true(lt_graph_add(g, &toy_pair, "m", both, 1, NULL, 0, &err) < 0);
    assert_non_null(strstr(err.text, "takes 2 inputs, got 1"));
    assert_int_equal(g->n_values, values); /* what failed left nothing */
    assert_int_equal(lt_graph_check(g, NULL), 0);
}

static void updates_without_their_optional_input_have_fewer_outputs(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = lt_graph_new("g");
    struct lt_type t = toy_vector(3);
    lt_id p = lt_graph_value(g, LT_VALUE_PARAM, "p", &t);
    lt_id s = lt_graph_value(g, LT_VALUE_OPTIM, "s", &t);
    lt_id in[3] = {p, p, s};

    in[1] = toy_1(g, &toy_map, p);
    toy_add(g, &toy_update, in, 3);
    assert_int_equal(g->nodes[1].n_out, 2);
    assert_int_equal(g->values[g->nodes[1].out[1]].alias, s);
    assert_int_equal(lt_graph_latest(g, p), g->nodes[1].out[0]);
    in[0] = g->nodes[1].out[0]; /* a second update of the same parameter */
    toy_add(g, &toy_update, in, 2);
    assert_int_equal(g->nodes[2].n_out, 1);
    assert_int_equal(g->values[g->nodes[2].out[0]].alias, p);
    assert_int_equal(lt_graph_check(g, NULL), 0);
}

static void sorting_puts_late_nodes_before_their_users(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = two_layers();
    LT_BUF_AUTO text = {0};
    lt_id late = toy_1(g, &toy_map, 0);

    g->nodes[3].in[1] = late; /* as a pass would */
    assert_true(lt_graph_check(g, NULL) < 0);
    assert_int_equal(lt_graph_sort(g, NULL), 0);
    assert_int_equal(lt_graph_check(g, NULL), 0);
    lt_graph_print(g, &text);
    assert_non_null(strstr(text.data, "%6 = toy_map(%0) : float32[n, 4]   # toy_map\n"
                                      "  %5 = toy_apart(%2, %6)"));
}

static void sorting_puts_readers_before_updates(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = two_layers();

    toy_1(g, &toy_sum, 1); /* reads the parameter behind its update */
    assert_true(lt_graph_check(g, NULL) < 0);
    assert_int_equal(lt_graph_sort(g, NULL), 0);
    assert_int_equal(lt_graph_check(g, NULL), 0);
}

static void sorting_says_when_nodes_wait_for_each_other(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = two_layers();
    struct lt_error err;

    g->nodes[0].in[0] = g->nodes[3].out[0];
    assert_true(lt_graph_sort(g, &err) < 0);
    assert_non_null(strstr(err.text, "wait for each other"));
}

static void sweeping_keeps_outputs_and_updates(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = two_layers();

    toy_1(g, &toy_map, toy_1(g, &toy_map, 0));
    assert_int_equal(lt_graph_sweep(g), 2);
    assert_int_equal(lt_graph_sort(g, NULL), 0);
    assert_int_equal(g->n_nodes, 4);
    assert_int_equal(lt_graph_check(g, NULL), 0);
}

static void symbols_multiply_and_print(void **state)
{
    (void)state;
    struct lt_dim n = {1, 0}, m = {1, 1}, out;
    struct lt_type t = {.dtype = LT_BF16, .ndim = 3};
    struct lt_binding b = {{7, 3}};
    char text[LT_TYPE_TEXT];

    assert_true(lt_dim_mul(n, lt_dim_num(4), &out));
    assert_int_equal(lt_dim_value(out, &b), 28);
    assert_false(lt_dim_mul(n, m, &out));
    assert_false(lt_dim_mul(lt_dim_num(1ll << 40), lt_dim_num(1ll << 40), &out));
    t.dim[0] = (struct lt_dim){4, 0};
    t.dim[1] = m;
    t.dim[2] = lt_dim_num(5);
    lt_type_print(text, sizeof text, &t);
    assert_string_equal(text, "bfloat16[4*n, s1, 5]");
    assert_int_equal(lt_type_count(&t, &b), 28 * 3 * 5);
    assert_int_equal(lt_type_bytes(&t, &b), 28 * 3 * 5 * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_as_documented),
        cmocka_unit_test(a_clone_has_the_same_text_and_its_own_memory),
        cmocka_unit_test(attributes_are_checked_and_get_defaults),
        cmocka_unit_test(updates_without_their_optional_input_have_fewer_outputs),
        cmocka_unit_test(sorting_puts_late_nodes_before_their_users),
        cmocka_unit_test(sorting_puts_readers_before_updates),
        cmocka_unit_test(sorting_says_when_nodes_wait_for_each_other),
        cmocka_unit_test(sweeping_keeps_outputs_and_updates),
        cmocka_unit_test(symbols_multiply_and_print),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
