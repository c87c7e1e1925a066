/* test_samples.c - what holds for every operator, on every sample of samples.c: its types are the
 * promised ones; kernels write every element of every output and nothing else, read nothing they
 * shouldn't, do the same in place, in every size and dtype */
#include "tests/ops/kit.h"
#include "tests/ops/samples.h"

#include <errno.h>
#include <math.h>

#include "engine/ops/util.h"

/* One node on its own. */
struct bench {
    struct lt_graph *g;
    const struct lt_node *n;
    const struct lt_op *op;
    struct kit_spec in[KIT_IN_MAX];
    int n_in;
};

static int bench_make(struct bench *b, const struct sample *s, const struct kit_spec *in, int n_in,
                      struct lt_error *err)
{
    struct kit_attrs attrs;
    lt_id ids[KIT_IN_MAX];
    int node;

    b->op = lt_op_find(s->op);
    b->n_in = n_in;
    memcpy(b->in, in, (size_t)n_in * sizeof *in);
    kit_attrs_read(s->attrs, b->op, &attrs);
    b->g = kit_graph();
    kit_inputs(b->g, b->op, in, n_in, false, ids);
    node = lt_graph_add(b->g, b->op, "node", ids, n_in, attrs.attr, attrs.n, err);
    b->n = node < 0 ? NULL : &b->g->nodes[node];
    return node < 0 ? node : 0;
}

static void bench_open(struct bench *b, const struct sample *s)
{
    struct kit_spec in[KIT_IN_MAX];
    struct lt_error err = {0};
    int n = kit_types(s->in, in);

    if (!lt_op_find(s->op))
        fail_msg("no operator %s", s->op);
    if (bench_make(b, s, in, n, &err) < 0)
        fail_msg("%s %s {%s}: %s", s->op, s->in, s->attrs ? s->attrs : "", err.text);
}

static void bench_run(struct bench *b, struct kit_memory *m, int64_t n, unsigned char poison)
{
    struct lt_binding binding = kit_binding(n);
    struct lt_error err = {0};

    kit_memory_init(m, b->g, &binding, poison);
    for (int i = 0; i < b->n_in; i++)
        kit_fill(&m->value[i], &b->in[i], (uint64_t)i + 1);
    if (kit_run(m, &err) < 0)
        fail_msg("%s: %s", b->op->name, err.text);
}

static void every_operator_has_a_sample(void **state)
{
    (void)state;
    for (int i = 0; lt_ops[i]; i++) {
        bool found = false;

        for (const struct sample *s = samples; s->op; s++)
            found |= !strcmp(s->op, lt_ops[i]->name);
        if (!found && !lt_ops[i]->collective && !lt_ops[i]->part) /* these need units: tests/graph */
            fail_msg("%s has no sample in tests/ops/samples.c", lt_ops[i]->name);
        assert_non_null(lt_ops[i]->infer);
        assert_non_null(lt_ops[i]->ref);
        assert_ptr_equal(lt_op_find(lt_ops[i]->name), lt_ops[i]);
    }
    assert_null(lt_op_find("no_such_operator"));
}

static void outputs_have_the_promised_types(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct bench b;
        struct kit_spec out[KIT_IN_MAX];
        int n = kit_types(s->out, out);

        bench_open(&b, s);
        assert_int_equal(b.n->n_out, n);
        for (int i = 0; i < n; i++) {
            char is[160], should[160];

            lt_type_print(is, sizeof is, &b.g->values[b.n->out[i]].type);
            lt_type_print(should, sizeof should, &out[i].type);
            if (strcmp(is, should) != 0)
                fail_msg("%s %s {%s}: output %d is %s, not %s", s->op, s->in, s->attrs, i, is,
                         should);
        }
        lt_graph_free(b.g);
    }
}

/* Whatever lay in the outputs before, the results are the same: every element is written, none is
 * read. */
