/* test_ranks.c - runs of several ranks: they end as one rank would, decide alike, and rank 0 alone
 * writes */
#include "tests/train/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/train/safetensors.h"
#include "sys/file.h"

static const char model[] = "flatten, {linear: {out_features: 8}}, {batch_norm: {}}, relu, "
                            "{dropout: {p: 0.3}}, {linear: {out_features: 4}}";

#define PLAN                                                                                       \
    "trainer: {max_epochs: 2, accumulate_grad_batches: 3, gradient_clip_val: 1.0, "                \
    "val_check_interval: 0.25, log_every_n_steps: 1, sync_batchnorm: true%s}\n"                    \
    "callbacks: [{model_checkpoint: {monitor: val_loss, save_top_k: 2, filename: 'm-{step}'}}]\n"  \
    "loggers: [csv]\n"

/* 31 samples in global batches of 8: the last has 7, which neither 2 nor 4 ranks share evenly. */
static void open_rig(struct rig *r)
{
    rig_init(r, 31, 11, 8);
    r->backend = &lt_backend_cpu;
    r->model = model;
    r->optimizer = "sgd: {lr: 0.05, momentum: 0.9}";
}

static void fit(struct rig *r, const char *name, const char *tail, int world)
{
    Lt__V1__JobSpec *spec;

    rig_new_run(r, name);
    r->world = world;
    spec = rig_spec(r, tail);
    spec->plan->data->has_batch_size = false;
    spec->plan->data->has_global_batch_size = true;
    spec->plan->data->global_batch_size = (uint64_t)r->batch;
    rig_fit_spec(r, spec, NULL);
}

static void expect_success(const struct rig *r)
{
    if (r->result.result != LT__V1__JOB_RESULT__SUCCEEDED)
        fail_msg("%s", r->result.reason);
    for (int i = 1; i < r->world; i++)
        assert_int_equal(r->others[i].result, LT__V1__JOB_RESULT__SUCCEEDED);
}

/* The folder that `last` names. */
static char *last_of(const struct rig *r)
{
    LT_BUF_AUTO last = {0};

    rig_read(r, "last", &last);
    last.data[--last.len] = '\0';
    return lt_buf_take(&last);
}

static void weights(const struct rig *r, struct lt_buf *out)
{
    LT_AUTO(lt_free) char *last = last_of(r);
    LT_AUTO(lt_free) char *path = lt_format("%s/model.safetensors", last);

    rig_read(r, path, out);
}

static void same_bytes(const struct lt_buf *a, const struct lt_buf *b, const char *what)
{
    if (a->len != b->len || memcmp(a->data, b->data, a->len))
        fail_msg("%s differ", what);
}

/* Values of all tensors, within rounding. */
static void near_weights(const struct rig *r, const char *one, const char *other)
{
    char *paths[2] = {lt_format("%s/%s", r->dir, one),
                                       lt_format("%s/%s", r->dir, other)};
    struct lt_safetensors *f[2] = {NULL, NULL};
    int n = 0;

    for (int i = 0; i < 2; i++)
        assert_int_equal(lt_safetensors_open(paths[i], &f[i], NULL), 0);
    for (int l = 0; l < 2; l++)
        for (int k = 0; k < 2; k++) {
            static const char *const names[2][2] = {{"1.weight", "5.weight"},
                                                    {"2.running_var", "2.weight"}};
            const struct lt_tensor *a = lt_safetensors_find(f[0], names[l][k]),
                                   *b = lt_safetensors_find(f[1], names[l][k]);

            assert_true(a && b && a->bytes == b->bytes);
            for (size_t i = 0; i < a->bytes / 4; i++, n++) {
                double x = (double)((const float *)a->data)[i],
                       y = (double)((const float *)b->data)[i];

                if (fabs(x - y) > 1e-4 * (1 + fabs(y)))
                    fail_msg("%s[%zu]: %g and %g", names[l][k], i, x, y);
            }
        }
    assert_true(n > 100);
    lt_safetensors_close(f[0]);
    lt_safetensors_close(f[1]);
    lt_free(paths[0]);
    lt_free(paths[1]);
}

