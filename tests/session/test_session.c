/* test_session.c - programs of a plan learn, accumulate, clip, skip: on the reference back end and
 * on the cpu's */
#include "tests/graph/plan_text.h"

#include <math.h>
#include <stdlib.h>
#include "engine/session/session.h"

#define N 32
#define FEATURES 6
#define CLASSES 3

static const struct lt_field fields[] = {{"x", LT_F32, 1, {FEATURES}, 0},
                                         {"label", LT_I64, 0, {0}, CLASSES}};

/* A batch: classes are which of three groups of features is largest. */
struct batch {
    float x[N][FEATURES], weight[N];
    int64_t label[N], index[N];
    int64_t rng_step, opt_step;
    double lr;
};

static void batch_make(struct batch *b, uint64_t seed)
{
    uint64_t r = seed * 2 + 1;

    for (int i = 0; i < N; i++) {
        float best = -9;

        for (int f = 0; f < FEATURES; f++) {
            r = r * 6364136223846793005ull + 1442695040888963407ull;
            b->x[i][f] = (float)((double)(r >> 40) / (1 << 24) * 2 - 1);
        }
        for (int c = 0; c < CLASSES; c++) {
            float v = b->x[i][2 * c] + b->x[i][2 * c + 1];

            b->label[i] = v > best ? c : b->label[i];
            best = fmaxf(best, v);
        }
        b->weight[i] = 1;
        b->index[i] = i;
    }
    b->rng_step = 0;
    b->opt_step = 1;
    b->lr = 0.01;
}

/* Pointers in the program's order, from sample `from` on. */
static void batch_point(struct lt_session *s, enum lt_program_kind kind, const struct batch *b,
                        int from, const void **in)
{
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"x", b->x[from]},
               {"label", &b->label[from]},
               {"weight", &b->weight[from]},
               {"sample_index", &b->index[from]},
               {"rng_step", &b->rng_step},
               {"opt_step", &b->opt_step},
               {"lr", &b->lr}};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        int at = lt_session_input(s, kind, all[i].name);

        if (at >= 0)
            in[at] = all[i].data;
    }
}

static void run(struct lt_session *s, enum lt_program_kind kind, const struct batch *b, int from,
                int n)
{
    const void *in[16] = {NULL};
    struct lt_error err = {0};

    assert_true(lt_session_n_inputs(s, kind) <= 16);
    batch_point(s, kind, b, from, in);
    if (lt_session_run(s, kind, n, in, &err) < 0)
        fail_msg("%s", err.text);
}

static double out(struct lt_session *s, enum lt_program_kind kind, const char *name)
{
    int i = lt_session_output(s, kind, name);

    assert_true(i >= 0);
    return lt_session_scalar(s, i);
}

static struct lt_arena *arena;
static const struct lt_backend *be; /* of the running test */

static struct lt_session *open_text(const char *text)
{
    struct lt_session_config c = {
        .plan = plan_parse(arena, text), .fields = fields, .n_fields = 2, .backend = be};
    struct lt_session *s = NULL;
    struct lt_error err = {0};