static void every_element_is_written(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++)
        for (int64_t n = 0; n <= KIT_N_BOUND; n++) {
            struct bench b;
            struct kit_memory x, y;

            bench_open(&b, s);
            bench_run(&b, &x, n, 0x00);
            bench_run(&b, &y, n, 0xff);
            for (int o = 0; o < b.n->n_out; o++)
                if (!kit_same(&x.value[b.n->out[o]], &y.value[b.n->out[o]]))
                    fail_msg("%s %s {%s} n = %d: output %d depends on what lay there", s->op, s->in,
                             s->attrs, (int)n, o);
            kit_memory_done(&x);
            kit_memory_done(&y);
            lt_graph_free(b.g);
        }
}

/* Inputs stay as they were, except those whose new content an output is. */
static void inputs_are_not_written(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct bench b;
        struct kit_memory m;

        bench_open(&b, s);
        bench_run(&b, &m, 3, 0xff);
        for (int i = 0; i < b.n_in; i++) {
            struct lt_operand copy = m.value[i];
            bool updated = false;

            for (int o = 0; o < b.n->n_out; o++)
                updated |= b.op->updates[o] == i + 1;
            copy.data = kit_block((size_t)copy.count * lt_dtype_sizes[copy.dtype], 0);
            kit_fill(&copy, &b.in[i], (uint64_t)i + 1);
            if (!updated && !kit_same(&copy, &m.value[i]))
                fail_msg("%s writes its input %d", s->op, i);
            kit_block_free(copy.data);
        }
        kit_memory_done(&m);
        lt_graph_free(b.g);
    }
}

/* Runs the kernel with one input and one output (-1: none) elsewhere, all other operands where they
 * are. */
static void run_moved(const struct bench *b, const struct kit_memory *m, int input, void *in_data,
                      int output, void *out_data)
{
    struct lt_operand in[KIT_IN_MAX], out[LT_NODE_OUT_MAX];
    struct lt_kernel_args k = {
        .node = b->n, .n_in = b->n->n_in, .n_out = b->n->n_out, .in = in, .out = out};
    struct lt_error err = {0};

    for (int i = 0; i < b->n->n_in; i++)
        in[i] = m->value[b->n->in[i]];
    for (int o = 0; o < b->n->n_out; o++)
        out[o] = m->value[b->n->out[o]];
    if (input >= 0)
        in[input].data = in_data;
    if (output >= 0)
        out[output].data = out_data;
    if (b->op->ref(&k, &err))
        fail_msg("%s: %s", b->op->name, err.text);
}

static void check_in_place(const struct bench *b, const struct kit_memory *m, int o, int i)
{
    const struct lt_operand *y = &m->value[b->n->out[o]];
    struct lt_operand moved = *y;
    size_t bytes = (size_t)y->count * lt_dtype_sizes[y->dtype];

    if (!(b->op->inplace[o] >> i & 1) ||
        bytes != (size_t)m->value[i].count * lt_dtype_sizes[m->value[i].dtype])
        return;
    moved.data = kit_block(bytes, 0);
    memcpy(moved.data, m->value[i].data, bytes);
    run_moved(b, m, i, moved.data, o, moved.data);
    if (!kit_same(y, &moved) || !kit_block_whole(moved.data, bytes))
        fail_msg("%s: output %d in the place of input %d differs", b->op->name, o, i);
    kit_block_free(moved.data);
}

static void in_place_is_the_same(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct bench b;
        struct kit_memory m;

        bench_open(&b, s);
        bench_run(&b, &m, 3, 0xff);
        for (int o = 0; o < b.n->n_out; o++)
            for (int i = 0; i < b.n_in; i++)
                check_in_place(&b, &m, o, i);
        kit_memory_done(&m);
        lt_graph_free(b.g);
    }
}

/* An input that lends only its shape may have lost its memory. */
static void shape_only_inputs_are_not_read(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct bench b;
        struct kit_memory m;

        bench_open(&b, s);
        bench_run(&b, &m, 3, 0xff);
        for (int i = 0; i < b.n_in; i++)
            if (lt_op_shape_only(b.op, i))
                run_moved(&b, &m, i, NULL, -1, NULL);
        kit_memory_done(&m);
        lt_graph_free(b.g);
    }
}