static int lines(const char *text)
{
    int n = 0;

    for (; text && *text; text++)
        n += *text == '\n';
    return n;
}

static void any_number_of_ranks_ends_alike(void **state)
{
    static const char *const names[] = {"one", "two", "four"};
    static const int worlds[] = {1, 2, 4};
    LT_AUTO(lt_free) char *tail = lt_format(PLAN, "");
    char *last[3] = {NULL};
    struct rig r;
    int n_lines = 0;

    (void)state;
    open_rig(&r);
    for (int i = 0; i < 3; i++) {
        LT_BUF_AUTO csv = {0};
        LT_AUTO(lt_free) char *folder = NULL;

        fit(&r, names[i], tail, worlds[i]);
        expect_success(&r);
        folder = last_of(&r);
        last[i] = lt_format("%s/%s/model.safetensors", names[i], folder);
        rig_read(&r, "metrics.csv", &csv);
        n_lines = i ? n_lines : lines(csv.data);
        assert_int_equal(lines(csv.data), n_lines);
    }
    near_weights(&r, last[1], last[0]);
    near_weights(&r, last[2], last[0]);
    for (int i = 0; i < 3; i++)
        lt_free(last[i]);
    rig_done(&r);
}

static void slices_end_with_the_same_bits(void **state)
{
    static const int worlds[] = {1, 2, 4};
    LT_AUTO(lt_free) char *tail = lt_format(PLAN, ", reproducible: elastic, logical_shards: 4");
    struct rig r;
    struct lt_buf want = {0}, want_csv = {0};

    (void)state;
    open_rig(&r);
    for (int i = 0; i < 3; i++) {
        LT_AUTO(lt_free) char *name = lt_format("w%d", worlds[i]);
        LT_BUF_AUTO got = {0};
        LT_BUF_AUTO csv = {0};

        fit(&r, name, tail, worlds[i]);
        expect_success(&r);
        weights(&r, i ? &got : &want);
        rig_read(&r, "metrics.csv", i ? &csv : &want_csv);
        if (i) {
            same_bytes(&got, &want, "weights");
            same_bytes(&csv, &want_csv, "metrics");
        }
    }
    lt_buf_done(&want);
    lt_buf_done(&want_csv);
    rig_done(&r);
}

/* Saved in the middle of a window and of a validation by two ranks, continued by one and by four. */
static void slices_go_on_with_other_ranks(void **state)
{
    LT_AUTO(lt_free) char *tail = lt_format(PLAN, ", reproducible: elastic, logical_shards: 4");
    struct rig r;
    struct lt_buf want = {0};

    (void)state;
    open_rig(&r);
    fit(&r, "whole", tail, 2);
    expect_success(&r);
    weights(&r, &want);
    for (uint64_t cut = 0; cut < 12; cut++) {
        LT_AUTO(lt_free) char *name = lt_format("cut%d", (int)cut);
        LT_BUF_AUTO got = {0};

        r.cut = true;
        r.cut_boundary = cut;
        fit(&r, name, tail, 2);
        r.cut = false;
        assert_int_equal(r.result.result, LT__V1__JOB_RESULT__CANCELLED);
        LT_AUTO(lt_free) char *from = last_of(&r);
        Lt__V1__JobSpec *spec = rig_spec(&r, tail);
        spec->plan->data->has_batch_size = false;
        spec->plan->data->has_global_batch_size = true;
        spec->plan->data->global_batch_size = 8;
        r.world = cut % 2 ? 4 : 1;
        rig_fit_spec(&r, spec, from);
        expect_success(&r);
        weights(&r, &got);
        same_bytes(&got, &want, name);
    }
    lt_buf_done(&want);
    rig_done(&r);
}