    if (lt_session_open(&c, &s, &err) < 0 || lt_session_init(s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

#define MODEL "model: {layers: [{linear: {out_features: 16}}, relu, {linear: {out_features: 3}}]}\n"
#define STEP "step: {loss: cross_entropy, metrics: [accuracy]}\n"
#define DATA(n) "data: {source: {idx: {dir: x}}, batch_size: " #n "}\n"

static void learns(const char *optimizer, double lr)
{
    char text[600];
    struct batch b;
    double first = 0, last = 0;

    snprintf(text, sizeof text, "seed: 7\n" MODEL DATA(32) STEP "optimizer: %s\n", optimizer);
    LT_AUTO(lt_session_close) struct lt_session *s = open_text(text);

    for (int i = 0; i < 60; i++) {
        batch_make(&b, (uint64_t)i % 4);
        b.opt_step = i + 1;
        b.lr = lr;
        run(s, LT_PROGRAM_STEP, &b, 0, N);
        last = out(s, LT_PROGRAM_STEP, "loss.sum") / out(s, LT_PROGRAM_STEP, "loss.weight");
        first = i ? first : last;
    }
    if (!(last < 0.6 * first))
        fail_msg("%s: loss from %g to %g", optimizer, first, last);
    run(s, LT_PROGRAM_EVAL, &b, 0, N);
    assert_true(out(s, LT_PROGRAM_EVAL, "acc.sum") / out(s, LT_PROGRAM_EVAL, "acc.weight") > 0.75);
}

static void every_optimizer_learns(void **state)
{
    be = *state;
    learns("sgd", 0.5);
    learns("{sgd: {momentum: 0.9, nesterov: true}}", 0.1);
    learns("adam", 0.03);
    learns("{adam: {amsgrad: true, betas: [0.8, 0.99]}}", 0.03);
    learns("adamw", 0.03);
}

/* Largest difference of the parameters of two sessions. */
static double distance(struct lt_session *a, struct lt_session *b, enum lt_value_kind kind)
{
    double most = 0;

    assert_true(lt_session_n_tensors(a) > 0);
    for (int i = 0; i < lt_session_n_tensors(a); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(a, i);
        float x[512], y[512];

        if (t->kind != kind || t->dtype != LT_F32)
            continue;
        assert_string_equal(t->name, lt_session_tensor(b, i)->name);
        assert_true(t->bytes <= sizeof x);
        lt_session_read(a, i, x, NULL);
        lt_session_read(b, i, y, NULL);
        for (size_t k = 0; k < t->bytes / sizeof *x; k++)
            most = fmax(most, fabs((double)x[k] - (double)y[k]));
    }
    return most;
}

#define ADAM "optimizer: {adamw: {lr: 0.01}}\n"

static void four_times_eight_is_one_of_thirty_two(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close)
    struct lt_session *whole =
        open_text(MODEL DATA(32) STEP ADAM "trainer: {gradient_clip_val: 0.1}\n");
    LT_AUTO(lt_session_close)
    struct lt_session *parts = open_text(
        MODEL DATA(8) STEP ADAM "trainer: {gradient_clip_val: 0.1, accumulate_grad_batches: 4}\n");
    struct batch b;

    assert_true(distance(whole, parts, LT_VALUE_PARAM) == 0);
    for (int i = 0; i < 5; i++) {
        batch_make(&b, 50 + (uint64_t)i);
        b.opt_step = i + 1;
        b.weight[3] = 0; /* sample weights weigh in both, too */
        b.weight[20] = 0.5f;
        run(whole, LT_PROGRAM_STEP, &b, 0, 32);
        for (int k = 0; k < 3; k++)
            run(parts, LT_PROGRAM_MICRO, &b, 8 * k, 8);
        run(parts, LT_PROGRAM_STEP, &b, 24, 8);
        assert_true(fabs(out(whole, LT_PROGRAM_STEP, "window.loss") -
                         out(parts, LT_PROGRAM_STEP, "window.loss")) < 1e-5);
        assert_true(out(parts, LT_PROGRAM_STEP, "window.weight") == 30.5);
        assert_true(fabs(out(whole, LT_PROGRAM_STEP, "grad_norm") -
                         out(parts, LT_PROGRAM_STEP, "grad_norm")) < 1e-6);
        assert_true(distance(whole, parts, LT_VALUE_PARAM) < 2e-5);
    }
}

static void a_window_leaves_nothing_behind(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close)
    struct lt_session *s =
        open_text(MODEL DATA(8) STEP ADAM "trainer: {accumulate_grad_batches: 2}\n");
    struct batch b;
    int accums = 0;

    batch_make(&b, 1);
    run(s, LT_PROGRAM_MICRO, &b, 0, 8);
    run(s, LT_PROGRAM_STEP, &b, 8, 8);
    for (int i = 0; i < lt_session_n_tensors(s); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(s, i);
        unsigned char got[2048], zero[2048] = {0};

        if (t->kind != LT_VALUE_ACCUM)
            continue;
        accums++;
        lt_session_read(s, i, got, NULL);
        assert_memory_equal(got, zero, t->bytes);
    }
    assert_int_equal(accums, 6); /* four gradients, window.loss, window.weight */
}

static void a_loss_that_is_not_finite_changes_nothing(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close) struct lt_session *a = open_text(MODEL DATA(32) STEP ADAM);
    LT_AUTO(lt_session_close) struct lt_session *b = open_text(MODEL DATA(32) STEP ADAM);
    struct batch x;

