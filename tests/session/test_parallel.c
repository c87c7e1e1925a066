/* test_parallel.c - many ranks train as one: programs with collectives, on the reference back end
 * and on the cpu's
 *
 * Ranks are threads. The same global batches are given to 1, 2 and 4 of them; sums, losses and
 * weights must agree within rounding, and bit for bit where the batch is computed in slices.
 */
#include "tests/graph/plan_text.h"

#include <math.h>
#include <stdlib.h>
#include "engine/session/session.h"
#include "tests/support/team.h"

#define GLOBAL 16
#define STEPS 20
#define C 2
#define SIDE 6
#define CLASSES 3
#define WEIGHTS_MAX 20000
#define EXCHANGE 3

static const struct lt_field fields[] = {{"x", LT_F32, 3, {C, SIDE, SIDE}, 0},
                                         {"label", LT_I64, 0, {0}, CLASSES}};

static const struct lt_backend *be; /* of the running test */

#define HEAD "seed: 7\ndata: {source: {idx: {dir: x}}, global_batch_size: 16}\n"
#define STEP "step: {loss: cross_entropy, metrics: [accuracy]}\n"
#define MLP                                                                                        \
    HEAD STEP "model: {layers: [flatten, {linear: {out_features: 16}}, relu, {linear: "            \
              "{out_features: 3}}]}\n"
#define CNN                                                                                        \
    HEAD STEP "model: {layers: [{conv2d: {out_channels: 4, kernel_size: 3, padding: 1}}, "         \
              "batch_norm, relu, {max_pool2d: {kernel_size: 2}}, flatten, batch_norm, {linear: "   \
              "{out_features: 3}}]}\n"
#define DROPOUT                                                                                    \
    HEAD STEP "model: {layers: [flatten, {linear: {out_features: 24}}, relu, {dropout: {p: "       \
              "0.3}}, {linear: {out_features: 3}}]}\n"
/* More parameters than one collective takes: several units of gradients. */
#define DEEP                                                                                       \
    HEAD STEP "model: {layers: [flatten, {linear: {out_features: 8}}, {repeat: {times: 36, "       \
              "layers: [{residual: {layers: [{linear: {out_features: 8}}, tanh]}}]}}, {linear: "   \
              "{out_features: 3}}]}\n"
/* `twice` is tied: two layers have it; `aside` leads nowhere: nothing is to be learned of it. */
#define GRAPH                                                                                      \
    HEAD STEP "model: {graph: {inputs: [{name: x, shape: [n, '2', '6', '6']}],\n"                  \
              "parameters: [{name: in, shape: [8, 72], init: {kaiming_uniform: {a: 2.2}}},\n"      \
              "{name: twice, shape: [8, 8], init: {kaiming_uniform: {a: 2.2}}},\n"                 \
              "{name: bias, shape: [8], init: {constant: {value: 0.1}}},\n"                        \
              "{name: aside, shape: [4, 8], init: {constant: {value: 0.5}}},\n"                    \
              "{name: out, shape: [3, 8], init: {kaiming_uniform: {a: 2.2}}}],\n"                  \
              "nodes: [{name: flat, op: reshape, inputs: [x], attributes: {shape: {ints: "         \
              "{values: [0, 72]}}}}, {name: a, op: linear, inputs: [flat, in]},\n"                 \
              "{name: b, op: linear, inputs: [a, twice, bias], attributes: {act: {s: relu}}},\n"   \
              "{name: c, op: linear, inputs: [b, twice, bias], attributes: {act: {s: relu}}},\n"   \
              "{name: lost, op: linear, inputs: [c, aside]},\n"                                    \
              "{name: y, op: linear, inputs: [c, out]}], outputs: [y]}}\n"
#define SGD "optimizer: {sgd: {momentum: 0.9}}\n"
/* eps: gradients of the size of their own rounding must not decide the direction */
#define ADAMW "optimizer: {adamw: {eps: 1.0e-3}}\n"
#define CLIP "gradient_clip_val: 0.05, "
#define TWICE "accumulate_grad_batches: 2, "
#define ELASTIC "reproducible: elastic, logical_shards: 4, "

/* One global micro-batch; weights of some samples are 0 or 2. */
struct data {
    float x[GLOBAL][C * SIDE * SIDE], weight[GLOBAL];
    int64_t label[GLOBAL], index[GLOBAL];
};