static void rank_0_alone_writes(void **state)
{
    LT_AUTO(lt_free) char *tail = lt_format(PLAN, "");
    LT_BUF_AUTO zero = {0};
    LT_BUF_AUTO one = {0};
    LT_BUF_AUTO list = {0};
    struct rig r;

    (void)state;
    open_rig(&r);
    fit(&r, "two", tail, 2);
    expect_success(&r);
    rig_record_types(&r, 0, &zero);
    rig_record_types(&r, 1, &one);
    assert_non_null(strstr(zero.data, "metrics"));
    assert_non_null(strstr(zero.data, "checkpoint_saved"));
    for (const char *p = one.data; *p; p += strcspn(p, " "), p += *p == ' ')
        assert_true(lt_str_starts(p, "phase") || lt_str_starts(p, "started") ||
                    lt_str_starts(p, "finished"));
    rig_list(&r, "checkpoints", &list);
    assert_non_null(strstr(list.data, "m-step="));
    rig_done(&r);
}

static void they_stop_at_the_same_update(void **state)
{
    static const char tail[] = "trainer: {max_epochs: 1000, sync_batchnorm: true}\n";
    struct rig r;

    (void)state;
    open_rig(&r);
    for (int who = 0; who < 2; who++) { /* a command to rank 0; SIGTERM at rank 1 */
        r.command = who ? 0 : LT_COMMAND_STOP;
        r.other_command = who ? LT_COMMAND_STOP : 0;
        fit(&r, who ? "term" : "stop", tail, 2);
        assert_int_equal(r.result.result, LT__V1__JOB_RESULT__STOPPED);
        assert_int_equal(r.others[1].result, LT__V1__JOB_RESULT__STOPPED);
        assert_int_equal(r.result.step, r.others[1].step);
    }
    r.command = r.other_command = 0;
    fit(&r, "time", "trainer: {max_epochs: 100000, max_time: 50ms}\n", 2);
    expect_success(&r);
    assert_string_equal(r.result.reason, "max_time is over");
    assert_int_equal(r.result.step, r.others[1].step);
    rig_done(&r);
}

static void what_is_not_finite_is_so_for_all(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r);
    r.alike = true;
    r.optimizer = "sgd: {lr: 1.0e+30}";
    fit(&r, "stop", "trainer: {max_epochs: 2}\n", 2);
    for (int i = 0; i < 2; i++) {
        const struct lt_train_result *e = i ? &r.others[1] : &r.result;

        assert_int_equal(e->result, LT__V1__JOB_RESULT__FAILED);
        assert_int_equal(e->class, LT__V1__FAILURE_CLASS__CLASS_NONFINITE);
    }
    assert_string_equal(r.result.reason, r.others[1].reason);
    fit(&r, "rollback",
        "trainer: {max_epochs: 9, on_nonfinite: rollback, enable_checkpointing: false}\n", 2);
    if (r.result.class != LT__V1__FAILURE_CLASS__CLASS_NONFINITE)
        fail_msg("%s", r.result.reason);
    assert_string_equal(r.result.reason, r.others[1].reason);
    assert_non_null(strstr(r.result.reason, "rollbacks"));
    rig_done(&r);
}

/* The same position means the same samples where the global batch is the same. */
static void another_number_of_ranks_goes_on_inside_an_epoch(void **state)
{
    static const char tail[] =
        "trainer: {max_epochs: 2, reproducible: relaxed, sync_batchnorm: true}\n"
        "job: {recovery: {every_n_steps: 1}}\n";
    struct rig r;

    (void)state;
    open_rig(&r);
    fit(&r, "whole", tail, 1);
    expect_success(&r);
    LT_AUTO(lt_free) char *whole = last_of(&r);
    r.cut = true;
    r.cut_boundary = 2;
    fit(&r, "cut", tail, 2);
    r.cut = false;
    Lt__V1__JobSpec *spec = rig_spec(&r, tail);
    spec->plan->data->has_batch_size = false;
    spec->plan->data->has_global_batch_size = true;
    spec->plan->data->global_batch_size = 8;
    LT_AUTO(lt_free) char *from = last_of(&r);
    r.world = 4;
    r.alike = true;
    spec->plan->data->global_batch_size = 16; /* other batches: not inside an epoch */
    rig_fit_spec(&r, spec, from);
    assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_PLAN);
    assert_non_null(strstr(r.result.reason, "inside an epoch of 4 batches of 8"));
    spec->plan->data->global_batch_size = 8;
    rig_fit_spec(&r, spec, from);
    expect_success(&r);
    LT_AUTO(lt_free) char *last = last_of(&r);
    LT_AUTO(lt_free) char *a = lt_format("cut/%s/model.safetensors", last);
    LT_AUTO(lt_free) char *b = lt_format("whole/%s/model.safetensors", whole);
    near_weights(&r, a, b);
    rig_done(&r);
}

