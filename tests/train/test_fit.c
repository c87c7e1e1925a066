/* test_fit.c - how long fit goes on, and when it validates and logs (cases of trainer.md's list are
 * named) */
#include "tests/train/rig.h"

#include <stdio.h>
#include <string.h>

static void steps_are(struct rig *r, uint64_t step, uint64_t epoch)
{
    if (r->result.result != LT__V1__JOB_RESULT__SUCCEEDED)
        print_error("%s\n", r->result.reason);
    assert_int_equal(r->result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    assert_int_equal(r->result.step, step);
    assert_int_equal(r->result.epoch, epoch);
}

/* Case 1: accumulate 3, 10 batches: updates after batches 3, 6, 9, 10. */
static void accumulation_ends_with_the_epoch(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r, "trainer: {max_epochs: 2, accumulate_grad_batches: 3}", NULL);
    steps_are(&r, 8, 2);
    rig_done(&r);
}

/* Cases 2 and 3: whichever of max_steps and max_epochs comes first. */
static void limits_of_steps_and_epochs(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 64, 0, 1);
    rig_fit(&r,
            "trainer: {max_epochs: 100, max_steps: 42, limit_train_batches: 0.5, "
            "accumulate_grad_batches: 10}",
            NULL);
    steps_are(&r, 42, 11);
    rig_fit(&r, "trainer: {max_epochs: 3, max_steps: 42, limit_train_batches: 0.5}", NULL);
    steps_are(&r, 42, 2);
    rig_fit(&r, "trainer: {max_epochs: 2, max_steps: 192, limit_train_batches: 0.5}", NULL);
    steps_are(&r, 64, 2);
    rig_fit(&r, "trainer: {max_epochs: -1, max_steps: 3, limit_train_batches: 0.5}", NULL);
    steps_are(&r, 3, 1);
    rig_fit(&r, "trainer: {max_epochs: 2, limit_train_batches: 0.7, accumulate_grad_batches: 4}",
            NULL);
    steps_are(&r, 22, 2);
    rig_done(&r);
}

/* A stop that is wished for at every check: val_loss is always below this threshold. */
#define STOPS "callbacks: [{early_stopping: {monitor: val_loss, stopping_threshold: 1.0e9%s}}]\n"

static void fit_stopping(struct rig *r, const char *trainer)
{
    char tail[400];

    snprintf(tail, sizeof tail, STOPS "trainer: {%s}", "", trainer);
    rig_fit(r, tail, NULL);
}

/* Case 7: the minimum of epochs and of steps must both be reached; then it ends at once. */
static void stops_wait_for_the_minimum(void **state)
{
    static const struct {
        int batches, min_epochs, min_steps;
        uint64_t step;
    } rows[] = {{3, 0, 10, 10}, {5, 0, 10, 10}, {3, 2, 0, 6},  {5, 2, 0, 10},
                {3, 1, 10, 10}, {3, 3, 10, 10}, {5, 3, 10, 15}};
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char trainer[200];

        snprintf(trainer, sizeof trainer,
                 "max_epochs: 100, limit_train_batches: %d, min_epochs: %d, min_steps: %d",
                 rows[i].batches, rows[i].min_epochs, rows[i].min_steps);
        fit_stopping(&r, trainer);
        if (r.result.step != rows[i].step)
            fail_msg("row %zu: %d steps", i, (int)r.result.step);
    }
    /* Case 6. */
    fit_stopping(&r, "max_epochs: 100, limit_train_batches: 2, min_epochs: 5");
    steps_are(&r, 10, 5);
    rig_done(&r);
}

