/* test_precisions.c - 64-true against PyTorch in float64, bf16-mixed against torch.autocast
 *
 * 64-true: 20 updates, alike to float64's last digits. bf16-mixed: the gradients of one step. Both
 * PyTorch's and ours are the exact ones with bfloat16's rounding in them, in other places and other
 * orders, so each tensor may be half as far again from the exact one as PyTorch's is, and one
 * bfloat16 rounding (2^-8) farther.
 */
#include "tests/golden/file.h"
#include "tests/golden/play.h"
#include "tests/ops/kit.h"

#include <math.h>

#include "engine/device.h"
#include "engine/ops/util.h"
#include "engine/session/session.h"

static void open_file(struct golden_file *f)
{
    char path[500];

    snprintf(path, sizeof path, "%s/tests/golden/data/precisions.txt", getenv("LT_SOURCE_ROOT"));
    golden_open(f, path);
    assert_true(f->n > 0);
}

static void near(const char *name, const char *what, double is, double should, double tolerance)
{
    if (!(fabs(is - should) <= tolerance * (1 + fabs(should))))
        fail_msg("%s: %s is %.17g, in PyTorch %.17g", name, what, is, should);
}

/* Tensor `name` of the session; lt_free() its data. */
static struct lt_operand tensor_read(struct lt_session *s, const char *name)
{
    for (int i = 0; i < lt_session_n_tensors(s); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(s, i);
        struct lt_operand o = {.dtype = t->dtype};

        if (strcmp(t->name, name) != 0)
            continue;
        o.data = lt_malloc(t->bytes + 1);
        o.count = (int64_t)(t->bytes / lt_dtype_sizes[t->dtype]);
        assert_int_equal(lt_session_read(s, i, o.data, NULL), 0);
        return o;
    }
    fail_msg("there is no tensor %s", name);
    return (struct lt_operand){0};
}

#define DOUBLE_TOLERANCE 1e-12

static void check_double(const struct golden_case *c, const struct play *p)
{
    for (int i = 0; i < p->steps; i++)
        near(c->name, "loss", p->loss[i], lt_get(golden_tensor(c, "loss", -1), i),
             DOUBLE_TOLERANCE);
    near(c->name, "eval", p->eval, lt_get(golden_tensor(c, "eval", -1), 0), DOUBLE_TOLERANCE);
    for (int k = 0; k < c->n; k++) {
        const struct lt_operand *should = &c->items[k].tensor;
        struct lt_operand is;

        if (strncmp(c->items[k].key, "final/", 6) != 0)
            continue;
        is = tensor_read(p->session, c->items[k].key + 6);
        assert_int_equal(is.dtype, should->dtype); /* float64, but for counters */
        assert_int_equal(is.count, should->count);
        for (int64_t i = 0; i < is.count; i++)
            near(c->name, c->items[k].key, lt_get(&is, i), lt_get(should, i), DOUBLE_TOLERANCE);
        lt_free(is.data);
    }
}

/* The gradient is what one update with learning rate 1 took away. */
static double gradient_error(const struct golden_case *c, const struct play *p, const char *name)
{
    char key[200];
    const struct lt_operand *start, *exact;
    struct lt_operand after = tensor_read(p->session, name);
    double wrong = 0, all = 0;

    snprintf(key, sizeof key, "init/%s", name);
    start = golden_tensor(c, key, -1);
    snprintf(key, sizeof key, "grad/%s", name);
    exact = golden_tensor(c, key, -1);
    for (int64_t i = 0; i < after.count; i++) {
        double g = lt_get(start, i) - lt_get(&after, i), e = lt_get(exact, i);

        wrong += (g - e) * (g - e);
        all += e * e;
    }
    lt_free(after.data);
    return sqrt(wrong / all);
}

static void check_mixed(const struct golden_case *c, const struct play *p)
{
    int compared = 0;

    near(c->name, "loss", p->loss[0], lt_get(golden_tensor(c, "loss", -1), 0),
         1.5 * lt_get(golden_tensor(c, "noise_loss", -1), 0) + 0x1p-8);
    for (int k = 0; k < c->n; k++) {
        const char *name = c->items[k].key + 6;
        double is, allowed;

        if (strncmp(c->items[k].key, "noise/", 6) != 0)
            continue;
        is = gradient_error(c, p, name);
        allowed = 1.5 * lt_get(&c->items[k].tensor, 0) + 0x1p-8;
        if (!(is <= allowed))
            fail_msg("%s: the gradient of %s is off by %g, PyTorch's by %g", c->name, name, is,
                     lt_get(&c->items[k].tensor, 0));
        compared++;
    }
    assert_true(compared > 0);
}

static void precisions_are_pytorchs(void **state)
{
    const struct lt_backend *backend = *state;
    struct golden_file f;

    open_file(&f);
    for (int i = 0; i < f.n; i++) {
        const struct golden_case *c = &f.cases[i];
        struct lt_error err = {0};
        struct play p;

        if (play_case(c, backend, &p, &err) < 0)
            fail_msg("%s: %s", c->name, err.text);
        if (strncmp(c->name, "double", 6) == 0)
            check_double(c, &p);
        else
            check_mixed(c, &p);
        play_done(&p);
    }
    golden_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"precisions_are_pytorchs_on_ref", precisions_are_pytorchs, NULL, NULL,
         (void *)(uintptr_t)&lt_backend_ref},
        {"precisions_are_pytorchs_on_cpu", precisions_are_pytorchs, NULL, NULL,
         (void *)(uintptr_t)&lt_backend_cpu},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
