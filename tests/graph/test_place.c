/* test_place.c - no two live values share a byte, and the order of nodes is one in which they can
 * run
 *
 * Random graphs are *played*: each node checks that its inputs still hold what their producers
 * wrote, then writes its outputs' bytes, in the memory that the plan gives them.
 */
#include "tests/graph/toy.h"

#include <stdlib.h>
#include "engine/graph/pass.h"
#include "engine/graph/plan.h"

static size_t plain_bytes(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b)
{
    (void)ctx;
    return lt_type_bytes(&g->values[v].type, b);
}

static size_t by_hand(void *ctx, const char *name)
{
    (void)ctx;
    return !strcmp(name, "p0")      ? 0
           : !strcmp(name, "p1")    ? 8192
           : !strcmp(name, "state") ? 16384
                                    : (size_t)-1;
}

static const struct lt_place_ask ask = {.bytes = plain_bytes, .persistent = by_hand};

struct machine {
    const struct lt_plan *plan;
    unsigned char *arena, persistent[32768], inputs[2][8192];
};

static unsigned char *where(struct machine *m, lt_id v)
{
    const struct lt_slot *s = &m->plan->slots[v];

    switch (s->region) {
    case LT_REGION_ARENA:
        return m->arena + s->offset;
    case LT_REGION_PERSISTENT:
        return m->persistent + s->offset;
    case LT_REGION_INPUT:
        return m->inputs[s->offset];
    default:
        return NULL;
    }
}

/* Views hold what they view, so a value's mark is that of what it is a view of. */
static unsigned char mark_of(const struct lt_graph *g, lt_id v)
{
    while (g->values[v].node >= 0 && g->nodes[g->values[v].node].op->cls == LT_OP_VIEW)
        v = g->nodes[g->values[v].node].in[0];
    return (unsigned char)(1 + v % 251);
}

static bool holds(struct machine *m, lt_id v)
{
    const unsigned char *p = where(m, v);
    unsigned char mark = mark_of(m->plan->graph, v);

    for (size_t i = 0; i < m->plan->slots[v].bytes; i++)
        if (p[i] != mark)
            return false;
    return true;
}

static void fill(struct machine *m, lt_id v)
{
    memset(where(m, v), mark_of(m->plan->graph, v), m->plan->slots[v].bytes);
}

static void play_node(struct machine *m, int i)
{
    const struct lt_node *n = &m->plan->graph->nodes[i];

    for (int k = 0; k < n->n_in; k++)
        if (!lt_op_shape_only(n->op, k) && !holds(m, n->in[k]))
            fail_msg("node %d: input %%%d was overwritten", i, n->in[k]);
    for (int o = 0; o < n->n_out; o++)
        fill(m, n->out[o]);
    for (int o = 0; o < n->n_out; o++)
        if (!holds(m, n->out[o]))
            fail_msg("node %d: its outputs overlap", i);
}

static void play(const struct lt_plan *plan)
{
    const struct lt_graph *g = plan->graph;
    struct machine m = {.plan = plan, .arena = malloc(plan->arena_bytes + 1)};

    for (lt_id v = 0; v < g->n_values; v++)
        if (g->values[v].kind != LT_VALUE_NODE)
            fill(&m, v);
    for (int i = 0; i < g->n_nodes; i++)
        play_node(&m, i);
    for (int i = 0; i < g->n_outputs; i++)
        assert_true(holds(&m, g->outputs[i].value));
    free(m.arena);
}

static void random_graphs_keep_their_values(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        LT_AUTO(lt_graph_free) struct lt_graph *g = toy_graph(seed, 5 + (int)(seed % 60));
        LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
        struct lt_binding b = {{1 + (int64_t)seed % 16}};
        struct lt_error err = {0};

        assert_int_equal(lt_graph_order(g, &b, &err), 0);
        if (lt_graph_check(g, &err) < 0)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        assert_int_equal(lt_plan_place(g, &b, &ask, &plan, &err), 0);
        play(plan);
    }
}

static struct lt_graph *chain(int n, const struct lt_op *op)
{
    struct lt_graph *g = lt_graph_new("chain");
    struct lt_type t = toy_batch(64);

    lt_graph_sym(g, "n", 16);
    lt_id v = lt_graph_value(g, LT_VALUE_INPUT, "x0", &t);

    for (int i = 0; i < n; i++)
        v = toy_1(g, op, v);
    lt_graph_output(g, "y", v);
    return g;
}

static size_t arena_of(const struct lt_graph *g, int64_t n)
{
    LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
    struct lt_binding b = {{n}};

    assert_int_equal(lt_plan_place(g, &b, &ask, &plan, NULL), 0);
    return plan->arena_bytes;
}

static void a_chain_in_place_needs_one_buffer(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = chain(20, &toy_map);

    assert_int_equal(arena_of(g, 16), 16 * 64 * 4);
    assert_int_equal(arena_of(g, 3), 3 * 64 * 4); /* bound by bound */
}

