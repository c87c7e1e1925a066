/* test_gradients.c - whole nets against central differences: autodiff, passes and kernels together
 *
 * The analytic gradient is what an SGD update of learning rate 1 subtracts; the numeric one moves
 * single parameters and reads the training loss of the same step program (learning rate 0), so that
 * dropout and batch norm behave alike.
 */
#include "tests/graph/plan_text.h"

#include <math.h>
#include "engine/session/session.h"

#define N 4
#define PIXELS 64
#define FLOATS 4096

static const struct lt_field fields[] = {
    {"image", LT_F32, 3, {1, 8, 8}, 0}, {"label", LT_I64, 0, {0}, 3}, {"goal", LT_F32, 1, {5}, 0}};

struct batch {
    float image[N][PIXELS], goal[N][5], weight[N];
    int64_t label[N], index[N], rng_step, opt_step;
    double lr;
};

static double uniform(uint64_t *r)
{
    *r = *r * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(*r >> 40) / (1 << 24) * 2 - 1;
}

static void batch_make(struct batch *b, uint64_t seed)
{
    uint64_t r = seed;

    *b = (struct batch){.rng_step = 3, .opt_step = 2};
    for (int i = 0; i < N; i++) {
        for (int p = 0; p < PIXELS; p++)
            b->image[i][p] = (float)uniform(&r);
        for (int p = 0; p < 5; p++)
            b->goal[i][p] = (float)uniform(&r);
        b->weight[i] = i == 1 ? 0.5f : i == 2 ? 0 : 1;
        b->label[i] = i % 3;
        b->index[i] = 100 + i;
    }
}

static double step(struct lt_session *s, const struct batch *b)
{
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"image", b->image},        {"label", b->label},
               {"goal", b->goal},          {"weight", b->weight},
               {"sample_index", b->index}, {"rng_step", &b->rng_step},
               {"opt_step", &b->opt_step}, {"lr", &b->lr}};
    const void *in[16] = {NULL};
    struct lt_error err = {0};
    int o = lt_session_output(s, LT_PROGRAM_STEP, "loss.sum"),
        w = lt_session_output(s, LT_PROGRAM_STEP, "loss.weight");

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        int at = lt_session_input(s, LT_PROGRAM_STEP, all[i].name);

        if (at >= 0)
            in[at] = all[i].data;
    }
    if (lt_session_run(s, LT_PROGRAM_STEP, N, in, &err) < 0)
        fail_msg("%s", err.text);
    return lt_session_scalar(s, o) / lt_session_scalar(s, w);
}

/* d loss / d element by moving it; the session's parameters are as before afterwards. */
static double numeric(struct lt_session *s, struct batch *b, int tensor, float *values, size_t at)
{
    float was = values[at], h = 4e-3f;
    double up, down;

    b->lr = 0;
    values[at] = was + h;
    lt_session_write(s, tensor, values, NULL);
    up = step(s, b);
    values[at] = was - h;
    lt_session_write(s, tensor, values, NULL);
    down = step(s, b);
    values[at] = was;
    lt_session_write(s, tensor, values, NULL);
    return (up - down) / (2 * (double)h);
}

static void check_tensor(struct lt_session *s, struct batch *b, int tensor, const char *layers)
{
    const struct lt_tensor_info *t = lt_session_tensor(s, tensor);
    float before[FLOATS], after[FLOATS];
    size_t n = t->bytes / sizeof *before, stride = n / 4 + 1;

    assert_true(n <= FLOATS);
    lt_session_read(s, tensor, before, NULL);
    b->lr = 1;
    step(s, b);
    lt_session_read(s, tensor, after, NULL);
    b->lr = 0;
    for (size_t at = 0; at < n; at += stride) {
        double analytic = (double)before[at] - (double)after[at], want;

        /* the other tensors moved, too: all back to their start */
        assert_int_equal(lt_session_init(s, NULL), 0);
        want = numeric(s, b, tensor, before, at);
        if (!(fabs(analytic - want) < 2e-3 + 0.02 * fabs(want)))
            fail_msg("%s: %s[%zu]: %g, by differences %g", layers, t->name, at, analytic, want);
    }
    assert_int_equal(lt_session_init(s, NULL), 0);
}