/* What updates a value in place gives the same when its new content lies elsewhere. */
static void updates_work_apart(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct bench b;
        struct kit_memory m;

        bench_open(&b, s);
        bench_run(&b, &m, 3, 0xff);
        for (int o = 0; o < b.n->n_out; o++) {
            struct lt_operand y = m.value[b.n->out[o]], apart = y;
            size_t bytes = (size_t)y.count * lt_dtype_sizes[y.dtype];

            if (!b.op->updates[o])
                continue;
            for (int i = 0; i < b.n_in; i++) /* back to the start */
                kit_fill(&m.value[i], &b.in[i], (uint64_t)i + 1);
            apart.data = kit_block(bytes, 0xff);
            run_moved(&b, &m, -1, NULL, o, apart.data);
            for (int i = 0; i < b.n_in; i++)
                kit_fill(&m.value[i], &b.in[i], (uint64_t)i + 1);
            run_moved(&b, &m, -1, NULL, -1, NULL);
            if (!kit_same(&y, &apart) || !kit_block_whole(apart.data, bytes))
                fail_msg("%s %s: output %d apart from its input differs", s->op, s->in, o);
            kit_block_free(apart.data);
        }
        kit_memory_done(&m);
        lt_graph_free(b.g);
    }
}

static void as_double(struct kit_spec *in, int n)
{
    for (int i = 0; i < n; i++)
        in[i].type.dtype = in[i].type.dtype == LT_F32 ? LT_F64 : in[i].type.dtype;
}

/* float32 and float64 agree to float32's rounding: the arithmetic is in double, only storage
 * differs. */
static void float32_follows_float64(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct bench a, b;
        struct kit_memory x, y;
        struct kit_spec in[KIT_IN_MAX];
        int n = kit_types(s->in, in);
        struct lt_binding binding = kit_binding(3);

        as_double(in, n);
        bench_open(&a, s);
        assert_int_equal(bench_make(&b, s, in, n, NULL), 0);
        bench_run(&a, &x, 3, 0);
        kit_memory_init(&y, b.g, &binding, 0);
        for (int i = 0; i < n; i++) { /* the float32 numbers */
            kit_fill(&x.value[i], &a.in[i], (uint64_t)i + 1);
            for (int64_t e = 0; e < y.value[i].count; e++)
                lt_set(&y.value[i], e, lt_get(&x.value[i], e));
        }
        assert_int_equal(kit_run(&x, NULL), 0);
        assert_int_equal(kit_run(&y, NULL), 0);
        for (int o = 0; o < b.n->n_out; o++)
            for (int64_t e = 0; e < y.value[b.n->out[o]].count; e++) {
                double p = lt_get(&x.value[a.n->out[o]], e), q = lt_get(&y.value[b.n->out[o]], e);

                if (fabs(p - q) > 2e-7 * (1 + fabs(q)) && strcmp(s->op, "cast") != 0)
                    fail_msg("%s: %g in float32, %g in float64", s->op, p, q);
            }
        kit_memory_done(&x);
        kit_memory_done(&y);
        lt_graph_free(a.g);
        lt_graph_free(b.g);
    }
}

static void costs_are_positive(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct lt_binding binding = kit_binding(3);
        struct bench b;

        bench_open(&b, s);
        if (b.op->flops && b.op->flops(b.g, b.n, &binding) <= 0)
            fail_msg("%s costs nothing", s->op);
        lt_graph_free(b.g);
    }
}

/* ---- types that don't fit */

/* Changes one thing of one input. False: no such change. */
static bool mutate(struct kit_spec *in, int input, int what)
{
    struct lt_type *t = &in[input].type;

    if (what < t->ndim)
        t->dim[what].k++;
    else if (what < 2 * t->ndim)
        t->dim[what - t->ndim] =
            t->dim[what - t->ndim].sym == 0 ? lt_dim_num(2) : (struct lt_dim){1, 0};
    else if (what == 2 * t->ndim)
        t->dim[t->ndim++] = lt_dim_num(2);
    else if (what == 2 * t->ndim + 1 && t->ndim > 0)
        t->ndim--;
    else if (what == 2 * t->ndim + 2)
        t->dtype = t->dtype == LT_F32 ? LT_F64 : LT_F32;
    else if (what == 2 * t->ndim + 3)
        t->dtype = LT_U8;
    else
        return false;
    return true;
}

/* Either the operator refuses, naming itself and the shapes, or its kernel runs inside its memory.
 */
