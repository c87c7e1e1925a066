/* test_cases.c - cases of Lightning's own suite that no other file here has: limits in numbers, overfitting,
 * several stops, triggers of checkpoints in whole runs */
#include "tests/train/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/problem.h"
#include "engine/train/limits.h"

/* Cases 13, 14: counts and fractions of 64 batches. */
static void limits_are_counts_or_fractions(void **state)
{
    static const struct {
        bool fraction;
        uint64_t count;
        double share;
        int64_t sanity;
        uint64_t want, want_sanity;
        bool refused;
    } rows[] = {{false, 100, 0, 2, 64, 2, false}, {false, 7, 0, 4, 7, 4, false}, {false, 1, 0, 4, 1, 1, false},
                {false, 0, 0, 4, 0, 0, false},    {false, 2, 0, -1, 2, 2, false}, {true, 0, 0.1, -1, 6, 6, false},
                {true, 0, 1.0, 100, 64, 64, false}, {true, 0, 0.0, 2, 0, 0, false}, {true, 0, 0.001, 2, 0, 0, true}};

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        struct lt_batch_counts have = {.train = 64, .val = 64, .test = 64, .predict = 64};
        Lt__V1__BatchLimit limit = LT__V1__BATCH_LIMIT__INIT;
        Lt__V1__Trainer t = LT__V1__TRAINER__INIT;
        struct lt_problems problems = {0};
        struct lt_limits l;

        limit.value_case = rows[i].fraction ? LT__V1__BATCH_LIMIT__VALUE_FRACTION : LT__V1__BATCH_LIMIT__VALUE_COUNT;
        if (rows[i].fraction)
            limit.fraction = rows[i].share;
        else
            limit.count = rows[i].count;
        t.limit_val_batches = &limit;
        t.num_sanity_val_steps = (int32_t)rows[i].sanity;
        lt_limits_init(&l, &t, &have, &problems);
        assert_int_equal(l.val_batches, rows[i].want);
        assert_int_equal(l.sanity_batches, rows[i].want_sanity);
        assert_int_equal(problems.len > 0, rows[i].refused);
        lt_problems_done(&problems);
    }
}

static void fit(struct rig *r, const char *tail)
{
    rig_fit(r, tail, NULL);
    if (r->result.result != LT__V1__JOB_RESULT__SUCCEEDED)
        fail_msg("%s: %s", tail, r->result.reason);
}

/* Case 50: the same batches in the same order every epoch, of training and of validation. With a rate of almost nothing
 * an epoch's losses are the former's. */
static void overfitting_sees_the_same_batches(void **state)
{
    LT_BUF_AUTO first = {0};
    LT_BUF_AUTO all = {0};
    struct rig r;

    (void)state;
    rig_init(&r, 40, 12, 2);
    r.optimizer = "sgd: {lr: 1.0e-30}";
    fit(&r, "trainer: {max_epochs: 1, overfit_batches: 3, log_every_n_steps: 1}");
    assert_int_equal(r.result.step, 3);
    rig_metrics(&r, "train_loss", &first);
    fit(&r, "trainer: {max_epochs: 3, overfit_batches: 3, log_every_n_steps: 1}");
    assert_int_equal(r.result.step, 9);
    assert_int_equal(rig_count(&r, "val_loss"), 3);
    rig_metrics(&r, "train_loss", &all);
    for (const char *line = first.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        char value[64];
        int found = 0;

        snprintf(value, sizeof value, "%.*s\n", (int)(end - strstr(line, "train_loss")), strstr(line, "train_loss"));
        for (const char *at = all.data; (at = strstr(at, value)); at++)
            found++;
        assert_int_equal(found, 3);
    }
    rig_done(&r);
}

/* Case 31: the earlier of two stops wins, on any number of ranks. */
static void the_earlier_stop_wins(void **state)
{
    static const char tail[] = "callbacks: [{early_stopping: {monitor: val_loss, min_delta: 1000, patience: 4}}, "
                               "{early_stopping: {monitor: val_acc, mode: max, min_delta: 1000, patience: 2}}]\n"
                               "trainer: {max_epochs: 20}";
    struct rig r;

    (void)state;
    rig_init(&r, 12, 4, 2);
    for (int world = 1; world <= 3; world++) {
        r.world = world;
        fit(&r, tail);
        assert_int_equal(r.result.epoch, 3); /* one that improves, two that don't */
        for (int i = 1; i < world; i++)
            assert_int_equal(r.others[i].epoch, 3);
    }
    rig_done(&r);
}

/* Case 41: no time at all is over at once, but for the minimum. */
static void time_that_is_over(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    fit(&r, "trainer: {max_epochs: 50, max_time: 0.000000001, min_epochs: 2}");
    assert_int_equal(r.result.epoch, 2);
    assert_int_equal(r.result.step, 20);
    fit(&r, "trainer: {max_epochs: 50, max_time: 0.000000001, min_steps: 13}");
    assert_in_range(r.result.step, 13, 14);
    rig_done(&r);
}