static const struct lt_backend *be;

static void check_net(const char *layers, const char *loss)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    LT_AUTO(lt_free)
    char *text =
        lt_format("seed: 5\nmodel: {layers: [%s]}\ndata: {source: {idx: {dir: x}}, batch_size: 4}\n"
                  "step: {loss: %s}\noptimizer: sgd\n",
                  layers, loss);
    struct lt_session_config c = {.plan = plan_parse(arena, text),
                                  .fields = fields,
                                  .n_fields = 3,
                                  .backend = be,
                                  .programs = 1u << LT_PROGRAM_STEP};
    LT_AUTO(lt_session_close) struct lt_session *s = NULL;
    struct lt_error err = {0};
    struct batch b;

    batch_make(&b, 77);
    if (lt_session_open(&c, &s, &err) < 0 || lt_session_init(s, &err) < 0)
        fail_msg("%s: %s", layers, err.text);
    for (int i = 0; i < lt_session_n_tensors(s); i++)
        if (lt_session_tensor(s, i)->kind == LT_VALUE_PARAM)
            check_tensor(s, &b, i, layers);
}

static void gradients_of_nets_are_right(void **state)
{
    be = *state;
    static const struct {
        const char *layers, *loss;
    } nets[] = {
        {"flatten, {linear: {out_features: 6}}, relu, {linear: {out_features: 3}}",
         "cross_entropy"},
        {"flatten, {linear: {out_features: 6}}, tanh, {linear: {out_features: 5, bias: false}}, "
         "sigmoid",
         "{mse: {target: goal}}"},
        {"flatten, {linear: {out_features: 6}}, {layer_norm: {}}, {gelu: {approximate: tanh}}, "
         "{linear: {out_features: 3}}",
         "{cross_entropy: {label_smoothing: 0.1, weight: [1, 2, 0.5]}}"},
        {"{conv2d: {out_channels: 4, kernel_size: 3, padding: 1}}, batch_norm, relu, {max_pool2d: "
         "{kernel_size: 2}}, "
         "{conv2d: {out_channels: 4, kernel_size: 3, stride: 2, dilation: 1, groups: 2}}, gelu, "
         "flatten, "
         "{linear: {out_features: 3}}",
         "cross_entropy"},
        {"{conv2d: {out_channels: 4, kernel_size: [3, 1], padding: [1, 0]}}, {residual: {layers: "
         "[{conv2d: {out_channels: 4, "
         "kernel_size: 1}}, tanh]}}, {avg_pool2d: {kernel_size: 3, stride: 2, padding: 1}}, "
         "global_avg_pool2d, flatten, "
         "{linear: {out_features: 3}}",
         "cross_entropy"},
        {"flatten, {linear: {out_features: 12}}, {dropout: {p: 0.4}}, {unflatten: {dim: 1, sizes: "
         "[3, -1]}}, "
         "{linear: {out_features: 2}}, {softmax: {dim: 1}}, flatten, {batch_norm: {}}, {linear: "
         "{out_features: 3}}, log_softmax",
         "cross_entropy"},
        {"{repeat: {times: 2, layers: [{conv2d: {out_channels: 2, kernel_size: 3}}, tanh]}}, "
         "flatten, "
         "{linear: {out_features: 3}}",
         "cross_entropy"},
    };

    for (size_t i = 0; i < LT_ARRAY_LEN(nets); i++)
        check_net(nets[i].layers, nets[i].loss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(gradients_of_nets_are_right, (void *)(uintptr_t)&lt_backend_ref),
        cmocka_unit_test_prestate(gradients_of_nets_are_right, (void *)(uintptr_t)&lt_backend_cpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
