/* test_training.c - optimisers, clipping, learning rates and whole nets against PyTorch's values */
#include "tests/golden/file.h"
#include "tests/golden/play.h"
#include "tests/ops/kit.h"

#include <math.h>

#include "base/arena.h"
#include "base/problem.h"
#include "engine/device.h"
#include "engine/ops/util.h"
#include "engine/session/session.h"
#include "engine/train/schedule.h"
#include "proto/text/text.h"

static void open_file(struct golden_file *f, const char *name)
{
    char path[500];

    snprintf(path, sizeof path, "%s/tests/golden/data/%s.txt", getenv("LT_SOURCE_ROOT"), name);
    golden_open(f, path);
    assert_true(f->n > 0);
}

static void compare(const char *name, const char *what, const struct lt_operand *is,
                    const struct lt_operand *should, double tolerance)
{
    assert_int_equal(is->count, should->count);
    for (int64_t i = 0; i < is->count; i++) {
        double a = lt_get(is, i), b = lt_get(should, i);

        if (!(fabs(a - b) <= tolerance * (1 + fabs(b))))
            fail_msg("%s: %s[%d] is %.9g, in PyTorch %.9g, allowed %.2g", name, what, (int)i, a, b,
                     tolerance * (1 + fabs(b)));
    }
}

/* ---- optimisers: five updates each */

struct update {
    struct lt_graph *g;
    lt_id in[KIT_IN_MAX];
    int n_tensors, n_in;
};

