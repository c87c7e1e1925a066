/* test_restore.c - starting from checkpoints: resumed jobs, damaged ones, other people's, weights
 * alone, evaluations */
#include "tests/train/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/train/safetensors.h"
#include "sys/file.h"
#include "tests/data/make_idx.h"

static void ends(const struct rig *r, uint64_t step, uint64_t epoch)
{
    if (r->result.result != LT__V1__JOB_RESULT__SUCCEEDED)
        fail_msg("%s", r->result.reason);
    assert_int_equal(r->result.step, step);
    assert_int_equal(r->result.epoch, epoch);
}

static void fails(const struct rig *r, Lt__V1__FailureClass class, const char *text)
{
    assert_int_equal(r->result.result, LT__V1__JOB_RESULT__FAILED);
    if (!strstr(r->result.reason, text))
        fail_msg("'%s' doesn't contain '%s'", r->result.reason, text);
    assert_int_equal(r->result.class, class);
}

/* Cases 5 and 38. */
static void goes_on_with_more_epochs(void **state)
{
    struct rig r;
    LT_BUF_AUTO steps = {0};
    char tail[600];

    (void)state;
    rig_init(&r, 4, 2, 2);
    rig_fit(&r, "trainer: {max_epochs: 2}", NULL);
    ends(&r, 4, 2);
    LT_AUTO(lt_free) char *from = rig_path(&r, "checkpoints/epoch=1-step=4");
    rig_new_run(&r, "second");
    snprintf(tail, sizeof tail, "trainer: {max_epochs: 2}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    ends(&r, 4, 2);
    assert_int_equal(rig_count(&r, "val_loss"), 0);
    snprintf(tail, sizeof tail, "trainer: {max_epochs: 4}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    ends(&r, 8, 4);
    rig_steps(&r, "val_loss", &steps);
    assert_text(steps, "5 7"); /* one validation per epoch, none at the start */
    snprintf(tail, sizeof tail, "trainer: {max_epochs: 1}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_PLAN, "trainer.max_epochs is 1");
    assert_true(lt_file_exists(from)); /* case 37: another run's files stay */
    rig_done(&r);
}

static void damage(const struct rig *r, const char *file)
{
    LT_AUTO(lt_free) char *path = rig_path(r, file);
    LT_BUF_AUTO bytes = {0};

    rig_read(r, file, &bytes);
    bytes.data[bytes.len - 2] ^= 1;
    assert_int_equal(lt_file_replace(path, bytes.data, bytes.len, 0644, NULL), 0);
}

/* The newest recovery checkpoint is damaged: the one before it does, and the end is the same. */
static void an_older_one_is_used(void **state)
{
    static const char plan[] = "trainer: {max_epochs: 2, log_every_n_steps: 1}\nloggers: [csv]\n"
                               "job: {recovery: {every_n_steps: 4, keep: 3}}";
    struct rig r;
    LT_BUF_AUTO want = {0};
    LT_BUF_AUTO got = {0};
    LT_BUF_AUTO list = {0};

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r, plan, NULL);
    rig_read(&r, "metrics.csv", &want);
    rig_list(&r, "recovery", &list);
    assert_text(list, "step-00000012 step-00000016 step-00000020");
    damage(&r, "recovery/step-00000020/trainer.json");
    damage(&r, "recovery/step-00000016/optimizer.safetensors");
    damage(&r, "checkpoints/epoch=1-step=20/model.safetensors");
    rig_fit(&r, plan, "recovery/step-00000020");
    ends(&r, 20, 2);
    rig_read(&r, "metrics.csv", &got);
    assert_string_equal(want.data, got.data);
    assert_int_equal(rig_count(&r, "train_loss"), 8); /* it began at step 12 */
    ends(&r, 20, 2);
    rig_read(&r, "metrics.csv", &got);
    assert_string_equal(want.data, got.data);
    rig_done(&r);
}

/* An attempt that was ended behind its last checkpoint finds all done, and saves nothing twice. */
static void begun_at_the_end_it_changes_nothing(void **state)
{
    static const char plan[] = "trainer: {max_epochs: 2}\njob: {recovery: {every_n_steps: 10, keep: 3}}";
    struct rig r;
    LT_BUF_AUTO before = {0};
    LT_BUF_AUTO list = {0};
    LT_BUF_AUTO last = {0};

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r, plan, NULL);
    rig_list(&r, "recovery", &before);
    rig_fit(&r, plan, "checkpoints/epoch=1-step=20");
    ends(&r, 20, 2);
    rig_list(&r, "recovery", &list);
    assert_string_equal(before.data, list.data);
    rig_read(&r, "last", &last);
    assert_true(lt_str_starts(last.data, "checkpoints/epoch=1-step=20"));
    rig_done(&r);
}

/* None is left that can be used: from the start. */
static void none_is_left(void **state)
{
    static const char plan[] = "trainer: {max_epochs: 1, enable_checkpointing: false, "
                               "log_every_n_steps: 1}\nloggers: [csv]\n";
    struct rig r;
    LT_BUF_AUTO want = {0};
    LT_BUF_AUTO got = {0};

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r, plan, NULL);
    rig_read(&r, "metrics.csv", &want);
    damage(&r, "recovery/step-00000010/MANIFEST");
    rig_fit(&r, plan, "recovery/step-00000010");
    ends(&r, 10, 1);
    rig_read(&r, "metrics.csv", &got);
    assert_string_equal(want.data, got.data);
    assert_int_equal(rig_count(&r, "train_loss"), 10);
    rig_done(&r);
}