static void views_cost_nothing(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = lt_graph_new("views");
    LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
    struct lt_binding b = {{16}};
    struct lt_type t = toy_batch(64);

    lt_graph_sym(g, "n", 16);
    lt_id x = lt_graph_value(g, LT_VALUE_INPUT, "x0", &t);
    lt_id seen = toy_1(g, &toy_view, x);
    lt_id a = toy_1(g, &toy_map, seen), va = toy_1(g, &toy_view, a);
    lt_id over = toy_1(g, &toy_map, va); /* a is still read below: not in place */

    lt_graph_output(g, "y", toy_2(g, &toy_pair, a, over));
    assert_int_equal(lt_plan_place(g, &b, &ask, &plan, NULL), 0);
    assert_int_equal(plan->slots[seen].region, LT_REGION_INPUT);
    assert_int_equal(plan->slots[va].offset, plan->slots[a].offset);
    assert_int_not_equal(plan->slots[over].offset, plan->slots[a].offset);
    assert_int_equal(plan->arena_bytes, 2 * 16 * 64 * 4);
}

static void updates_lie_where_the_old_content_lay(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = toy_graph(1, 3);
    LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
    struct lt_binding b = {{16}};
    lt_id p = lt_graph_find(g, "p0"), after;

    assert_int_equal(lt_graph_order(g, &b, NULL), 0);
    assert_int_equal(lt_plan_place(g, &b, &ask, &plan, NULL), 0);
    after = lt_graph_latest(g, p);
    assert_int_not_equal(after, p);
    assert_int_equal(plan->slots[after].region, LT_REGION_PERSISTENT);
    assert_int_equal(plan->slots[after].offset, plan->slots[p].offset);
}

static void outputs_are_never_overwritten_nor_shared_with_inputs(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = chain(1, &toy_map);
    LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
    struct lt_binding b = {{16}};
    lt_id y = g->outputs[0].value, late = toy_1(g, &toy_map, y), seen = toy_1(g, &toy_view, 0);

    lt_graph_output(g, "late", late);
    lt_graph_output(g, "seen", seen);
    assert_int_equal(lt_plan_place(g, &b, &ask, &plan, NULL), 0);
    assert_int_not_equal(plan->slots[late].offset, plan->slots[y].offset);
    assert_int_equal(plan->slots[seen].region, LT_REGION_ARENA);
}

static void what_lends_only_its_shape_may_be_gone(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = lt_graph_new("g");
    LT_AUTO(lt_plan_free) struct lt_plan *plan = NULL;
    struct lt_binding b = {{16}};
    struct lt_type t = toy_batch(64);

    lt_graph_sym(g, "n", 16);
    lt_id x = lt_graph_value(g, LT_VALUE_INPUT, "x0", &t);
    lt_id a = toy_1(g, &toy_map, x), c = toy_1(g, &toy_map, a);

    lt_graph_output(g, "y", toy_2(g, &toy_like, c, a));
    assert_int_equal(lt_plan_place(g, &b, &ask, &plan, NULL), 0);
    assert_int_equal(plan->arena_bytes, 16 * 64 * 4);
}

static void an_unknown_persistent_value_is_refused(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = chain(1, &toy_map);
    struct lt_plan *plan = NULL;
    struct lt_binding b = {{16}};
    struct lt_type t = toy_vector(3);
    struct lt_error err;

    lt_graph_value(g, LT_VALUE_PARAM, "unheard", &t);
    assert_true(lt_plan_place(g, &b, &ask, &plan, &err) < 0);
    assert_non_null(strstr(err.text, "unheard"));
    assert_null(plan);
}

/* Two big tensors each reduced to a number: one after the other needs room for one. */
static void ordering_lowers_the_peak(void **state)
{
    (void)state;
    LT_AUTO(lt_graph_free) struct lt_graph *g = lt_graph_new("wide");
    struct lt_type t = toy_batch(64);
    struct lt_binding b = {{16}};
    lt_id big[4];
    size_t before;

    lt_graph_sym(g, "n", 16);
    lt_id x = lt_graph_value(g, LT_VALUE_INPUT, "x0", &t);

    for (int i = 0; i < 4; i++)
        big[i] = toy_1(g, &toy_map, x);
    for (int i = 0; i < 4; i++)
        lt_graph_output(g, "sum", toy_1(g, &toy_sum, big[i]));
    before = arena_of(g, 16);
    assert_int_equal(lt_graph_order(g, &b, NULL), 0);
    assert_int_equal(lt_graph_check(g, NULL), 0);
    assert_true(arena_of(g, 16) < before / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_keep_their_values),
        cmocka_unit_test(a_chain_in_place_needs_one_buffer),
        cmocka_unit_test(views_cost_nothing),
        cmocka_unit_test(updates_lie_where_the_old_content_lay),
        cmocka_unit_test(outputs_are_never_overwritten_nor_shared_with_inputs),
        cmocka_unit_test(what_lends_only_its_shape_may_be_gone),
        cmocka_unit_test(an_unknown_persistent_value_is_refused),
        cmocka_unit_test(ordering_lowers_the_peak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