static void data_make(struct data *d, uint64_t seed)
{
    uint64_t r = seed * 2 + 1;

    for (int i = 0; i < GLOBAL; i++) {
        for (int f = 0; f < C * SIDE * SIDE; f++) {
            r = r * 6364136223846793005ull + 1442695040888963407ull;
            d->x[i][f] = (float)((double)(r >> 40) / (1 << 24) * 2 - 1);
        }
        d->label[i] = d->x[i][0] > 0.3f ? 2 : d->x[i][1] > 0 ? 1 : 0;
        d->weight[i] = i % 7 == 3 ? 0 : i % 5 == 1 ? 2 : 1;
        d->index[i] = (int64_t)seed * GLOBAL + i;
    }
}

/* What rank r of w gets: slice by slice every S-th sample, as the loader gives it. */
static void data_share(const struct data *d, struct data *out, int r, int w, int slices)
{
    int parts = slices ? slices : w, local = parts / w, n = 0;

    for (int s = r * local; s < (r + 1) * local; s++)
        for (int i = s; i < GLOBAL; i += parts, n++) {
            memcpy(out->x[n], d->x[i], sizeof d->x[i]);
            out->weight[n] = d->weight[i];
            out->label[n] = d->label[i];
            out->index[n] = d->index[i];
        }
}

struct result {
    double loss[STEPS], weight[STEPS], norm[STEPS], exchange[STEPS][EXCHANGE], eval_sum, eval_right;
    float weights[WEIGHTS_MAX];
    int n_weights;
};

static void result_free(struct result *r)
{
    lt_free(r);
}
LT_DEFINE_AUTO(struct result *, result_free)

struct job {
    const Lt__V1__TrainingPlan *plan;
    int world, slices;
    bool clips;
    struct result *result[8]; /* of each rank */
};

static double out(struct lt_session *s, enum lt_program_kind kind, const char *name)
{
    int i = lt_session_output(s, kind, name);

    assert_true(i >= 0);
    return lt_session_scalar(s, i);
}

static void run(struct lt_session *s, enum lt_program_kind kind, const struct data *d, int n,
                int64_t step, const double *exchange)
{
    const int64_t opt_step = step + 1;
    const double lr = 0.01;
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"x", d->x},           {"label", d->label},     {"weight", d->weight},
               {"sample_index", d->index}, {"rng_step", &step}, {"opt_step", &opt_step},
               {"lr", &lr},           {"exchange", exchange}};
    const void *in[16] = {NULL};
    struct lt_error err = {0};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        int at = lt_session_input(s, kind, all[i].name);

        if (at >= 0)
            in[at] = all[i].data;
    }
    if (lt_session_run(s, kind, n, in, &err) < 0)
        fail_msg("%s", err.text);
}

static void weights_read(struct lt_session *s, struct result *r)
{
    struct lt_error err = {0};

    for (int i = 0; i < lt_session_n_tensors(s); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(s, i);

        if (t->kind == LT_VALUE_ACCUM || t->dtype != LT_F32) /* in 64-true: sums tell */
            continue;
        assert_true(r->n_weights + (int)(t->bytes / 4) <= WEIGHTS_MAX);
        assert_int_equal(lt_session_read(s, i, r->weights + r->n_weights, &err), 0);
        r->n_weights += (int)(t->bytes / 4);
    }
}

static void step(struct lt_session *s, const struct job *j, int rank, int i, struct result *r)
{
    int local = j->slices ? j->slices / j->world : 1, n = GLOBAL / j->world;
    bool twice = j->plan->trainer && j->plan->trainer->accumulate_grad_batches > 1;
    double exchange[64 * EXCHANGE];
    struct data all, mine;
    const double *got;

    if (twice) {
        data_make(&all, (uint64_t)i % 4 * 2);
        data_share(&all, &mine, rank, j->world, j->slices);
        run(s, LT_PROGRAM_MICRO, &mine, n, i, NULL);
    }
    data_make(&all, (uint64_t)i % 4 * 2 + 1); /* the same again every fourth step */
    data_share(&all, &mine, rank, j->world, j->slices);
    for (int k = 0; k < local * EXCHANGE; k++)
        exchange[k] = 1.0 / (1 + k % EXCHANGE + i);
    run(s, LT_PROGRAM_STEP, &mine, n, i, exchange);
    r->loss[i] = out(s, LT_PROGRAM_STEP, "window.loss");
    r->weight[i] = out(s, LT_PROGRAM_STEP, "window.weight");
    r->norm[i] = j->clips ? out(s, LT_PROGRAM_STEP, "grad_norm") : 0;
    if (lt_session_output(s, LT_PROGRAM_STEP, "exchange") < 0)
        return;
    got = lt_session_value(s, lt_session_output(s, LT_PROGRAM_STEP, "exchange"), NULL);
    memcpy(r->exchange[i], got, sizeof r->exchange[i]);
}

