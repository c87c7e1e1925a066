/* test_check.c - the verifier finds each way in which a graph can be broken */
#include "tests/graph/toy.h"

static struct lt_graph *sound(void)
{
    struct lt_graph *g = lt_graph_new("g");
    struct lt_type x = toy_batch(4), w = toy_vector(3);

    lt_graph_sym(g, "n", 8);
    lt_id in = lt_graph_value(g, LT_VALUE_INPUT, "x", &x); /* %0 */
    lt_id p = lt_graph_value(g, LT_VALUE_PARAM, "p", &w);  /* %1 */
    lt_id c = lt_graph_const(g, 2, LT_F32);                /* %2 */
    lt_id grad = toy_1(g, &toy_map, p);                    /* node 0, %3 */
    lt_id y = toy_1(g, &toy_map, in);                      /* node 1, %4 */

    (void)c;
    toy_2(g, &toy_update, p, grad);                      /* node 2, %5 */
    lt_graph_output(g, "y", toy_2(g, &toy_pair, y, in)); /* node 3, %6 */
    return g;
}

static void swap_order(struct lt_graph *g)
{
    struct lt_node n = g->nodes[1];

    g->nodes[1] = g->nodes[3];
    g->nodes[3] = n;
    g->values[g->nodes[1].out[0]].node = 1;
    g->values[g->nodes[3].out[0]].node = 3;
}
static void reads_unknown(struct lt_graph *g)
{
    g->nodes[3].in[1] = 99;
}
static void reads_dead(struct lt_graph *g)
{
    g->nodes[1].dead = true;
}
static void reads_stale(struct lt_graph *g)
{
    g->nodes[3].in[0] = g->nodes[3].in[1] = 1; /* p, which node 2 has updated */
    g->values[6].type = g->values[1].type;
}
static void wrong_shape(struct lt_graph *g)
{
    g->values[4].type.dim[1].k = 5;
}
static void wrong_dtype(struct lt_graph *g)
{
    g->values[4].type.dtype = LT_F64;
}
static void wrong_producer(struct lt_graph *g)
{
    g->values[4].node = 0;
}
static void wrong_alias(struct lt_graph *g)
{
    g->values[5].alias = LT_NONE;
}
static void alias_elsewhere(struct lt_graph *g)
{
    g->values[4].alias = 1;
}
static void same_name(struct lt_graph *g)
{
    g->values[0].name = "p";
}
static void no_name(struct lt_graph *g)
{
    g->values[1].name = NULL;
}
static void shaped_constant(struct lt_graph *g)
{
    g->values[2].type.ndim = 1;
}
static void symbolic_parameter(struct lt_graph *g)
{
    g->values[1].type.dim[0].sym = 0;
}
static void unknown_symbol(struct lt_graph *g)
{
    g->values[0].type.dim[0].sym = 3;
}
static void few_inputs(struct lt_graph *g)
{
    g->nodes[3].n_in = 1;
}
static void lost_attribute(struct lt_graph *g)
{
    g->nodes[0].n_attrs--;
}
static void renamed_attribute(struct lt_graph *g)
{
    g->nodes[0].attrs[0].name = "q";
}
static void output_nowhere(struct lt_graph *g)
{
    g->outputs[0].value = 77;
}
static void output_overwritten(struct lt_graph *g)
{
    g->outputs[0].value = 1;
}

static const struct {
    void (*break_it)(struct lt_graph *g);
    const char *says;
} ways[] = {
    {swap_order, "before it is computed"},
    {reads_unknown, "is no value"},
    {reads_dead, "before it is computed"},
    {reads_stale, "after it was updated"},
    {wrong_shape, "where the operator gives float32[n, 4]"},
    {wrong_dtype, "where the operator gives float32[n, 4]"},
    {wrong_producer, "isn't its own"},
    {wrong_alias, "alias and operator differ"},
    {alias_elsewhere, "isn't new content"},
    {same_name, "two values are called `p`"},
    {no_name, "has no name"},
    {shaped_constant, "a constant has no dimensions"},
    {symbolic_parameter, "persists but has a symbolic dimension"},
    {unknown_symbol, "dimension 0 isn't valid"},
    {few_inputs, "1 inputs"},
    {lost_attribute, "attributes aren't the operator's"},
    {renamed_attribute, "attributes aren't the operator's"},
    {output_nowhere, "is never computed"},
    {output_overwritten, "is overwritten by an update"},
};

static void a_sound_graph_passes(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = sound();
    struct lt_error err = {0};

    assert_int_equal(lt_graph_check(g, &err), 0);
}

static void each_break_is_found_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(ways); i++) {
        LT_AUTO(lt_graph_free) struct lt_graph *g = sound();
        struct lt_error err = {0};

        ways[i].break_it(g);
        assert_true(lt_graph_check(g, &err) < 0);
        if (!strstr(err.text, ways[i].says))
            fail_msg("way %zu: `%s` doesn't say `%s`", i, err.text, ways[i].says);
    }
}

static void random_graphs_are_sound(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        LT_AUTO(lt_graph_free) struct lt_graph *g = toy_graph(seed, 40);
        struct lt_error err = {0};

        if (lt_graph_check(g, &err) < 0 && !strstr(err.text, "after it was updated"))
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_graph_passes),
        cmocka_unit_test(each_break_is_found_and_named),
        cmocka_unit_test(random_graphs_are_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
