/* test_ops.c - reference kernels and gradient rules against PyTorch's values, one test per operator
 * with golden cases */
#include "tests/golden/file.h"
#include "tests/ops/kit.h"

#include <math.h>

#include "engine/graph/pass.h"
#include "engine/ops/util.h"

#define TOLERANCE 2e-6 /* some roundings of float32; PyTorch's values were computed in float64 */
#define OUT_MAX LT_NODE_OUT_MAX

struct gold {
    const struct golden_case *c;
    const struct lt_op *op;
    struct lt_graph *g;
    lt_id in[KIT_IN_MAX], dout[OUT_MAX];
    int n_in, node;
};

static struct golden_file file;

static lt_id add(struct gold *t, const char *op, const lt_id *in, int n)
{
    struct lt_error err = {0};
    int node = lt_graph_add(t->g, lt_op_find(op), op, in, n, NULL, 0, &err);

    if (node < 0)
        fail_msg("%s: %s", t->c->name, err.text);
    return t->g->nodes[node].out[0];
}

static bool is_updated(const struct lt_op *op, int input)
{
    for (int o = 0; o < op->n_out; o++)
        if (op->updates[o] == input + 1)
            return true;
    return false;
}

static void add_node(struct gold *t)
{
    struct kit_attrs attrs;
    struct lt_error err = {0};
    const struct lt_operand *o;

    for (t->n_in = 0; (o = golden_tensor(t->c, "in", t->n_in)); t->n_in++) {
        bool param = golden_tensor(t->c, "din", t->n_in) || is_updated(t->op, t->n_in);
        struct lt_type type = golden_type(o);
        char name[16];

        snprintf(name, sizeof name, "in%d", t->n_in);
        t->in[t->n_in] = lt_graph_value(t->g, param ? LT_VALUE_PARAM : LT_VALUE_INPUT, name, &type);
    }
    kit_attrs_read(golden_text(t->c, "attrs"), t->op, &attrs);
    t->node = lt_graph_add(t->g, t->op, "node", t->in, t->n_in, attrs.attr, attrs.n, &err);
    if (t->node < 0)
        fail_msg("%s: %s", t->c->name, err.text);
}

/* The sum over outputs of dout * output, and its gradients. */
static void add_loss(struct gold *t)
{
    struct lt_error err = {0};

    for (int o = 0; o < t->g->nodes[t->node].n_out; o++) {
        lt_id y[2] = {t->g->nodes[t->node].out[o], LT_NONE}, both[2];
        struct lt_type type = t->g->values[y[0]].type;
        char name[16];

        t->dout[o] = LT_NONE;
        if (!golden_tensor(t->c, "dout", o))
            continue;
        snprintf(name, sizeof name, "dout%d", o);
        t->dout[o] = y[1] = lt_graph_value(t->g, LT_VALUE_INPUT, name, &type);
        both[0] = add(t, "mul", y, 2);
        both[0] = type.ndim ? add(t, "reduce_sum", both, 1) : both[0];
        both[1] = t->g->loss;
        t->g->loss = t->g->loss == LT_NONE ? both[0] : add(t, "add", both, 2);
    }
    if (lt_pass_autodiff(t->g, NULL, &err) < 0)
        fail_msg("%s: %s", t->c->name, err.text);
}

static void copy_in(struct kit_memory *m, lt_id v, const struct lt_operand *from)
{
    for (int64_t i = 0; v != LT_NONE && i < from->count; i++)
        lt_set(&m->value[v], i, lt_get(from, i));
}

static void compare(const struct gold *t, const char *what, int number, const struct lt_operand *is,
                    const struct lt_operand *should)
{
    if (is->count != should->count)
        fail_msg("%s: %s%d has %d elements, not %d", t->c->name, what, number, (int)is->count,
                 (int)should->count);
    for (int64_t i = 0; i < is->count; i++) {
        double a = lt_get(is, i), b = lt_get(should, i);

        if (!(fabs(a - b) <= TOLERANCE * (1 + fabs(b))) && !(a == b || (isnan(a) && isnan(b))))
            fail_msg("%s {%s}: %s%d[%d] is %.9g, in PyTorch %.9g", t->c->name,
                     golden_text(t->c, "attrs"), what, number, (int)i, a, b);
    }
}

static void compare_all(const struct gold *t, struct kit_memory *m)
{
    const struct lt_operand *o;

    for (int i = 0; i < t->g->nodes[t->node].n_out; i++)
        if ((o = golden_tensor(t->c, "out", i)))
            compare(t, "out", i, &m->value[t->g->nodes[t->node].out[i]], o);
    for (int i = 0; i < t->n_in; i++) {
        bool found = false;

        if (!(o = golden_tensor(t->c, "din", i)))
            continue;
        for (int k = 0; k < t->g->n_grads; k++)
            if (t->g->grads[k].param == t->in[i]) {
                compare(t, "din", i, &m->value[t->g->grads[k].grad], o);
                found = true;
            }
        if (!found)
            fail_msg("%s: no gradient of input %d", t->c->name, i);
    }
}

static void check_case(const struct golden_case *c, const struct lt_op *op)
{
    struct lt_binding binding = kit_binding(1);
    struct gold t = {.c = c, .op = op, .g = kit_graph()};
    struct lt_error err = {0};
    struct kit_memory m;

    add_node(&t);
    add_loss(&t);
    kit_memory_init(&m, t.g, &binding, 0xff);
    for (int i = 0; i < t.n_in; i++)
        copy_in(&m, t.in[i], golden_tensor(c, "in", i));
    for (int o = 0; o < t.g->nodes[t.node].n_out; o++)
        if (t.dout[o] != LT_NONE)
            copy_in(&m, t.dout[o], golden_tensor(c, "dout", o));
    if (kit_run(&m, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
    compare_all(&t, &m);
    kit_memory_done(&m);
    lt_graph_free(t.g);
}

static void operator_is_as_in_pytorch(void **state)
{
    for (int i = 0; i < file.n; i++)
        if (!strcmp(golden_text(&file.cases[i], "op"), ((const struct lt_op *)*state)->name))
            check_case(&file.cases[i], *state);
}

int main(void)
{
    struct CMUnitTest tests[200] = {{0}};
    size_t n = 0;
    char path[500];
    int failed;

    snprintf(path, sizeof path, "%s/tests/golden/data/ops.txt", getenv("LT_SOURCE_ROOT"));
    golden_open(&file, path);
    for (int i = 0; lt_ops[i]; i++)
        for (int k = 0; k < file.n; k++)
            if (!strcmp(golden_text(&file.cases[k], "op"), lt_ops[i]->name)) {
                tests[n] = (struct CMUnitTest)cmocka_unit_test(operator_is_as_in_pytorch);
                tests[n].name = lt_ops[i]->name;
                tests[n++].initial_state = (void *)(uintptr_t)lt_ops[i];
                break;
            }
    failed = _cmocka_run_group_tests("goldens of operators", tests, n, NULL, NULL);
    golden_close(&file);
    return failed;
}
