/* engine_step.c - time of one training step, and the roofline of the machine it runs on
 *
 *   lt-bench-step CASE THREADS       CASE: mlp (784-128-10, batch 32) or cnn (1-32-64 3x3, pools,
 *                                    128, 10, batch 64); behind it -bf16 or -f64 for another precision
 *   lt-bench-step CASE THREADS RANKS STEPS [BATCH]
 *                                    BATCH samples (the case's) on each of so many ranks that train
 *                                    as one, on THREADS processors each; prints rank 0's "min
 *                                    median wait spent" once: of a step, and how many of 1000 parts
 *                                    of its time it waited for collectives, and spent on them in all
 *   lt-bench-step roofline THREADS
 *
 * Reads lines "N" from stdin, runs N steps for each and answers "min median" in microseconds, so
 * that a driver can interleave it with a rival. The roofline line: GFLOP/s of the best matrix
 * product, GB/s from memory, GB/s from the second-level cache. Data are random; the plan is what a
 * user would write.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/philox.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/comm/comm.h"
#include "engine/cpu/dnn.h"
#include "engine/cpu/program.h"
#include "engine/session/session.h"
#include "proto/text/text.h"
#include "tests/support/ranks.h"

struct bench_case {
    const char *name, *layers;
    int64_t batch;
};

static const struct bench_case cases[] = {
    {"mlp", "[flatten, {linear: {out_features: 128}}, relu, {linear: {out_features: 10}}]", 32},
    {"cnn",
     "[{conv2d: {out_channels: 32, kernel_size: 3, padding: 1}}, relu, {max_pool2d: {kernel_size: "
     "2}}, "
     "{conv2d: {out_channels: 64, kernel_size: 3, padding: 1}}, relu, {max_pool2d: {kernel_size: "
     "2}}, flatten, "
     "{linear: {out_features: 128}}, relu, {linear: {out_features: 10}}]",
     64},
};

static const struct {
    const char *suffix, *word;
} precisions[] = {{"", "32-true"}, {"-bf16", "bf16-mixed"}, {"-f64", "64-true"}};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int fail(const char *what, const struct lt_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err ? err->text : "failed");
    return 1;
}

/* ---- a training step */

struct batch {
    float *image, *weight;
    int64_t *label, *index;
    int64_t rng_step, opt_step;
    double lr;
};

static void batch_make(struct batch *b, int64_t n)
{
    struct lt_rng rng = lt_rng_make(1, LT_RNG_INIT, 0);

    *b = (struct batch){.image = lt_calloc((size_t)n * 784, sizeof(float)),
                        .weight = lt_calloc((size_t)n, sizeof(float)),
                        .label = lt_calloc((size_t)n, sizeof(int64_t)),
                        .index = lt_calloc((size_t)n, sizeof(int64_t)),
                        .lr = 1e-3};
    for (int64_t i = 0; i < n * 784; i++)
        b->image[i] = lt_rng_uniform(&rng, 0, 0, (uint32_t)i) * 2 - 1;
    for (int64_t i = 0; i < n; i++) {
        b->label[i] = (int64_t)lt_rng_below(&rng, 1, (uint64_t)i, 10);
        b->weight[i] = 1;
        b->index[i] = i;
    }
}

static struct lt_session *session_open(const struct bench_case *c, const char *precision,
                                       int threads, struct lt_comm *comm, struct lt_arena *arena,
                                       struct lt_error *err)
{
    static const struct lt_field fields[] = {{"image", LT_F32, 3, {1, 28, 28}, 0},
                                             {"label", LT_I64, 0, {0}, 10}};
    struct lt_problems problems = {0};
    char *text =
        lt_format("seed: 1\nmodel: {layers: %s}\ndata: {source: {idx: {dir: x}}, batch_size: %d}\n"
                  "step: {loss: cross_entropy}\noptimizer: {adam: {lr: 1.0e-3}}\n"
                  "trainer: {precision: %s}\n",
                  c->layers, (int)c->batch, precision);
    Lt__V1__JobSpec *spec = lt_text_parse_spec(text, strlen(text), NULL, NULL, 0, arena, &problems);
    struct lt_session_config config = {.fields = fields,
                                       .n_fields = 2,
                                       .backend = &lt_backend_cpu,
                                       .device = {.threads = threads, .comm = comm},
                                       .world = comm ? lt_comm_world(comm) : 1,
                                       .programs = 1u << LT_PROGRAM_STEP};
    struct lt_session *s = NULL;

