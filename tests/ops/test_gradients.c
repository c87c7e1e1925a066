/* test_gradients.c - every gradient rule against central differences in float64
 *
 * The sample's operator, then a weighted sum of its first output; the autodiff pass makes the
 * gradient's nodes, the reference kernels compute them. One test per operator that has a rule.
 */
#include "tests/ops/kit.h"
#include "tests/ops/samples.h"

#include <math.h>

#include "engine/graph/pass.h"
#include "engine/ops/util.h"

#define STEP 1e-5
#define TOLERANCE                                                                                  \
    2e-7 /* differences of step 1e-5: truncation 1e-10, rounding 1e-11, times what a sum of some   \
            hundred does */

struct check {
    const struct sample *s;
    struct kit_spec in[KIT_IN_MAX];
    int n_in;
    struct lt_graph *g;
    struct lt_binding binding;
    lt_id ids[KIT_IN_MAX], weights, loss;
};

static lt_id add_node(struct check *c, const char *op, const lt_id *in, int n_in,
                      const struct lt_attr *attrs, int n)
{
    struct lt_error err = {0};
    int node = lt_graph_add(c->g, lt_op_find(op), op, in, n_in, attrs, n, &err);

    if (node < 0)
        fail_msg("%s %s: %s", c->s->op, c->s->in, err.text);
    return c->g->nodes[node].out[0];
}

static void build(struct check *c)
{
    struct kit_attrs attrs;
    struct lt_error err = {0};
    struct lt_type t;
    lt_id y[2];

    for (int i = 0; i < c->n_in; i++) /* all in double */
        c->in[i].type.dtype = c->in[i].type.dtype == LT_F32 ? LT_F64 : c->in[i].type.dtype;
    kit_attrs_read(c->s->attrs, lt_op_find(c->s->op), &attrs);
    c->g = kit_graph();
    kit_inputs(c->g, lt_op_find(c->s->op), c->in, c->n_in, true, c->ids);
    y[0] = add_node(c, c->s->op, c->ids, c->n_in, attrs.attr, attrs.n);
    t = c->g->values[y[0]].type;
    y[1] = c->weights = lt_graph_value(c->g, LT_VALUE_INPUT, "weights", &t);
    y[0] = add_node(c, "mul", y, 2, NULL, 0);
    c->loss = t.ndim ? add_node(c, "reduce_sum", y, 1, NULL, 0) : y[0];
    c->g->loss = c->loss;
    if (lt_pass_autodiff(c->g, NULL, &err) < 0)
        fail_msg("%s %s {%s}: %s", c->s->op, c->s->in, c->s->attrs, err.text);
}

static void fill(const struct check *c, struct kit_memory *m)
{
    struct kit_spec weights = {.fill = 0};

    for (int i = 0; i < c->n_in; i++)
        kit_fill(&m->value[c->ids[i]], &c->in[i], (uint64_t)i + 20);
    kit_fill(&m->value[c->weights], &weights, 9);
}

static double loss_at(const struct check *c, struct kit_memory *m, int input, int64_t e,
                      double delta)
{
    struct lt_error err = {0};

    fill(c, m); /* whatever was updated in place is back */
    if (input >= 0)
        lt_set(&m->value[c->ids[input]], e, lt_get(&m->value[c->ids[input]], e) + delta);
    if (kit_run(m, &err) < 0)
        fail_msg("%s: %s", c->s->op, err.text);
    return lt_get(&m->value[c->loss], 0);
}

static lt_id gradient_of(const struct check *c, lt_id param)
{
    for (int i = 0; i < c->g->n_grads; i++)
        if (c->g->grads[i].param == param)
            return c->g->grads[i].grad;
    return LT_NONE;
}

static void compare(const struct check *c, struct kit_memory *m, int input)
{
    lt_id id = gradient_of(c, c->ids[input]);
    struct lt_operand grad, copy;

    if (id == LT_NONE)
        fail_msg("%s %s: no gradient of input %d", c->s->op, c->s->in, input);
    if (!lt_type_eq(&c->g->values[id].type, &c->in[input].type))
        fail_msg("%s %s: the gradient of input %d has another type", c->s->op, c->s->in, input);
    loss_at(c, m, -1, 0, 0);
    grad = copy = m->value[id];
    copy.data = lt_malloc((size_t)grad.count * sizeof(double) + 1);
    memcpy(copy.data, grad.data, (size_t)grad.count * sizeof(double));
    for (int64_t e = 0; e < grad.count; e++) {
        double numeric =
            (loss_at(c, m, input, e, STEP) - loss_at(c, m, input, e, -STEP)) / (2 * STEP);
        double rule = lt_get(&copy, e);

        if (!(fabs(rule - numeric) <= TOLERANCE * (1 + fabs(numeric))))
            fail_msg("%s %s {%s}: d input %d [%d] is %.9g by the rule, %.9g by differences",
                     c->s->op, c->s->in, c->s->attrs ? c->s->attrs : "", input, (int)e, rule,
                     numeric);
    }
    lt_free(copy.data);
}

static void check_sample(const struct sample *s)
{
    struct check c = {.s = s, .binding = kit_binding(3)};
    struct kit_memory m;

    c.n_in = kit_types(s->in, c.in);
    build(&c);
    kit_memory_init(&m, c.g, &c.binding, 0);
    for (int i = 0; i < c.n_in; i++)
        if (lt_dtype_is_float(c.in[i].type.dtype) && !c.in[i].constant)
            compare(&c, &m, i);
    kit_memory_done(&m);
    lt_graph_free(c.g);
}

static void gradient_is_right(void **state)
{
    const struct lt_op *op = *state;
    int samples_seen = 0;

    for (const struct sample *s = samples; s->op; s++) {
        if (strcmp(s->op, op->name) != 0 ||
            (!strcmp(s->op, "cast") && strncmp(s->out, "f64", 3) != 0))
            continue; /* casts to whole numbers have none worth the name */
        check_sample(s);
        samples_seen++;
    }
    assert_true(samples_seen > 0);
}

int main(void)
{
    struct CMUnitTest tests[200] = {{0}};
    size_t n = 0;

    for (int i = 0; lt_ops[i]; i++)
        if (lt_ops[i]->grad) {
            tests[n] = (struct CMUnitTest)cmocka_unit_test(gradient_is_right);
            tests[n].name = lt_ops[i]->name;
            tests[n++].initial_state = (void *)(uintptr_t)lt_ops[i];
        }
    return _cmocka_run_group_tests("gradients", tests, n, NULL, NULL);
}