static void update_build(struct update *u, const struct golden_case *c, const struct lt_op *op)
{
    struct lt_type t = golden_type(golden_tensor(c, "p", -1)), f64 = lt_scalar_type(LT_F64),
                   i64 = lt_scalar_type(LT_I64);
    struct lt_error err = {0};
    struct kit_attrs attrs;

    u->g = kit_graph();
    u->n_in = op->max_in;
    u->n_tensors = !strcmp(op->name, "sgd") ? 2 : op->max_in - 3;
    for (int i = 0; i < u->n_in; i++) {
        bool step = i == u->n_tensors + 1 &&
                    u->n_in == u->n_tensors + 3; /* lr, opt_step, scale; or lr, scale */
        char name[8];

        snprintf(name, sizeof name, "in%d", i);
        u->in[i] =
            lt_graph_value(u->g, i < u->n_tensors && i != 1 ? LT_VALUE_PARAM : LT_VALUE_INPUT, name,
                           i < u->n_tensors ? &t
                           : step           ? &i64
                                            : &f64);
    }
    kit_attrs_read(golden_text(c, "attrs"), op, &attrs);
    if (lt_graph_add(u->g, op, "update", u->in, u->n_in, attrs.attr, attrs.n, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
}

static void check_optimizer(const struct golden_case *c)
{
    const struct lt_operand *grads = golden_tensor(c, "grads", -1),
                            *after = golden_tensor(c, "after", -1), *state;
    struct lt_binding binding = kit_binding(1);
    struct kit_memory m;
    struct update u;

    update_build(&u, c, lt_op_find(golden_text(c, "op")));
    kit_memory_init(&m, u.g, &binding, 0);
    for (int64_t e = 0; e < grads->dim[1]; e++)
        lt_set(&m.value[u.in[0]], e, lt_get(golden_tensor(c, "p", -1), e));
    for (int step = 0; step < 5; step++) {
        struct lt_operand now = m.value[u.in[0]], should = *after;

        should.count = grads->dim[1];
        should.data = (float *)after->data + step * should.count;
        for (int64_t e = 0; e < should.count; e++)
            lt_set(&m.value[u.in[1]], e,
                   4 * lt_get(grads,
                              step * should.count + e)); /* gradients are sums; the scale divides */
        lt_set(&m.value[u.in[u.n_tensors]], 0, lt_get(golden_tensor(c, "lr", -1), step));
        if (u.n_in == u.n_tensors + 3)
            lt_set(&m.value[u.in[u.n_tensors + 1]], 0, step + 1);
        lt_set(&m.value[u.in[u.n_in - 1]], 0, 0.25);
        assert_int_equal(kit_run(&m, NULL), 0);
        compare(c->name, "p", &now, &should, 1e-6);
    }
    for (int s = 0; (state = golden_tensor(c, "state", s)); s++)
        compare(c->name, "state", &m.value[u.in[2 + s]], state, 1e-6);
    kit_memory_done(&m);
    lt_graph_free(u.g);
}

static void optimizers_update_as_pytorch_does(void **state)
{
    struct golden_file f;

    (void)state;
    open_file(&f, "optimizers");
    for (int i = 0; i < f.n; i++)
        check_optimizer(&f.cases[i]);
    golden_close(&f);
}

/* ---- clipping */

static lt_id node(struct lt_graph *g, const char *op, const lt_id *in, int n, const char *attrs)
{
    struct lt_error err = {0};
    struct kit_attrs a;
    int made;

    kit_attrs_read(attrs, lt_op_find(op), &a);
    made = lt_graph_add(g, lt_op_find(op), op, in, n, a.attr, a.n, &err);
    if (made < 0)
        fail_msg("%s", err.text);
    return g->nodes[made].out[0];
}

/* Gradient sums of a window of weight 8, zero parameters, learning rate 1: the new parameters are
 * the clipped gradients, negated. */
static void check_clipping(const struct golden_case *c)
{
    bool by_norm = golden_tensor(c, "norm", -1);
    double bound = lt_get(golden_tensor(c, "bound", -1), 0);
    struct lt_type f64 = lt_scalar_type(LT_F64);
    struct lt_graph *g = kit_graph();
    struct lt_binding binding = kit_binding(1);
    lt_id scalars[3], grads[3], params[3], scale;
    struct kit_memory m;
    char attrs[64];

    for (int i = 0; i < 3; i++) {
        struct lt_type t = golden_type(golden_tensor(c, "grad", i));

        grads[i] = lt_graph_value(g, LT_VALUE_INPUT, (const char *[]){"g0", "g1", "g2"}[i], &t);
        params[i] = lt_graph_value(g, LT_VALUE_PARAM, (const char *[]){"p0", "p1", "p2"}[i], &t);
    }
    scalars[0] = lt_graph_value(g, LT_VALUE_INPUT, "loss", &f64);
    scalars[1] = lt_graph_value(g, LT_VALUE_INPUT, "weight", &f64);
    scalars[2] = by_norm ? node(g, "sum_squares", grads, 3, NULL) : LT_NONE;
    snprintf(attrs, sizeof attrs, "clip_norm=%.17g", by_norm ? bound : 0);
    scale = node(g, "grad_scale", scalars, by_norm ? 3 : 2, attrs);
    snprintf(attrs, sizeof attrs, "clip_value=%.17g", by_norm ? 0 : bound);
    for (int i = 0; i < 3; i++)
        node(g, "sgd", (lt_id[]){params[i], grads[i], scalars[1], scale}, 4, attrs);
    kit_memory_init(&m, g, &binding, 0);
    lt_set(&m.value[scalars[1]], 0, 8);
    for (int i = 0; i < 3; i++)
        for (int64_t e = 0; e < m.value[grads[i]].count; e++)
            lt_set(&m.value[grads[i]], e, 8 * lt_get(golden_tensor(c, "grad", i), e));
    assert_int_equal(kit_run(&m, NULL), 0);
    for (int i = 0; i < 3;
         i++) { /* as multiples of the bound; the learning rate was the weight, too */
        const struct lt_operand *should = golden_tensor(c, "clipped", i);

        for (int64_t e = 0; e < should->count; e++) {
            lt_set(&m.value[params[i]], e, -lt_get(&m.value[params[i]], e) / 8 / bound);
            lt_set(should, e, lt_get(should, e) / bound);
        }
        compare(c->name, "clipped", &m.value[params[i]], should, 1e-6);
    }
    if (by_norm)
        compare(c->name, "norm", &m.value[g->nodes[1].out[1]], golden_tensor(c, "norm", -1), 1e-6);
    kit_memory_done(&m);
    lt_graph_free(g);
}

static void gradients_are_clipped_as_in_pytorch(void **state)
{
    struct golden_file f;

    (void)state;
    open_file(&f, "clipping");
    for (int i = 0; i < f.n; i++)
        check_clipping(&f.cases[i]);
    golden_close(&f);
}

/* ---- learning rates: the same doubles */

static void learning_rates_are_pytorchs(void **state)
{
    struct golden_file f;

    (void)state;
    open_file(&f, "schedules");
    for (int i = 0; i < f.n; i++) {
        const struct lt_operand *lr = golden_tensor(&f.cases[i], "lr", -1);
        const char *text = golden_text(&f.cases[i], "plan");
        struct lt_arena *arena = lt_arena_new(0);
        struct lt_problems problems = {0};
        Lt__V1__JobSpec *spec =
            lt_text_parse_spec(text, strlen(text), NULL, NULL, 0, arena, &problems);
        struct lt_schedule s;

        assert_non_null(spec);
        lt_schedule_init(&s, spec->plan->optimizer, spec->plan->lr_scheduler);
        for (int64_t k = 0; k < lr->count; k++, lt_schedule_step(&s))
            if (!(fabs(s.lr - lt_get(lr, k)) <= 1e-15))
                fail_msg("%s: rate %d is %.17g, in PyTorch %.17g", text, (int)k, s.lr,
                         lt_get(lr, k));
        lt_problems_done(&problems);
        lt_arena_free(arena);
    }
    golden_close(&f);
}

/* ---- whole nets: 20 updates */

static void compare_tensors(const struct golden_case *c, struct play *p, double tolerance)
{
    int compared = 0;

    for (int i = 0; i < lt_session_n_tensors(p->session); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(p->session, i);
        const struct lt_operand *should;
        struct lt_operand is;
        char key[200];

        snprintf(key, sizeof key, "final/%s", t->name);
        should = golden_tensor(c, key, -1);
        if (!should)
            continue;
        is = *should;
        is.data = lt_malloc(t->bytes);
        assert_int_equal(lt_session_read(p->session, i, is.data, NULL), 0);
        compare(c->name, key, &is, should, tolerance);
        lt_free(is.data);
        compared++;
    }
    for (int i = 0; i < c->n; i++)
        compared -= !strncmp(c->items[i].key, "final/", 6);
    assert_int_equal(compared, 0);
}

static void nets_train_as_in_pytorch(void **state)
{
    const struct lt_backend *backend = *state;
    struct golden_file f;

    open_file(&f, "nets");
    for (int i = 0; i < f.n; i++) {
        const struct golden_case *c = &f.cases[i];
        double tolerance = lt_get(golden_tensor(c, "tolerance", -1), 0);
        struct lt_operand loss, eval;
        struct lt_error err = {0};
        struct play p;

        if (play_case(c, backend, &p, &err) < 0)
            fail_msg("%s: %s", c->name, err.text);
        loss = (struct lt_operand){.data = p.loss, .dtype = LT_F64, .count = p.steps};
        eval = (struct lt_operand){.data = &p.eval, .dtype = LT_F64, .count = 1};
        compare(c->name, "loss", &loss, golden_tensor(c, "loss", -1), tolerance);
        compare(c->name, "eval", &eval, golden_tensor(c, "eval", -1), tolerance);
        compare_tensors(c, &p, tolerance);
        play_done(&p);
    }
    golden_close(&f);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_update_as_pytorch_does),
        cmocka_unit_test(gradients_are_clipped_as_in_pytorch),
        cmocka_unit_test(learning_rates_are_pytorchs),
        {"nets_train_as_in_pytorch_on_ref", nets_train_as_in_pytorch, NULL, NULL,
         (void *)(uintptr_t)&lt_backend_ref},
        {"nets_train_as_in_pytorch_on_cpu", nets_train_as_in_pytorch, NULL, NULL,
         (void *)(uintptr_t)&lt_backend_cpu},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