    batch_make(&x, 3);
    run(a, LT_PROGRAM_STEP, &x, 0, N);
    run(b, LT_PROGRAM_STEP, &x, 0, N);
    assert_true(out(a, LT_PROGRAM_STEP, "update.skipped") == 0);
    x.weight[5] = NAN;
    x.opt_step = 2;
    run(a, LT_PROGRAM_STEP, &x, 0, N);
    assert_true(out(a, LT_PROGRAM_STEP, "update.skipped") == 1);
    x.weight[5] = 1;
    x.x[0][0] = NAN; /* in front of a relu, fused or not */
    run(a, LT_PROGRAM_STEP, &x, 0, N);
    assert_true(out(a, LT_PROGRAM_STEP, "update.skipped") == 1);
    assert_true(distance(a, b, LT_VALUE_PARAM) == 0);
    assert_true(distance(a, b, LT_VALUE_OPTIM) == 0);
}

static void norms_are_clipped(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close)
    struct lt_session *s =
        open_text(MODEL DATA(32) STEP "optimizer: sgd\ntrainer: {gradient_clip_val: 0.01}\n");
    LT_AUTO(lt_session_close)
    struct lt_session *before =
        open_text(MODEL DATA(32) STEP "optimizer: sgd\ntrainer: {gradient_clip_val: 0.01}\n");
    struct batch b;
    double square = 0;

    batch_make(&b, 3);
    b.lr = 1;
    run(s, LT_PROGRAM_STEP, &b, 0, N);
    assert_true(out(s, LT_PROGRAM_STEP, "grad_norm") > 0.05);
    for (int i = 0; i < lt_session_n_tensors(s); i++) {
        float x[512], y[512];

        lt_session_read(s, i, x, NULL);
        lt_session_read(before, i, y, NULL);
        for (size_t k = 0; k < lt_session_tensor(s, i)->bytes / 4; k++)
            square += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
    }
    assert_true(fabs(sqrt(square) - 0.01) < 1e-5);
}

static void values_are_clipped(void **state)
{
    be = *state;
    static const char text[] = MODEL DATA(32) STEP
        "optimizer: sgd\ntrainer: {gradient_clip_val: 0.001, gradient_clip_algorithm: value}\n";
    LT_AUTO(lt_session_close) struct lt_session *s = open_text(text);
    LT_AUTO(lt_session_close) struct lt_session *before = open_text(text);
    struct batch b;

    batch_make(&b, 3);
    b.lr = 1;
    run(s, LT_PROGRAM_STEP, &b, 0, N);
    assert_int_equal(lt_session_output(s, LT_PROGRAM_STEP, "grad_norm"), -1);
    double d = distance(s, before, LT_VALUE_PARAM);

    assert_true(d > 0.00099 && d < 0.00101);
}

static void a_short_batch_equals_a_padded_one(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close) struct lt_session *s = open_text(MODEL DATA(32) STEP ADAM);
    struct batch b;
    double loss;

    batch_make(&b, 9);
    run(s, LT_PROGRAM_EVAL, &b, 0, 5);
    loss = out(s, LT_PROGRAM_EVAL, "loss.sum");
    assert_true(out(s, LT_PROGRAM_EVAL, "loss.weight") == 5);
    for (int i = 5; i < N; i++)
        b.weight[i] = 0;
    run(s, LT_PROGRAM_EVAL, &b, 0, N);
    assert_true(fabs(out(s, LT_PROGRAM_EVAL, "loss.sum") - loss) < 1e-6);
    assert_true(out(s, LT_PROGRAM_EVAL, "acc.weight") == 5);
}

