/* test_names.c - words for states, exit codes, and the metrics of a plan */
#include "helpers.h"

static void states_results_classes(void **state)
{
    (void)state;
    assert_string_equal(lt_job_state_name(LT__V1__JOB_STATE__HELD_CHECKING), "held(checking)");
    assert_string_equal(lt_job_state_name(LT__V1__JOB_STATE__DONE), "done");
    assert_string_equal(lt_job_state_name((Lt__V1__JobState)99), "unknown");
    assert_string_equal(lt_job_result_name(LT__V1__JOB_RESULT__TIMED_OUT), "timed_out");
    assert_string_equal(lt_failure_class_name(LT__V1__FAILURE_CLASS__CLASS_OOM), "oom");
}

static void exit_codes(void **state)
{
    static const struct {
        Lt__V1__JobResult result;
        int code;
    } cases[] = {
        {LT__V1__JOB_RESULT__SUCCEEDED, 0},   {LT__V1__JOB_RESULT__FAILED, 100},
        {LT__V1__JOB_RESULT__CANCELLED, 103}, {LT__V1__JOB_RESULT__TIMED_OUT, 104},
        {LT__V1__JOB_RESULT__PREEMPTED, 105}, {LT__V1__JOB_RESULT__STOPPED, 107},
        {LT__V1__JOB_RESULT__REFUSED, 3},     {LT__V1__JOB_RESULT__RESULT_NONE, 9},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++)
        assert_int_equal(lt_job_exit_code(cases[i].result, LT__V1__FAILURE_CLASS__CLASS_NONE),
                         cases[i].code);
    assert_int_equal(
        lt_job_exit_code(LT__V1__JOB_RESULT__FAILED, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE),
        106);
    assert_int_equal(lt_job_exit_code(LT__V1__JOB_RESULT__FAILED, LT__V1__FAILURE_CLASS__CLASS_OOM),
                     100);
}

static void event_types(void **state)
{
    Lt__V1__Event e = LT__V1__EVENT__INIT;

    (void)state;
    assert_string_equal(lt_event_type_name(&e), "unknown");
    e.type_case = LT__V1__EVENT__TYPE_CHECKPOINT_SAVED;
    assert_string_equal(lt_event_type_name(&e), "checkpoint_saved");
}

static void expect_names(const char *set, const char *want)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__JobSpec *spec = read_spec(good_plan, &set, set ? 1 : 0, arena);
    const char *const *names = lt_plan_metric_names(spec->plan, arena);
    LT_BUF_AUTO got = {0};

    for (size_t i = 0; names[i]; i++)
        lt_buf_printf(&got, "%s%s", i ? " " : "", names[i]);
    expect_text(got.data, want);
}

static void metric_names(void **state)
{
    (void)state;
    expect_names(NULL, "train_loss train_acc val_loss val_acc epoch step");
    expect_names("data.test={split: test}",
                 "train_loss train_acc val_loss val_acc test_loss test_acc epoch step");
    expect_names("data.val=null", "train_loss train_acc epoch step");
    expect_names("trainer.limit_val_batches=0", "train_loss train_acc epoch step");
    expect_names("step.metrics=[]", "train_loss val_loss epoch step");
    expect_names("step.metrics[0].accuracy={name: top1}",
                 "train_loss train_top1 val_loss val_top1 epoch step");
    expect_names("step.metrics[0].accuracy.on_epoch=true",
                 "train_loss train_acc train_acc_step train_acc_epoch val_loss val_acc epoch step");
    expect_names("callbacks=[learning_rate_monitor]",
                 "train_loss train_acc val_loss val_acc lr-Adam epoch step");
    expect_names(
        "callbacks=[{learning_rate_monitor: {log_momentum: true, log_weight_decay: true}}]",
        "train_loss train_acc val_loss val_acc lr-Adam lr-Adam-momentum lr-Adam-weight_decay epoch "
        "step");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_results_classes),
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(event_types),
        cmocka_unit_test(metric_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