/* Cases 8, 9: a stop inside an epoch; the minimum reached inside one brings a last validation. */
static void stops_inside_an_epoch(void **state)
{
    LT_BUF_AUTO steps = {0};
    struct rig r;
    char tail[400];

    (void)state;
    rig_init(&r, 20, 4, 2);
    snprintf(tail, sizeof tail, STOPS "trainer: {max_epochs: 9, val_check_interval: 5}",
             ", check_on_train_epoch_end: false");
    rig_fit(&r, tail, NULL);
    steps_are(&r, 5, 1);
    rig_steps(&r, "val_loss", &steps);
    assert_text(steps, "4");
    lt_buf_done(&steps);
    snprintf(tail, sizeof tail,
             STOPS "trainer: {max_epochs: 9, val_check_interval: 5, min_steps: 7}",
             ", check_on_train_epoch_end: false");
    rig_fit(&r, tail, NULL);
    steps_are(&r, 7, 1);
    rig_steps(&r, "val_loss", &steps);
    assert_text(steps, "4 6");
    fit_stopping(&r, "max_epochs: 3, limit_train_batches: 2, min_epochs: 3");
    assert_int_equal(rig_count(&r, "val_loss"), 3);
    fit_stopping(&r, "max_epochs: 3, limit_train_batches: 2, min_steps: 3");
    assert_int_equal(rig_count(&r, "val_loss"), 2);
    rig_done(&r);
}

/* Case 30. */
static void stops_at_the_second_check(void **state)
{
    static const char callback[] = "callbacks: [{early_stopping: {monitor: val_loss, min_delta: "
                                   "1000, patience: 1}}]\ntrainer: {max_epochs: 20, ";
    struct rig r;
    char tail[300];

    (void)state;
    rig_init(&r, 20, 4, 2);
    snprintf(tail, sizeof tail, "%sval_check_interval: 0.3}", callback);
    rig_fit(&r, tail, NULL);
    steps_are(&r, 6, 1);
    snprintf(tail, sizeof tail, "%scheck_val_every_n_epoch: 2}", callback);
    rig_fit(&r, tail, NULL);
    steps_are(&r, 40, 4);
    rig_done(&r);
}

static void validates(struct rig *r, const char *trainer, const char *want)
{
    LT_BUF_AUTO steps = {0};
    char tail[300];

    snprintf(tail, sizeof tail, "trainer: {%s}", trainer);
    rig_fit(r, tail, NULL);
    assert_int_equal(r->result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    rig_steps(r, "val_loss", &steps);
    if (strcmp(steps.data ? steps.data : "", want))
        fail_msg("%s: validations at %s, expected %s", trainer, steps.data ? steps.data : "", want);
}

/* Cases 15, 16, 18: validations as the axis of their records: the index of the newest update. */
static void validates_when_due(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    validates(&r, "max_epochs: 2", "9 19");
    validates(&r, "max_epochs: 1, val_check_interval: 0.3", "2 5 8");
    validates(&r, "max_epochs: 1, val_check_interval: 0.25", "1 3 5 7 9");
    validates(&r, "max_epochs: 2, val_check_interval: 4", "3 7 13 17");
    validates(&r, "max_epochs: 5, check_val_every_n_epoch: 2, limit_train_batches: 2", "3 7");
    validates(&r,
              "max_epochs: 100, check_val_every_n_epoch: 3, limit_train_batches: 2, max_steps: 8",
              "5");
    validates(
        &r,
        "max_epochs: 3, limit_train_batches: 4, val_check_interval: 3, check_val_every_n_epoch: 0",
        "2 5 8 11");
    validates(&r, "max_epochs: 1, limit_val_batches: 0", "");
    validates(&r, "max_epochs: 3, limit_train_batches: 4, max_steps: 6", "3");
    rig_done(&r);
}

/* 12 validations in 3 epochs of 64 batches. */
static void quarters(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 64, 4, 1);
    rig_fit(&r, "trainer: {max_epochs: 3, val_check_interval: 0.25}", NULL);
    assert_int_equal(rig_count(&r, "val_loss"), 12);
    rig_done(&r);
}