static void rank_main(void *arg, struct lt_comm *comm)
{
    const struct job *j = arg;
    int rank = lt_comm_rank(comm);
    struct lt_session_config c = {.plan = j->plan,
                                  .fields = fields,
                                  .n_fields = 2,
                                  .backend = be,
                                  .device = {.threads = 1, .comm = comm},
                                  .world = j->world,
                                  .exchange = EXCHANGE};
    struct lt_session *s = NULL;
    struct lt_error err = {0};
    struct data all, mine;
    double exchange[64 * EXCHANGE] = {0};
    int rc;

    rc = lt_session_open(&c, &s, &err);
    if (rc < 0 || lt_session_init(s, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < STEPS; i++)
        step(s, j, rank, i, j->result[rank]);
    data_make(&all, 99);
    data_share(&all, &mine, rank, j->world, j->slices);
    run(s, LT_PROGRAM_EVAL, &mine, GLOBAL / j->world, 0, exchange);
    j->result[rank]->eval_sum = out(s, LT_PROGRAM_EVAL, "loss.sum");
    j->result[rank]->eval_right = out(s, LT_PROGRAM_EVAL, "acc.sum");
    weights_read(s, j->result[rank]);
    lt_session_close(s);
}

/* Trains with so many ranks; the result of rank 0, lt_free(). All ranks have the same. */
static struct result *train(const char *text, int world)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct job j = {.plan = plan_parse(arena, text), .world = world};

    j.slices = (int)j.plan->trainer->logical_shards;
    j.clips = j.plan->trainer->gradient_clip_val > 0;
    for (int r = 0; r < world; r++)
        j.result[r] = lt_calloc(1, sizeof *j.result[r]);
    team_run(world, rank_main, &j);
    for (int r = 1; r < world; r++) {
        assert_memory_equal(j.result[r], j.result[0], sizeof *j.result[0]);
        lt_free(j.result[r]);
    }
    return j.result[0];
}

static char running[2400]; /* the plan */
#define ROUNDING 3e-5 /* of float32, after so many steps */

static double tolerance = ROUNDING;

static void expect_near(const char *what, int i, double a, double b, double tol)
{
    if (!(fabs(a - b) <= tol * (1 + fabs(b))))
        fail_msg("%s %d: %.9g and %.9g (%s)", what, i, a, b, running);
}

static void expect_close(const struct result *a, const struct result *b)
{
    assert_int_equal(a->n_weights, b->n_weights);
    for (int i = 0; i < STEPS; i++) {
        expect_near("loss", i, a->loss[i], b->loss[i], tolerance);
        expect_near("norm", i, a->norm[i], b->norm[i], tolerance);
        assert_true(a->weight[i] == b->weight[i]);
    }
    for (int i = 0; i < a->n_weights; i++)
        expect_near("weight", i, (double)a->weights[i], (double)b->weights[i], tolerance);
    expect_near("evaluation", 0, a->eval_sum, b->eval_sum, tolerance);
}

static const char *const nets[] = {MLP, CNN, DROPOUT};
static const char *const optimizers[] = {SGD, ADAMW};
static const char *const trainers[] = {"", CLIP, TWICE, CLIP TWICE};

static void all_nets(void (*check)(const char *net, const char *optimizer, const char *trainer))
{
    for (size_t n = 0; n < LT_ARRAY_LEN(nets); n++)
        for (size_t o = 0; o < LT_ARRAY_LEN(optimizers); o++)
            for (size_t t = 0; t < LT_ARRAY_LEN(trainers); t++)
                check(nets[n], optimizers[o], trainers[t]);
}

static void check_worlds(const char *net, const char *optimizer, const char *trainer)
{
    char *const text = running;

    snprintf(text, sizeof running, "%s%strainer: {%smax_epochs: 1, sync_batchnorm: true}\n", net,
             optimizer, trainer);
    LT_AUTO(result_free) struct result *one = train(text, 1);
    LT_AUTO(result_free) struct result *two = train(text, 2);
    LT_AUTO(result_free) struct result *four = train(text, 4);

    assert_true(one->loss[STEPS - 4] < one->loss[0]);
    expect_close(two, one);
    expect_close(four, one);
    for (int i = 0; i < STEPS; i++)
        for (int k = 0; k < EXCHANGE; k++)
            expect_near("exchange", i, four->exchange[i][k], 4.0 / (1 + k + i), 1e-12);
}

static void ranks_train_as_one(void **state)
{
    be = *state;
    all_nets(check_worlds);
}

