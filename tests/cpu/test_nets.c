/* test_nets.c - random nets of 5 to 9 layers train alike on cpu and on the reference back end
 *
 * Through the session: micro-batches, a short batch, evaluation, every optimiser; with one and two
 * threads the same bits. A failure prints the seed and the plan; LT_SEED=n runs that one.
 */
#include "tests/graph/plan_text.h"

#include <math.h>
#include <stdlib.h>
#include "base/philox.h"
#include "engine/session/session.h"

#define N 6 /* of the random nets */
#define MOST 35
#define SEEDS 40

static unsigned draw(uint64_t *r, unsigned n)
{
    *r = *r * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(*r >> 33) % n;
}

static char *random_plan(uint64_t seed)
{
    static const char *const images[] = {
        "{conv2d: {out_channels: 4, kernel_size: 3, padding: 1, groups: 2}}",
        "{conv2d: {out_channels: 6, kernel_size: [3, 2], stride: [1, 2], padding: 1}}",
        "{conv2d: {out_channels: 16, kernel_size: 3, padding: 2, dilation: 2}}, relu, {max_pool2d: "
        "{kernel_size: 2, stride: 1}}",
        "batch_norm",
        "relu",
        "tanh",
        "gelu",
        "{residual: {layers: [{conv2d: {out_channels: 4, kernel_size: 1}}, relu]}}",
        "{dropout: {p: 0.3}}",
        "{max_pool2d: {kernel_size: 3, stride: 1, padding: 1}}",
        "{avg_pool2d: {kernel_size: 3, stride: 1, padding: 1}}",
        "{layer_norm: {}}",
        "{softmax: {dim: 1}}",
        "{residual: {layers: [batch_norm, {gelu: {approximate: tanh}}]}}",
        "relu, {max_pool2d: {kernel_size: 2}}"};
    static const char *const vectors[] = {
        "{linear: {out_features: 7}}, relu",
        "relu",
        "{residual: {layers: [sigmoid, {linear: {out_features: 7}}]}}",
        "batch_norm",
        "{layer_norm: {}}",
        "log_softmax",
        "{dropout: {p: 0.5}}",
        "{gelu: {approximate: tanh}}"};
    static const char *const optimizers[] = {
        "{sgd: {lr: 0.1}}", "{sgd: {lr: 0.1, momentum: 0.9, nesterov: true}}", "{adam: {eps: 0.1}}",
        "{adam: {amsgrad: true, eps: 0.1, weight_decay: 0.1}}", "{adamw: {eps: 0.1}}"};
    LT_BUF_AUTO b = {0};
    uint64_t r = seed * 77 + 5;

    lt_buf_printf(&b, "seed: %llu\nmodel: {layers: [{conv2d: {out_channels: 4, kernel_size: 3}}",
                  (unsigned long long)seed);
    for (unsigned i = 1 + draw(&r, 3); i; i--) {
        unsigned k = draw(&r, LT_ARRAY_LEN(images));

        lt_buf_printf(&b, ", %s", images[k]);
        if (k == 1 || k == 2)
            lt_buf_str(&b, ", {conv2d: {out_channels: 4, kernel_size: 1}}");
    }
    lt_buf_str(&b, draw(&r, 3) ? ", flatten" : ", global_avg_pool2d, flatten");
    if (draw(&r, 2))
        lt_buf_str(&b, ", {dropout: {p: 0.2}}");
    lt_buf_str(&b, ", {linear: {out_features: 7}}");
    for (unsigned i = draw(&r, 3); i; i--)
        lt_buf_printf(&b, ", %s", vectors[draw(&r, LT_ARRAY_LEN(vectors))]);
    lt_buf_printf(
        &b, ", {linear: {out_features: 3}}]}\ndata: {source: {idx: {dir: x}}, batch_size: %d}\n",
        N);
    lt_buf_printf(&b, "step: {loss: cross_entropy, metrics: [accuracy]}\noptimizer: %s\n",
                  optimizers[draw(&r, LT_ARRAY_LEN(optimizers))]);
    lt_buf_printf(&b, "trainer: {gradient_clip_val: %u, accumulate_grad_batches: %u}\n",
                  draw(&r, 2), 1 + draw(&r, 2));
    return lt_buf_take(&b);
}