/* Case 20: validating inside a window changes nothing. */
static void windows_survive_validation(void **state)
{
    struct rig r;
    LT_BUF_AUTO with = {0};
    LT_BUF_AUTO without = {0};

    (void)state;
    rig_init(&r, 12, 4, 2);
    rig_fit(&r, "trainer: {max_epochs: 2, accumulate_grad_batches: 3, val_check_interval: 2}",
            NULL);
    steps_are(&r, 4, 2);
    rig_read(&r, "checkpoints/epoch=1-step=4/model.safetensors", &with);
    rig_new_run(&r, "other");
    rig_fit(&r, "trainer: {max_epochs: 2, accumulate_grad_batches: 3, limit_val_batches: 0}", NULL);
    rig_read(&r, "checkpoints/epoch=1-step=4/model.safetensors", &without);
    assert_int_equal(with.len, without.len);
    assert_memory_equal(with.data, without.data, with.len);
    rig_done(&r);
}

/* Case 21. */
static void logs_every_n_steps(void **state)
{
    struct rig r;
    LT_BUF_AUTO steps = {0};

    (void)state;
    rig_init(&r, 6, 0, 2);
    rig_fit(&r, "trainer: {max_epochs: -1, max_steps: 10, log_every_n_steps: 5}", NULL);
    rig_steps(&r, "train_loss", &steps);
    assert_text(steps, "4 9");
    lt_buf_done(&steps);
    rig_fit(&r, "trainer: {max_epochs: -1, max_steps: 10, log_every_n_steps: 1}", NULL);
    rig_steps(&r, "train_acc", &steps);
    assert_text(steps, "0 1 2 3 4 5 6 7 8 9");
    lt_buf_done(&steps);
    rig_fit(&r, "trainer: {max_epochs: 2, log_every_n_steps: 0}", NULL);
    rig_steps(&r, "train_loss", &steps);
    assert_text(steps, "");
    rig_done(&r);
}

/* One record per window, of the whole window; k batches of b log and train what one batch of k·b
 * does. */
static void a_window_is_one_batch(void **state)
{
    struct rig r;
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    (void)state;
    rig_init(&r, 18, 6, 2);
    rig_fit(&r, "trainer: {max_epochs: 3, accumulate_grad_batches: 4, log_every_n_steps: 1}", NULL);
    steps_are(&r, 9, 3);
    rig_metrics(&r, "train_", &a);
    r.batch = 8;
    rig_new_run(&r, "other");
    rig_fit(&r, "trainer: {max_epochs: 3, log_every_n_steps: 1}", NULL);
    steps_are(&r, 9, 3);
    rig_metrics(&r, "train_", &b);
    assert_string_equal(a.data, b.data); /* six digits */
    rig_done(&r);
}

static void fast_dev_run_writes_nothing(void **state)
{
    struct rig r;
    LT_BUF_AUTO list = {0};

    (void)state;
    rig_init(&r, 20, 12, 2);
    rig_fit(&r,
            "trainer: {max_epochs: 9, fast_dev_run: 4}\nloggers: [csv, tensorboard]\n"
            "callbacks: [{early_stopping: {monitor: nothing}}, {model_checkpoint: {}}]",
            NULL);
    steps_are(&r, 4, 1);
    rig_list(&r, ".", &list);
    assert_text(list, "");
    rig_done(&r);
}