static void a_named_one_must_be_good(void **state)
{
    struct rig r;
    char tail[600];

    (void)state;
    rig_init(&r, 4, 2, 2);
    rig_fit(&r, "trainer: {max_epochs: 1}", NULL);
    damage(&r, "checkpoints/epoch=0-step=2/model.safetensors");
    LT_AUTO(lt_free) char *from = rig_path(&r, "checkpoints/epoch=0-step=2");
    rig_new_run(&r, "second");
    snprintf(tail, sizeof tail, "trainer: {max_epochs: 2}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_JOB, "damaged");
    rig_done(&r);
}

static void weights_alone_cannot_be_continued(void **state)
{
    struct rig r;
    char tail[600];
    LT_BUF_AUTO list = {0};

    (void)state;
    rig_init(&r, 4, 2, 2);
    rig_fit(&r,
            "trainer: {max_epochs: 1}\ncallbacks: [{model_checkpoint: {save_weights_only: true}}]",
            NULL);
    ends(&r, 2, 1);
    rig_list(&r, "checkpoints/epoch=0-step=2", &list);
    assert_text(list, "MANIFEST model.safetensors");
    lt_buf_done(&list);
    rig_list(&r, "recovery", &list); /* `last` still names something to continue from */
    assert_text(list, "step-00000002");
    LT_AUTO(lt_free) char *from = rig_path(&r, "checkpoints/epoch=0-step=2");
    rig_new_run(&r, "second");
    snprintf(tail, sizeof tail, "trainer: {max_epochs: 2}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_PLAN, "weights only");
    rig_done(&r);
}

static void plans_that_no_longer_fit(void **state)
{
    struct rig r;
    char tail[600];

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r,
            "trainer: {max_epochs: 2, max_steps: 5, accumulate_grad_batches: 2}\njob: {recovery: "
            "{every_n_steps: 3}}",
            NULL);
    LT_AUTO(lt_free) char *from = rig_path(&r, "recovery/step-00000003");
    snprintf(tail, sizeof tail, "trainer: {max_epochs: 2}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_PLAN, "inside an epoch of 10 batches");
    r.model = "flatten, {linear: {out_features: 7}}, {linear: {out_features: 4}}";
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_PLAN, "another shape");
    r.model = NULL;
    r.optimizer = "adam: {lr: 0.1}";
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_PLAN, "exp_avg");
    r.optimizer = NULL;
    snprintf(tail, sizeof tail,
             "trainer: {max_epochs: 2, accumulate_grad_batches: 2}\nresume: {path: '%s'}", from);
    rig_fit(&r, tail, NULL);
    ends(&r, 10, 2);
    make_part(r.data, "train", 24, 4, 0); /* the same bytes in a new file */
    rig_fit(&r, tail, NULL);
    fails(&r, LT__V1__FAILURE_CLASS__CLASS_DATA, "not what the checkpoint was trained on");
    rig_done(&r);
}

static void starts_from_weights(void **state)
{
    struct rig r;
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    (void)state;
    rig_init(&r, 4, 2, 2);
    rig_fit(&r, "trainer: {max_epochs: 3}", NULL);
    rig_evaluate(&r, "trainer: {max_epochs: 1}", "checkpoints/epoch=2-step=6", "validate");
    rig_metrics(&r, "val_", &a);
    LT_AUTO(lt_free) char *from = rig_path(&r, "checkpoints/epoch=2-step=6/model.safetensors");
    rig_new_run(&r, "second");
    /* With a rate of 0 the weights stay what they were. */
    r.optimizer = "sgd: {lr: 0}";
    LT_AUTO(lt_free)
    char *model =
        lt_format("flatten, {linear: {out_features: 4}}], weights: '%s', inputs: [image", from);
    r.model = model;
    rig_fit(&r, "trainer: {max_epochs: 1}", NULL);
    ends(&r, 2, 1);
    rig_metrics(&r, "val_", &b);
    const char *x = strstr(a.data, "val_loss"), *y = strstr(b.data, "val_loss");
    assert_memory_equal(x, y, strcspn(x, "\n") + 1);
    rig_done(&r);
}