static const struct lt_field small[] = {{"image", LT_F32, 3, {1, 12, 11}, 0},
                                        {"label", LT_I64, 0, {0}, 3}};
static const struct lt_field large[] = {{"image", LT_F32, 3, {2, 14, 14}, 0},
                                        {"label", LT_I64, 0, {0}, 3}};

struct batch {
    float image[MOST * 392], weight[MOST];
    int64_t label[MOST], index[MOST];
    int64_t rng_step, opt_step;
    double lr;
};

static void batch_make(struct batch *b, uint64_t seed)
{
    struct lt_rng rng = lt_rng_make(seed, LT_RNG_INIT, 0);

    for (int i = 0; i < MOST; i++) {
        for (int k = 0; k < 392; k++)
            b->image[i * 392 + k] = lt_rng_uniform(&rng, (uint64_t)i, 0, (uint32_t)k) * 2 - 1;
        b->label[i] = (int64_t)lt_rng_below(&rng, 1, (uint64_t)i, 3);
        b->weight[i] = i == 2 ? 0 : 1;
        b->index[i] = i;
    }
    b->rng_step = (int64_t)seed;
    b->opt_step = (int64_t)seed + 1;
    b->lr = 0.05;
}

/* Everything that a run gave: losses and metrics, then all tensors. */
struct result {
    double scalar[64];
    int n_scalars;
    struct lt_buf tensors;
};

static void program_run(struct lt_session *s, enum lt_program_kind kind, const struct batch *b,
                        int64_t n, const char *plan, struct result *r)
{
    static const char *const outputs[] = {"loss.sum", "loss.weight", "accuracy.sum",
                                          "accuracy.weight", "window.loss"};
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"image", b->image},
               {"label", b->label},
               {"weight", b->weight},
               {"sample_index", b->index},
               {"rng_step", &b->rng_step},
               {"opt_step", &b->opt_step},
               {"lr", &b->lr}};
    const void *in[16] = {NULL};
    struct lt_error err = {0};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++)
        if (lt_session_input(s, kind, all[i].name) >= 0)
            in[lt_session_input(s, kind, all[i].name)] = all[i].data;
    if (lt_session_run(s, kind, n, in, &err) < 0)
        fail_msg("%s\n%s", plan, err.text);
    for (size_t i = 0; i < LT_ARRAY_LEN(outputs); i++)
        if (lt_session_output(s, kind, outputs[i]) >= 0)
            r->scalar[r->n_scalars++] =
                lt_session_scalar(s, lt_session_output(s, kind, outputs[i]));
}

static void tensors_read(struct lt_session *s, struct result *r)
{
    for (int i = 0; i < lt_session_n_tensors(s); i++) {
        size_t bytes = lt_session_tensor(s, i)->bytes;
        void *p = lt_malloc(bytes + 1);
        struct lt_error err = {0};

        if (lt_session_read(s, i, p, &err) < 0)
            fail_msg("%s", err.text);
        lt_buf_append(&r->tensors, p, bytes);
        lt_free(p);
    }
}

static void train(const struct lt_backend *be, int threads, const char *text,
                  struct lt_arena *arena, struct result *r)
{
    struct lt_session_config c = {.plan = plan_parse(arena, text),
                                  .fields = small,
                                  .n_fields = 2,
                                  .backend = be,
                                  .device = {.threads = threads}};
    struct lt_session *s = NULL;
    struct lt_error err = {0};
    static struct batch b;
    bool micro = c.plan->trainer->accumulate_grad_batches > 1;
    int64_t n = (int64_t)c.plan->data->batch_size;