static void leaves(struct rig *r, const char *name, const char *tail, const char *want)
{
    LT_BUF_AUTO list = {0};

    rig_new_run(r, name);
    fit(r, tail);
    rig_list(r, "checkpoints", &list);
    if (strcmp(list.data ? list.data : "", want))
        fail_msg("%s: %s, expected %s", tail, list.data ? list.data : "", want);
}

#define CHECKPOINT(args) "callbacks: [{model_checkpoint: {" args "}}]\n"

/* Cases 15, 33, and where a save falls. */
static void triggers_in_whole_runs(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    leaves(&r, "a", "trainer: {max_epochs: 3}", "epoch=2-step=30");
    leaves(&r, "b", CHECKPOINT("save_top_k: -1, filename: '{step}'") "trainer: {max_epochs: 1, val_check_interval: 0.2}",
           "step=10 step=2 step=4 step=6 step=8");
    leaves(&r, "c", CHECKPOINT("save_top_k: -1, every_n_train_steps: 4, filename: '{step}'") "trainer: {max_epochs: 2}",
           "step=12 step=16 step=20 step=4 step=8");
    leaves(&r, "d", CHECKPOINT("save_top_k: -1, every_n_train_steps: 2, filename: '{step}'")
           "trainer: {max_epochs: 2, accumulate_grad_batches: 4}", "step=2 step=4 step=6");
    leaves(&r, "e", CHECKPOINT("save_top_k: -1, every_n_epochs: 2, filename: '{epoch}'") "trainer: {max_epochs: 5}",
           "epoch=1 epoch=3");
    leaves(&r, "f", CHECKPOINT("save_top_k: -1, monitor: val_loss, filename: '{epoch}'")
           "trainer: {max_epochs: 5, check_val_every_n_epoch: 2}", "epoch=1 epoch=3");
    leaves(&r, "g", CHECKPOINT("save_top_k: -1, save_on_train_epoch_end: true, filename: '{step}'")
           "trainer: {max_epochs: 2, val_check_interval: 0.5}", "step=10 step=20");
    leaves(&r, "h", CHECKPOINT("save_top_k: -1, save_on_train_epoch_end: false, filename: '{step}'")
           "trainer: {max_epochs: 2, val_check_interval: 0.5}", "step=10 step=15 step=20 step=5");
    leaves(&r, "i", CHECKPOINT("save_top_k: 0") "trainer: {max_epochs: 2}", "");
    leaves(&r, "j", CHECKPOINT("save_top_k: 2, monitor: step, mode: max, filename: '{step}'") "trainer: {max_epochs: 4}",
           "step=30 step=40");
    leaves(&r, "k", CHECKPOINT("save_top_k: 2, monitor: step, filename: '{step}', save_last: true") "trainer: {max_epochs: 4}",
           "step=10 step=20 step=40");
    rig_done(&r);
}

/* Case 26: a schedule by epoch steps with every epoch, whichever of them validate; the last window of an epoch is an update
 * that a schedule by update counts where the epoch's batches say so. */
static void schedules_know_no_validation(void **state)
{
    LT_BUF_AUTO lr = {0};
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    fit(&r, "lr_scheduler: {step: {step_size: 1, gamma: 0.5, frequency: 2}}\ncallbacks: [{learning_rate_monitor: {}}]\n"
            "trainer: {max_epochs: 5, limit_train_batches: 4, check_val_every_n_epoch: 3}");
    rig_metrics(&r, "lr-", &lr);
    assert_text(lr, "0 0 lr-SGD 0.1\n4 1 lr-SGD 0.1\n8 2 lr-SGD 0.05\n12 3 lr-SGD 0.05\n16 4 lr-SGD 0.025\n");
    lt_buf_done(&lr);
    /* accumulate 2, frequency 4: after batches 4 and 8 of the epoch's 10; it begins anew with each */
    fit(&r, "lr_scheduler: {step: {step_size: 1, gamma: 0.5, interval: step, frequency: 4}}\n"
            "callbacks: [{learning_rate_monitor: {}}]\n"
            "trainer: {max_epochs: 2, accumulate_grad_batches: 2, log_every_n_steps: 1}");
    rig_metrics(&r, "lr-", &lr);
    assert_text(lr, "0 0 lr-SGD 0.1\n1 0 lr-SGD 0.1\n2 0 lr-SGD 0.05\n3 0 lr-SGD 0.05\n4 0 lr-SGD 0.025\n"
                    "5 1 lr-SGD 0.025\n6 1 lr-SGD 0.025\n7 1 lr-SGD 0.0125\n8 1 lr-SGD 0.0125\n9 1 lr-SGD 0.00625\n");
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_counts_or_fractions),
        cmocka_unit_test(overfitting_sees_the_same_batches),
        cmocka_unit_test(the_earlier_stop_wins),
        cmocka_unit_test(time_that_is_over),
        cmocka_unit_test(triggers_in_whole_runs),
        cmocka_unit_test(schedules_know_no_validation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