    lt_free(text);
    if (!spec || !spec->plan) {
        lt_error_set(err, -1, "the plan has problems: %s",
                     problems.len ? problems.items[0].reason : "?");
        return NULL;
    }
    config.plan = spec->plan;
    if (lt_session_open(&config, &s, err) < 0 || lt_session_init(s, err) < 0)
        return NULL;
    return s;
}

static void inputs_point(struct lt_session *s, const struct batch *b, const void **in)
{
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"image", b->image},        {"label", b->label}, {"weight", b->weight},
               {"sample_index", b->index}, {"lr", &b->lr},      {"opt_step", &b->opt_step},
               {"rng_step", &b->rng_step}};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        int at = lt_session_input(s, LT_PROGRAM_STEP, all[i].name);

        if (at >= 0)
            in[at] = all[i].data;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* out: the shortest and the median, in microseconds. */
static int steps(struct lt_session *s, struct batch *b, int64_t n, int count, double out[2],
                 struct lt_error *err)
{
    const void *in[16] = {NULL};
    double *t = lt_calloc((size_t)count, sizeof *t);

    inputs_point(s, b, in);
    for (int i = 0; i < count; i++) {
        double start = now_us();

        b->opt_step++;
        b->rng_step++;
        if (lt_session_run(s, LT_PROGRAM_STEP, n, in, err) < 0)
            return fail("step", err);
        t[i] = now_us() - start;
    }
    qsort(t, (size_t)count, sizeof *t, by_value);
    out[0] = t[0];
    out[1] = t[count / 2];
    lt_free(t);
    return 0;
}

static int step_rounds(struct lt_session *s, struct batch *b, int64_t n, struct lt_error *err)
{
    char line[64];
    double us[2];

    while (fgets(line, sizeof line, stdin)) {
        if (steps(s, b, n, LT_MAX(atoi(line), 1), us, err))
            return 1;
        printf("%.2f %.2f\n", us[0], us[1]);
        fflush(stdout);
    }
    return 0;
}

/* ---- of several ranks */

struct ranks {
    struct bench_case c;
    const char *precision;
    int threads, count;
};

static int rank_main(struct lt_comm *comm, void *arg)
{
    const struct ranks *r = arg;
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(1 << 24);
    LT_AUTO(lt_session_close) struct lt_session *s = NULL;
    struct lt_comm_stats before, after;
    struct lt_error err = {0};
    cpu_set_t all, own;
    struct batch b;
    double us[2], took;

    CPU_ZERO(&own);
    if (sched_getaffinity(0, sizeof all, &all) == 0 &&
        CPU_COUNT(&all) >= lt_comm_world(comm) * r->threads) {
        for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &all) && seen++ / r->threads == lt_comm_rank(comm))
                CPU_SET(cpu, &own);
        sched_setaffinity(0, sizeof own, &own);
    }
    s = session_open(&r->c, r->precision, r->threads, comm, arena, &err);
    if (!s)
        return fail(r->c.name, &err);
    batch_make(&b, r->c.batch);
    if (steps(s, &b, r->c.batch, 10, us, &err))
        return 1;
    lt_comm_stats(comm, &before);
    took = now_us();
    if (steps(s, &b, r->c.batch, r->count, us, &err))
        return 1;
    took = now_us() - took;
    lt_comm_stats(comm, &after);
    if (lt_comm_rank(comm) == 0)
        printf("%.2f %.2f %.1f %.1f\n", us[0], us[1],
               (double)(after.wait_ns - before.wait_ns) / took,
               (double)(after.spent_ns - before.spent_ns) / took);
    fflush(stdout);
    return 0;
}

static int bench_ranks(const struct bench_case *c, const char *precision, int threads, char **args)
{
    struct ranks r = {*c, precision, threads, LT_MAX(atoi(args[1]), 1)};
    struct lt_test_ranks t = {.fn = rank_main, .arg = &r, .timeout_s = 600};
    int world = t.world = atoi(args[0]);

    if (args[2])
        r.c.batch = LT_MAX(atoi(args[2]), 1);
    if (world < 1 || world > LT_TEST_RANKS_MAX || lt_test_ranks_run(&t) < 0)
        return 1;
    return t.first_status;
}