static void check_slices_as(const char *net, const char *optimizer, const char *trainer,
                            bool near_whole)
{
    char *const text = running, plain[1200];

    snprintf(plain, sizeof plain, "%s%strainer: {%smax_epochs: 1, sync_batchnorm: true}\n", net,
             optimizer, trainer);
    snprintf(text, sizeof running, "%s%strainer: {%s%smax_epochs: 1, sync_batchnorm: true}\n", net,
             optimizer, trainer, ELASTIC);
    LT_AUTO(result_free) struct result *whole = train(plain, 1);
    LT_AUTO(result_free) struct result *one = train(text, 1);
    LT_AUTO(result_free) struct result *two = train(text, 2);
    LT_AUTO(result_free) struct result *four = train(text, 4);

    if (near_whole)
        expect_close(one, whole);
    for (int i = 0; i < STEPS; i++) {
        assert_memory_equal(&one->loss[i], &two->loss[i], sizeof one->loss[i]);
        assert_memory_equal(&one->loss[i], &four->loss[i], sizeof one->loss[i]);
        assert_memory_equal(&one->norm[i], &four->norm[i], sizeof one->norm[i]);
    }
    assert_memory_equal(one->weights, two->weights, sizeof one->weights);
    assert_memory_equal(one->weights, four->weights, sizeof one->weights);
    assert_true(one->eval_sum == two->eval_sum && one->eval_sum == four->eval_sum);
}

static void check_slices(const char *net, const char *optimizer, const char *trainer)
{
    check_slices_as(net, optimizer, trainer, true);
}

static void slices_give_the_same_bits_on_any_number_of_ranks(void **state)
{
    be = *state;
    all_nets(check_slices);
}

static void other_precisions_travel_too(void **state)
{
    be = *state;
    tolerance = 5e-3; /* a sum of two shares is rounded elsewhere than one sum */
    check_worlds(MLP, SGD, "precision: bf16-mixed, ");
    check_worlds(DROPOUT, ADAMW, "precision: bf16-mixed, " CLIP TWICE);
    tolerance = 1e-9;
    check_worlds(MLP, SGD, "precision: 64-true, ");
    check_worlds(CNN, SGD, "precision: 64-true, " CLIP TWICE);
    tolerance = ROUNDING;
    check_slices_as(MLP, SGD, "precision: bf16-mixed, " TWICE, false);
    check_slices_as(CNN, ADAMW, "precision: bf16-mixed, " CLIP TWICE, false);
    check_slices_as(MLP, SGD, "precision: 64-true, ", false);
    check_slices_as(CNN, SGD, "precision: 64-true, " TWICE, false);
}

static void several_units_are_one_sum(void **state)
{
    be = *state;
    check_worlds(DEEP, SGD, CLIP TWICE);
    check_slices(DEEP, SGD, CLIP TWICE);
}

static void tied_and_unused_parameters(void **state)
{
    be = *state;
    check_worlds(GRAPH, SGD, CLIP TWICE);
    check_worlds(GRAPH, ADAMW, "");
    check_slices(GRAPH, ADAMW, CLIP TWICE);
}

/* The oracle: one net of each kind, since it is slow. */
static void the_reference_does_the_same(void **state)
{
    be = *state;
    check_worlds(CNN, SGD, CLIP TWICE);
    check_slices(CNN, SGD, CLIP TWICE);
    check_slices(DROPOUT, ADAMW, TWICE);
}