static void start_values_follow_seed_and_name(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close)
    struct lt_session *a = open_text("seed: 1\n" MODEL DATA(32) STEP ADAM);
    LT_AUTO(lt_session_close) struct lt_session *b = open_text("seed: 1\n" MODEL DATA(8) STEP ADAM);
    LT_AUTO(lt_session_close)
    struct lt_session *c = open_text("seed: 2\n" MODEL DATA(32) STEP ADAM);
    float w[16 * FEATURES];
    double bound = 1 / sqrt(FEATURES), low = 1, high = -1;

    assert_true(distance(a, b, LT_VALUE_PARAM) == 0);
    assert_true(distance(a, c, LT_VALUE_PARAM) > 0.1);
    assert_string_equal(lt_session_tensor(a, 0)->name, "0.weight");
    lt_session_read(a, 0, w, NULL);
    for (size_t i = 0; i < LT_ARRAY_LEN(w); i++) {
        low = fmin(low, (double)w[i]);
        high = fmax(high, (double)w[i]);
    }
    assert_true(low >= -bound && low < -0.9 * bound && high <= bound && high > 0.9 * bound);
}

static void tensors_are_read_as_written_in_a_fixed_order(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close)
    struct lt_session *s =
        open_text(MODEL DATA(32) STEP ADAM "trainer: {accumulate_grad_batches: 2}\n");
    static const char *const want[] = {"0.weight",         "0.bias",
                                       "2.weight",         "2.bias",
                                       "exp_avg/0.weight", "exp_avg_sq/0.weight",
                                       "exp_avg/0.bias",   "exp_avg_sq/0.bias",
                                       "exp_avg/2.weight", "exp_avg_sq/2.weight",
                                       "exp_avg/2.bias",   "exp_avg_sq/2.bias",
                                       "window.loss",      "window.weight",
                                       "grad/0.weight",    "grad/0.bias",
                                       "grad/2.weight",    "grad/2.bias"};

    assert_int_equal(lt_session_n_tensors(s), LT_ARRAY_LEN(want));
    for (size_t i = 0; i < LT_ARRAY_LEN(want); i++) {
        unsigned char in[2048], got[2048];
        size_t bytes = lt_session_tensor(s, (int)i)->bytes;

        assert_string_equal(lt_session_tensor(s, (int)i)->name, want[i]);
        memset(in, (int)(i + 1), bytes);
        assert_int_equal(lt_session_write(s, (int)i, in, NULL), 0);
        assert_int_equal(lt_session_read(s, (int)i, got, NULL), 0);
        assert_memory_equal(in, got, bytes);
    }
}

static void a_label_out_of_range_is_an_error_of_the_data(void **state)
{
    be = *state;
    LT_AUTO(lt_session_close) struct lt_session *s = open_text(MODEL DATA(32) STEP ADAM);
    const void *in[16];
    struct lt_error err;
    struct batch b;

    batch_make(&b, 1);
    b.label[4] = 3;
    batch_point(s, LT_PROGRAM_STEP, &b, 0, in);
    assert_int_equal(lt_session_run(s, LT_PROGRAM_STEP, N, in, &err), -33); /* EDOM */
    assert_non_null(strstr(err.text, "4"));
}