static void sanity_check_leaves_no_trace(void **state)
{
    struct rig r;
    LT_BUF_AUTO with = {0};
    LT_BUF_AUTO without = {0};

    (void)state;
    rig_init(&r, 20, 12, 2);
    rig_fit(&r, "trainer: {max_epochs: 1, num_sanity_val_steps: 4}", NULL);
    rig_metrics(&r, "", &with);
    rig_fit(&r, "trainer: {max_epochs: 1, num_sanity_val_steps: 0}", NULL);
    rig_metrics(&r, "", &without);
    assert_string_equal(with.data, without.data);
    rig_fit(&r, "trainer: {max_epochs: 1, num_sanity_val_steps: -1}", NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    rig_done(&r);
}

/* Case 11, and what is refused once the data's length is known. */
static void limits_that_cannot_be(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r, "trainer: {max_epochs: 1, limit_train_batches: 0}", NULL);
    steps_are(&r, 0, 0);
    rig_fit(&r, "trainer: {max_epochs: 0}", NULL);
    steps_are(&r, 0, 0);
    rig_fit(&r, "trainer: {max_epochs: 1, limit_train_batches: 0.001}", NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__FAILED);
    assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_PLAN);
    assert_non_null(strstr(r.result.reason, "1/10"));
    rig_fit(&r, "trainer: {max_epochs: 1, val_check_interval: 100}", NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__FAILED);
    assert_non_null(strstr(r.result.reason, "trainer.val_check_interval"));
    rig_fit(&r, "trainer: {max_epochs: 1, val_check_interval: 100, limit_val_batches: 0}", NULL);
    steps_are(&r, 10, 1);
    rig_done(&r);
}

static void a_loss_that_is_not_finite(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 0, 2);
    r.optimizer = "sgd: {lr: 1.0e39}";
    rig_fit(&r, "trainer: {max_epochs: 3}", NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__FAILED);
    assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_NONFINITE);
    assert_true(r.result.step < 30);
    rig_fit(&r, "trainer: {max_epochs: 3, on_nonfinite: skip}", NULL);
    steps_are(&r, 30, 3);
    rig_new_run(&r, "rollback");
    rig_fit(&r, "trainer: {max_epochs: 3, on_nonfinite: rollback}", NULL);
    assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_NONFINITE);
    assert_non_null(strstr(r.result.reason, "3 rollbacks"));
    rig_done(&r);
}

/* The learning rate's column follows the schedule: by epoch before validation, by step with every
 * update. */
static void schedules_step_when_due(void **state)
{
    struct rig r;
    LT_BUF_AUTO lr = {0};

    (void)state;
    rig_init(&r, 8, 0, 2);
    rig_fit(&r,
            "lr_scheduler: {step: {step_size: 1, gamma: 0.5}}\ntrainer: {max_epochs: 3}\n"
            "callbacks: [{learning_rate_monitor: {}}]",
            NULL);
    rig_metrics(&r, "lr-", &lr);
    assert_text(lr, "0 0 lr-SGD 0.1\n4 1 lr-SGD 0.05\n8 2 lr-SGD 0.025\n");
    lt_buf_done(&lr);
    rig_fit(
        &r,
        "lr_scheduler: {step: {step_size: 1, gamma: 0.5, interval: step, frequency: 2}}\n"
        "trainer: {max_epochs: 1, log_every_n_steps: 1}\ncallbacks: [{learning_rate_monitor: {}}]",
        NULL);
    rig_metrics(&r, "lr-", &lr);
    assert_text(lr, "0 0 lr-SGD 0.1\n1 0 lr-SGD 0.1\n2 0 lr-SGD 0.05\n3 0 lr-SGD 0.05\n");
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_ends_with_the_epoch),
        cmocka_unit_test(limits_of_steps_and_epochs),
        cmocka_unit_test(stops_wait_for_the_minimum),
        cmocka_unit_test(stops_inside_an_epoch),
        cmocka_unit_test(stops_at_the_second_check),
        cmocka_unit_test(validates_when_due),
        cmocka_unit_test(quarters),
        cmocka_unit_test(windows_survive_validation),
        cmocka_unit_test(logs_every_n_steps),
        cmocka_unit_test(a_window_is_one_batch),
        cmocka_unit_test(fast_dev_run_writes_nothing),
        cmocka_unit_test(sanity_check_leaves_no_trace),
        cmocka_unit_test(limits_that_cannot_be),
        cmocka_unit_test(a_loss_that_is_not_finite),
        cmocka_unit_test(schedules_step_when_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