    *r = (struct result){.n_scalars = 0};
    if (n > N)
        c.fields = large;
    if (lt_session_open(&c, &s, &err) < 0 || lt_session_init(s, &err) < 0)
        fail_msg("%s\n%s", text, err.text);
    for (int i = 0; i < 3; i++) {
        batch_make(&b, (uint64_t)i);
        if (micro)
            program_run(s, LT_PROGRAM_MICRO, &b, n, text, r);
        program_run(s, LT_PROGRAM_STEP, &b, i == 1 ? n - 1 : n, text, r);
    }
    program_run(s, LT_PROGRAM_EVAL, &b, n, text, r);
    tensors_read(s, r);
    lt_session_close(s);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 2e-4 * (1 + fabs(b));
}

static void compare(uint64_t seed, const char *text, const struct result *a, const struct result *b)
{
    const float *x = (const float *)(const void *)a->tensors.data,
                *y = (const float *)(const void *)b->tensors.data;
    size_t far = 0, n = a->tensors.len / sizeof *x;

    for (int i = 0; i < a->n_scalars; i++)
        if (!near(a->scalar[i], b->scalar[i]))
            fail_msg("seed %llu: scalar %d is %.9g, the reference gives %.9g\n%s",
                     (unsigned long long)seed, i, a->scalar[i], b->scalar[i], text);
    for (size_t i = 0; i < n; i++)
        far += !near((double)x[i], (double)y[i]);
    if (far)
        fail_msg("seed %llu: %zu of %zu numbers differ\n%s", (unsigned long long)seed, far, n,
                 text);
}

static void net(uint64_t seed)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    char *text = random_plan(seed);
    struct result ref, one, two;

    train(&lt_backend_ref, 1, text, arena, &ref);
    train(&lt_backend_cpu, 1, text, arena, &one);
    train(&lt_backend_cpu, 2, text, arena, &two);
    compare(seed, text, &one, &ref);
    if (memcmp(one.tensors.data, two.tensors.data, one.tensors.len) != 0)
        fail_msg("seed %llu: other bits with two threads\n%s", (unsigned long long)seed, text);
    lt_buf_done(&ref.tensors);
    lt_buf_done(&one.tensors);
    lt_buf_done(&two.tensors);
    lt_free(text);
}

static void nets_train_alike(void **state)
{
    const char *only = getenv("LT_SEED");

    (void)state;
    if (only) {
        net(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        net(seed);
}

/* Large enough that convolutions run in pieces of the batch and products on several threads; the
 * last piece and the last batch are short. */
static void threads_and_pieces_change_no_bit(void **state)
{
    static const char text[] =
        "seed: 3\nmodel: {layers: [{conv2d: {out_channels: 24, kernel_size: 3, padding: 1}}, relu, "
        "{max_pool2d: {kernel_size: 2}}, {conv2d: {out_channels: 32, kernel_size: 3, padding: 1}}, "
        "relu, "
        "{max_pool2d: {kernel_size: 2}}, flatten, {dropout: {p: 0.25}}, {linear: {out_features: "
        "64}}, relu, "
        "{linear: {out_features: 3}}]}\ndata: {source: {idx: {dir: x}}, batch_size: 35}\n"
        "step: {loss: cross_entropy, metrics: [accuracy]}\noptimizer: {adam: {eps: 0.1}}\n"
        "trainer: {accumulate_grad_batches: 2}\n";
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct result ref, one, more;

    (void)state;
    train(&lt_backend_ref, 1, text, arena, &ref);
    train(&lt_backend_cpu, 1, text, arena, &one);
    compare(0, text, &one, &ref);
    for (int threads = 2; threads <= 4; threads++) {
        train(&lt_backend_cpu, threads, text, arena, &more);
        assert_memory_equal(one.tensors.data, more.tensors.data, one.tensors.len);
        lt_buf_done(&more.tensors);
    }
    lt_buf_done(&ref.tensors);
    lt_buf_done(&one.tensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nets_train_alike),
                                       cmocka_unit_test(threads_and_pieces_change_no_bit)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