static void every_sample_is_evaluated_once(void **state)
{
    static const char tail[] = "trainer: {max_epochs: 1}\n";
    struct rig r;
    struct lt_buf predictions[2] = {{0}, {0}};
    double loss[2] = {0};

    (void)state;
    open_rig(&r);
    r.batch = 3; /* 20 test samples: the last batch of 9 has 2, so rank 2 has none */
    fit(&r, "fit", tail, 1);
    LT_AUTO(lt_free) char *from = last_of(&r);
    for (int i = 0; i < 2; i++) {
        r.world = i ? 3 : 1;
        rig_evaluate(&r, tail, from, "test");
        assert_string_equal(r.result.values[0].name, "test_loss");
        loss[i] = r.result.values[0].value;
        if (i)
            assert_true(r.others[2].values[0].value == loss[1]);
        rig_evaluate(&r, tail, from, "predict");
        rig_read(&r, "predictions.f32", &predictions[i]);
    }
    assert_true(fabs(loss[0] - loss[1]) < 1e-5);
    assert_int_equal(predictions[0].len, 20 * 4 * 4);
    assert_int_equal(predictions[1].len, predictions[0].len);
    for (size_t i = 0; i < predictions[0].len / 4; i++) {
        double a = (double)((const float *)(const void *)predictions[0].data)[i],
               b = (double)((const float *)(const void *)predictions[1].data)[i];

        if (fabs(a - b) > 1e-5)
            fail_msg("prediction %zu: %g and %g", i, a, b);
    }
    lt_buf_done(&predictions[0]);
    lt_buf_done(&predictions[1]);
    rig_done(&r);
}

/* With slices to the bit; and what was stopped leaves no file. */
static void evaluations_have_the_same_bits(void **state)
{
    static const char tail[] =
        "trainer: {max_epochs: 1, reproducible: elastic, logical_shards: 4, sync_batchnorm: true}\n";
    struct rig r;
    double loss = 0;

    (void)state;
    open_rig(&r);
    fit(&r, "fit", tail, 2);
    expect_success(&r);
    LT_AUTO(lt_free) char *from = last_of(&r);
    for (int world = 1; world <= 4; world *= 2) {
        r.world = world;
        r.batch = 8 / world; /* the plan says each rank's */
        rig_evaluate(&r, tail, from, "test");
        assert_string_equal(r.result.values[0].name, "test_loss");
        loss = world == 1 ? r.result.values[0].value : loss;
        assert_true(loss > 0 && r.result.values[0].value == loss);
    }
    r.command = LT_COMMAND_STOP;
    rig_evaluate(&r, tail, from, "predict");
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__STOPPED);
    LT_AUTO(lt_free) char *whole = rig_path(&r, "predictions.f32");
    LT_AUTO(lt_free) char *part = rig_path(&r, ".predictions.f32.part");
    assert_false(lt_file_exists(whole) || lt_file_exists(part));
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_ranks_ends_alike),
        cmocka_unit_test(slices_end_with_the_same_bits),
        cmocka_unit_test(slices_go_on_with_other_ranks),
        cmocka_unit_test(rank_0_alone_writes),
        cmocka_unit_test(they_stop_at_the_same_update),
        cmocka_unit_test(what_is_not_finite_is_so_for_all),
        cmocka_unit_test(another_number_of_ranks_goes_on_inside_an_epoch),
        cmocka_unit_test(every_sample_is_evaluated_once),
        cmocka_unit_test(evaluations_have_the_same_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