/* Tests and validations of a checkpoint give what fit's own validation gave; predictions are the
 * outputs in order. */
static void evaluates(void **state)
{
    struct rig r;
    LT_BUF_AUTO fit = {0};
    LT_BUF_AUTO alone = {0};
    LT_BUF_AUTO out = {0};

    (void)state;
    rig_init(&r, 20, 7, 3);
    rig_fit(&r, "trainer: {max_epochs: 2}", NULL);
    rig_metrics(&r, "val_", &fit);
    rig_evaluate(&r, "trainer: {max_epochs: 2}", "checkpoints/epoch=1-step=14", "validate");
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    assert_int_equal(r.result.n_values, 2);
    assert_string_equal(r.result.values[0].name, "val_loss");
    rig_metrics(&r, "val_", &alone);
    assert_string_equal(strstr(fit.data, "13 1"), alone.data);
    rig_evaluate(&r, "trainer: {max_epochs: 2}", "checkpoints/epoch=1-step=14", "test");
    assert_string_equal(r.result.values[1].name, "test_acc");
    assert_true(r.result.values[1].value >= 0 && r.result.values[1].value <= 1);
    rig_evaluate(&r, "trainer: {max_epochs: 2}", "checkpoints/epoch=1-step=14", "predict");
    rig_read(&r, "predictions.f32", &out);
    assert_int_equal(out.len, 20 * 4 * sizeof(float));
    rig_evaluate(&r, "trainer: {max_epochs: 2}", "checkpoints/none", "test");
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__FAILED);
    rig_done(&r);
}

/* Case 33, for real: files by epoch, by steps, and only the newest kept by default. */
static void what_stays(void **state)
{
    struct rig r;
    LT_BUF_AUTO list = {0};

    (void)state;
    rig_init(&r, 10, 4, 2);
    rig_fit(&r, "trainer: {max_epochs: 3}", NULL);
    rig_list(&r, "checkpoints", &list);
    assert_text(list, "epoch=2-step=15");
    lt_buf_done(&list);
    rig_read(&r, "last", &list);
    assert_text(list, "checkpoints/epoch=2-step=15\n");
    rig_new_run(&r, "steps");
    lt_buf_done(&list);
    rig_fit(&r,
            "trainer: {max_epochs: 2}\ncallbacks: [{model_checkpoint: {every_n_train_steps: 3, "
            "save_top_k: -1, filename: '{step}'}}]",
            NULL);
    rig_list(&r, "checkpoints", &list);
    assert_text(list, "step=3 step=6 step=9");
    lt_buf_done(&list);
    rig_read(&r, "last", &list); /* when fit ends, `last` is where it ended */
    assert_text(list, "recovery/step-00000010\n");
    rig_new_run(&r, "none");
    lt_buf_done(&list);
    rig_fit(&r, "trainer: {max_epochs: 1, enable_checkpointing: false}", NULL);
    rig_list(&r, "checkpoints", &list);
    assert_text(list, "");
    rig_done(&r);
}

/* A stop saves where it is; the run goes on from there. */
static void stopped_on_request(void **state)
{
    struct rig r;
    LT_BUF_AUTO last = {0};

    (void)state;
    rig_init(&r, 10, 4, 2);
    r.command = LT_COMMAND_STOP;
    rig_fit(&r, "trainer: {max_epochs: 3}", NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__STOPPED);
    r.command = 0;
    rig_fit(&r, "trainer: {max_epochs: 3}", NULL);
    ends(&r, 15, 3);
    rig_read(&r, "last", &last);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_with_more_epochs),
        cmocka_unit_test(an_older_one_is_used),
        cmocka_unit_test(begun_at_the_end_it_changes_nothing),
        cmocka_unit_test(none_is_left),
        cmocka_unit_test(a_named_one_must_be_good),
        cmocka_unit_test(weights_alone_cannot_be_continued),
        cmocka_unit_test(plans_that_no_longer_fit),
        cmocka_unit_test(starts_from_weights),
        cmocka_unit_test(evaluates),
        cmocka_unit_test(what_stays),
        cmocka_unit_test(stopped_on_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