static void try_mutant(const struct sample *s, const struct kit_spec *in, int n, int *refused)
{
    struct lt_error err = {0};
    struct kit_memory m;
    struct bench b;
    int rc = bench_make(&b, s, in, n, &err);

    if (rc < 0) {
        char text[LT_TYPE_TEXT];

        lt_type_print(text, sizeof text, &in[0].type);
        if (rc != -EINVAL || !strstr(err.text, s->op) || !strstr(err.text, "node") ||
            !strchr(err.text, '['))
            fail_msg("%s %s: the refusal '%s' (%d) names no operator, node or shape", s->op, s->in,
                     err.text, rc);
        ++*refused;
    } else {
        struct lt_binding binding = kit_binding(2);

        kit_memory_init(&m, b.g, &binding, 0);
        for (int i = 0; i < n; i++)
            kit_fill(&m.value[i], &in[i], 7);
        kit_run(&m, &err); /* bad labels are fine */
        kit_memory_done(&m);
    }
    lt_graph_free(b.g);
}

static void shapes_that_do_not_fit_are_refused_or_harmless(void **state)
{
    int refused = 0;

    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct kit_spec in[KIT_IN_MAX], changed[KIT_IN_MAX];
        int n = kit_types(s->in, in);

        for (int i = 0; i < n; i++)
            for (int what = 0;; what++) {
                memcpy(changed, in, sizeof in);
                if (!mutate(changed, i, what))
                    break;
                try_mutant(s, changed, n, &refused);
            }
    }
    assert_true(refused > 300);
}

/* Some mutant of every input of every operator with more than one is refused: no input goes
 * unchecked. */
static void every_input_is_checked(void **state)
{
    (void)state;
    for (int i = 0; lt_ops[i]; i++) {
        int refused[KIT_IN_MAX] = {0}, most = 0;

        for (const struct sample *s = samples; s->op; s++) {
            struct kit_spec in[KIT_IN_MAX], changed[KIT_IN_MAX];
            int n = strcmp(s->op, lt_ops[i]->name) ? 0 : kit_types(s->in, in);

            most = LT_MAX(most, n);
            for (int k = 0; k < n; k++)
                for (int what = 0;; what++) {
                    memcpy(changed, in, sizeof in);
                    if (!mutate(changed, k, what))
                        break;
                    try_mutant(s, changed, n, &refused[k]);
                }
        }
        for (int k = 0; most > 1 && k < most; k++)
            if (!refused[k] && strcmp(lt_ops[i]->name, "sum_squares") != 0)
                fail_msg("%s takes anything as input %d", lt_ops[i]->name, k);
    }
}

static void the_number_of_inputs_is_checked(void **state)
{
    (void)state;
    for (const struct sample *s = samples; s->op; s++) {
        struct kit_spec in[KIT_IN_MAX + 1];
        int n = kit_types(s->in, in), min = lt_op_find(s->op)->min_in,
            max = lt_op_find(s->op)->max_in;
        struct lt_error err = {0};
        struct bench b;

        assert_true(n >= min && n <= max);
        in[n] = in[0];
        if (bench_make(&b, s, in, min - 1, &err) != -EINVAL || !strstr(err.text, s->op))
            fail_msg("%s with %d inputs: %s", s->op, min - 1, err.text);
        lt_graph_free(b.g);
        if (n < max || n + 1 > KIT_IN_MAX)
            continue;
        if (bench_make(&b, s, in, n + 1, &err) != -EINVAL || !strstr(err.text, s->op))
            fail_msg("%s with %d inputs: %s", s->op, n + 1, err.text);
        lt_graph_free(b.g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_has_a_sample),
        cmocka_unit_test(outputs_have_the_promised_types),
        cmocka_unit_test(every_element_is_written),
        cmocka_unit_test(inputs_are_not_written),
        cmocka_unit_test(in_place_is_the_same),
        cmocka_unit_test(shape_only_inputs_are_not_read),
        cmocka_unit_test(updates_work_apart),
        cmocka_unit_test(float32_follows_float64),
        cmocka_unit_test(costs_are_positive),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused_or_harmless),
        cmocka_unit_test(every_input_is_checked),
        cmocka_unit_test(the_number_of_inputs_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