static int bench_steps(const struct bench_case *c, const char *precision, int threads)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(1 << 24);
    struct lt_error err = {0};
    double start = now_us();
    LT_AUTO(lt_session_close) struct lt_session *s = session_open(c, precision, threads, NULL, arena, &err);
    double opened = now_us();
    struct lt_session_cost cost;
    struct batch b;

    if (!s)
        return fail(c->name, &err);
    lt_session_cost(s, &cost);
    fprintf(stderr, "opened in %.1f ms; planned: %.1f MiB persistent, %.1f MiB arena\n",
            (opened - start) / 1e3, (double)cost.persistent_bytes / 0x1p20,
            (double)cost.arena_bytes / 0x1p20);
    printf("%s %s %d threads: %llu parameters, %llu FLOP a step\n", c->name, precision, threads,
           (unsigned long long)cost.parameters, (unsigned long long)cost.flops_per_step);
    fflush(stdout);
    batch_make(&b, c->batch);
    return step_rounds(s, &b, c->batch, &err);
}

/* ---- the machine */

#define SIDE 384

static double gemm_gflops(int threads)
{
    int64_t dims[2] = {SIDE, SIDE};
    LT_AUTO(lt_md_free) struct lt_md *m = lt_md_strided(LT_F32, 2, dims, NULL);
    float *x = lt_calloc(3 * SIDE * SIDE, sizeof *x);
    struct lt_prim *p = NULL;
    double best = 1e30;
    void *scratch;

    if (lt_prim_matmul(&(struct lt_matmul_spec){m, m, NULL, m, false, threads}, &p, NULL) < 0)
        return 0;
    scratch = lt_calloc(1, lt_prim_scratch(p) + 1);
    for (int64_t i = 0; i < 2 * SIDE * SIDE; i++)
        x[i] = (float)(i % 17) * 0.1f;
    lt_prim_set(p, LT_PRIM_SRC, x);
    lt_prim_set(p, LT_PRIM_WEIGHTS, x + SIDE * SIDE);
    lt_prim_set(p, LT_PRIM_DST, x + 2 * SIDE * SIDE);
    lt_prim_set(p, LT_PRIM_SCRATCH, scratch);
    for (int i = 0; i < 600; i++) {
        double start = now_us();

        lt_prim_run(p);
        best = LT_MIN(best, now_us() - start);
    }
    lt_prim_free(p);
    lt_free(x);
    lt_free(scratch);
    return 2.0 * SIDE * SIDE * SIDE / best * 1e-3;
}

/* The traffic of an update that only adds: three arrays read, two of them written. */
static double stream_gbytes(const struct lt_device *d, int threads, int64_t floats)
{
    float *x = lt_calloc((size_t)floats, sizeof *x);
    double lr = 1e-9, scale = 1, best = 1e30;
    int64_t n = floats / 3, step = 2;
    struct lt_update_tensor t = {.p = x, .g = x + n, .s1 = x + 2 * n, .n = n};
    struct lt_update u = {
        .t = &t, .n_tensors = 1, .lr = &lr, .scale = &scale, .step = &step, .momentum = 0.9};
    int rounds = (int)LT_MAX((1 << 28) / floats, 5);

    for (int64_t i = 0; i < floats; i++)
        x[i] = 1;
    for (int i = 0; i < rounds; i++) {
        double start = now_us();

        lt_par_run(threads, d->kern->fn[LT_KERN_sgd], &u, lt_pieces(n, LT_UPDATE_BLOCK));
        best = LT_MIN(best, now_us() - start);
    }
    lt_free(x);
    return 5.0 * (double)n * 4 / best * 1e-3;
}

static int bench_roofline(int threads)
{
    struct lt_device_config c = {.threads = threads};
    struct lt_device *d = NULL;
    struct lt_error err = {0};

    if (lt_backend_cpu.open(&c, &d, &err) < 0)
        return fail("cpu", &err);
    printf("roofline %d threads: %.1f GFLOP/s, %.1f GB/s from memory, %.1f GB/s from cache\n",
           threads, gemm_gflops(threads), stream_gbytes(d, threads, 1 << 23),
           stream_gbytes(d, threads, 400000));
    lt_backend_cpu.close(d);
    return 0;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 1;

    if (argc > 1 && !strcmp(argv[1], "roofline"))
        return bench_roofline(threads);
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++)
        for (size_t k = 0; argc > 1 && k < LT_ARRAY_LEN(precisions); k++)
            if (lt_str_starts(argv[1], cases[i].name) &&
                !strcmp(argv[1] + strlen(cases[i].name), precisions[k].suffix))
                return argc > 4 ? bench_ranks(&cases[i], precisions[k].word, threads, argv + 3)
                                : bench_steps(&cases[i], precisions[k].word, threads);
    fprintf(stderr,
            "usage: lt-bench-step mlp|cnn[-bf16|-f64]|roofline THREADS [RANKS STEPS [BATCH]]\n");
    return 2;
}