/* None of them on reference kernels, which a plan would have to allow. */
static void every_layer_has_kernels_in_every_precision(void **state)
{
    static const char layers[] =
        HEAD "model: {layers: [{conv2d: {out_channels: 8, kernel_size: 3, padding: 2, dilation: 2}}, "
             "batch_norm, relu, {conv2d: {out_channels: 8, kernel_size: 3, padding: 1, groups: 4}}, "
             "{batch_norm: {track_running_stats: false}}, gelu, {max_pool2d: {kernel_size: 2}}, "
             "{residual: {layers: [{conv2d: {out_channels: 8, kernel_size: 1}}, tanh, {dropout: {}}]}}, "
             "{avg_pool2d: {kernel_size: 1}}, {batch_norm: {affine: false}}, sigmoid, "
             "{repeat: {times: 2, layers: [{gelu: {approximate: tanh}}]}}, global_avg_pool2d, flatten, "
             "layer_norm, {linear: {out_features: 16}}, batch_norm, {unflatten: {dim: 1, sizes: [4, 4]}}, "
             "{softmax: {dim: 2}}, flatten, {linear: {out_features: 3}}, {log_softmax: {dim: 1}}]}\n";
    static const char *const kinds[] = {"sgd: {}", "sgd: {momentum: 0.9}", "adamw: {}",
                                        "adam: {amsgrad: true}"};

    (void)state;
    for (int i = 0; i < 3 * 2 * (int)LT_ARRAY_LEN(kinds); i++) {
        static const char *const precisions[] = {"32-true", "bf16-mixed", "64-true"};
        struct lt_session_config c = {.fields = fields,
                                      .n_fields = 2,
                                      .backend = &lt_backend_cpu,
                                      .world = 2,
                                      .plan_only = true,
                                      .device = {.threads = 1},
                                      .programs = 1u << LT_PROGRAM_STEP | 1u << LT_PROGRAM_MICRO |
                                                  1u << LT_PROGRAM_EVAL | 1u << LT_PROGRAM_PREDICT};
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
        LT_AUTO(lt_session_close) struct lt_session *s = NULL;
        struct lt_error err = {0};

        snprintf(running, sizeof running, "%s" STEP "optimizer: {%s}\ntrainer: {%s%sprecision: %s, "
                 "sync_batchnorm: true, max_epochs: 1}\n", layers, kinds[i / 6], CLIP TWICE,
                 i % 2 ? ELASTIC : "", precisions[i / 2 % 3]);
        c.plan = plan_parse(arena, running);
        if (lt_session_open(&c, &s, &err) < 0)
            fail_msg("%s: %s", running, err.text);
        for (enum lt_program_kind k = 0; k < LT_PROGRAM_N; k++)
            if (lt_session_prepare(s, k, GLOBAL / 2, &err) < 0)
                fail_msg("%s: %s", running, err.text);
    }
}

/* Collectives of a step at a world that no machine has. */
static void check_sent(const char *precision, uint64_t units, uint64_t bytes)
{
    LT_AUTO(lt_free) char *text = lt_format(
        "data: {source: {idx: {dir: x}}, batch_size: 4}\n" STEP
        "model: {layers: [flatten, {linear: {out_features: 2000}}, relu, "
        "{linear: {out_features: 3}}]}\n" SGD "trainer: {max_epochs: 1, precision: %s}\n",
        precision);
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_session_config c = {.fields = fields,
                                  .n_fields = 2,
                                  .backend = &lt_backend_null,
                                  .world = 1000};
    const struct lt_comm_config cc = {.kind = "null", .rank = 0, .world = 1000};
    LT_AUTO(lt_comm_close) struct lt_comm *comm = NULL;
    LT_AUTO(lt_session_close) struct lt_session *s = NULL;
    struct lt_comm_stats stats;
    struct lt_error err = {0};
    struct data d;

    c.plan = plan_parse(arena, text);
    assert_int_equal(lt_comm_open(&cc, &comm, &err), 0);
    c.device.comm = comm;
    if (lt_session_open(&c, &s, &err) < 0)
        fail_msg("%s", err.text);
    run(s, LT_PROGRAM_STEP, &d, 4, 0, NULL);
    lt_comm_stats(comm, &stats);
    assert_int_equal(stats.started[LT_COLL_ALL_REDUCE], 1 + units);
    assert_int_equal(stats.bytes[LT_COLL_ALL_REDUCE], bytes + 8 * 4); /* and the sums */
}

/* In bf16-mixed gradients travel as what they are: float32. */
static void null_counts_what_a_step_sends(void **state)
{
    const uint64_t n = 2000 * 72 + 2000 + 3 * 2000; /* and 3, on a line of its own if any follow */

    (void)state;
    check_sent("32-true", 1, 4 * n + 64);
    check_sent("bf16-mixed", 1, 4 * n + 64);
    check_sent("64-true", 2, 8 * n + 8 * 3); /* the first is full at 1 MiB */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(ranks_train_as_one, (void *)&lt_backend_cpu),
        cmocka_unit_test_prestate(slices_give_the_same_bits_on_any_number_of_ranks,
                                  (void *)&lt_backend_cpu),
        cmocka_unit_test_prestate(other_precisions_travel_too, (void *)&lt_backend_cpu),
        cmocka_unit_test_prestate(several_units_are_one_sum, (void *)&lt_backend_cpu),
        cmocka_unit_test_prestate(tied_and_unused_parameters, (void *)&lt_backend_cpu),
        cmocka_unit_test_prestate(the_reference_does_the_same, (void *)&lt_backend_ref),
        cmocka_unit_test(every_layer_has_kernels_in_every_precision),
        cmocka_unit_test(null_counts_what_a_step_sends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