static void costs_are_known_without_memory(void **state)
{
    be = *state;
    const char *text = "model: {layers: [{linear: {out_features: 4000000}}, relu, {linear: "
                       "{out_features: 3}}]}\n" DATA(32) STEP ADAM;
    struct lt_session_config c = {.plan = plan_parse(arena, text),
                                  .fields = fields,
                                  .n_fields = 2,
                                  .backend = &lt_backend_null,
                                  .plan_only = true};
    LT_AUTO(lt_session_close) struct lt_session *s = NULL;
    struct lt_session_cost cost;
    LT_BUF_AUTO json = {0};

    assert_int_equal(lt_session_open(&c, &s, NULL), 0);
    lt_session_cost(s, &cost);
    assert_int_equal(cost.parameters, 4000000ull * 6 + 4000000 + 3 * 4000000ull + 3);
    assert_int_equal(cost.checkpoint_bytes, cost.parameters * 4 * 3);
    assert_true(cost.persistent_bytes >= cost.checkpoint_bytes);
    assert_true(cost.persistent_bytes < cost.checkpoint_bytes + 12 * LT_ALIGN);
    assert_true(cost.arena_bytes >= 2ull * 32 * 4000000 * 4);
    assert_true(cost.flops_per_step > 3ull * 2 * 32 * 4000000 * 6);
    lt_session_report(s, &json);
    assert_non_null(strstr(json.data,
                           "\"name\":\"0\",\"kind\":\"linear\",\"path\":\"model.layers[0].linear\","
                           "\"output\":\"float32[n, 4000000]\",\"parameters\":28000000"));
}

static void a_plan_that_does_not_fit_is_refused_with_its_path(void **state)
{
    be = *state;
    struct lt_session_config c = {
        .plan = plan_parse(
            arena,
            "model: {layers: [{conv2d: {out_channels: 3, kernel_size: 3}}]}\n" DATA(32) STEP ADAM),
        .fields = fields,
        .n_fields = 2,
        .backend = be};
    struct lt_session *s = NULL;
    struct lt_problems p = {0};
    struct lt_error err;

    assert_true(lt_session_open(&c, &s, &err) < 0);
    assert_null(s);
    assert_non_null(strstr(err.text, "model.layers[0].conv2d: expected 4-d input"));
    assert_true(lt_session_check(c.plan, fields, 2, &p) < 0);
    assert_int_equal(p.errors, 1);
    lt_problems_done(&p);
}

static void passes_can_be_dumped(void **state)
{
    be = *state;
    struct lt_session_config c = {.plan = plan_parse(arena, MODEL DATA(32) STEP ADAM),
                                  .fields = fields,
                                  .n_fields = 2,
                                  .backend = be};
    LT_BUF_AUTO text = {0};

    assert_int_equal(lt_session_dump_passes(&c, &text, NULL), 0);
    static const char *const stages[] = {"import",    "simplify",  "autodiff", "update",
                                         "recompute", "precision", "parallel", "fuse",
                                         "lower",     "order",     "place"};

    for (size_t i = 0; i < LT_ARRAY_LEN(stages); i++) {
        char head[40];

        snprintf(head, sizeof head, "== %s ==\n", stages[i]);
        if (!strstr(text.data, head))
            fail_msg("no %s", head);
    }
}

static int setup(void **state)
{
    (void)state;
    arena = lt_arena_new(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_arena_free(arena);
    return 0;
}

#define ON(test, backend)                                                                          \
    {                                                                                              \
#test " on " #backend, test, NULL, NULL, (void *)(uintptr_t)&lt_backend_##backend          \
    }
#define BOTH(test) ON(test, ref), ON(test, cpu)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(every_optimizer_learns),
        BOTH(four_times_eight_is_one_of_thirty_two),
        BOTH(a_window_leaves_nothing_behind),
        BOTH(a_loss_that_is_not_finite_changes_nothing),
        BOTH(norms_are_clipped),
        BOTH(values_are_clipped),
        BOTH(a_short_batch_equals_a_padded_one),
        BOTH(start_values_follow_seed_and_name),
        BOTH(tensors_are_read_as_written_in_a_fixed_order),
        BOTH(a_label_out_of_range_is_an_error_of_the_data),
        BOTH(a_plan_that_does_not_fit_is_refused_with_its_path),
        BOTH(passes_can_be_dumped),
        ON(costs_are_known_without_memory, null),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
