/* test_fit.c - how long fit goes on, and when it validates and logs (cases of trainer.md's list are named) */
#include "tests/train/rig.h"

static void steps_are(struct rig *r, uint64_t step, uint64_t epoch)
{
    if (r->result.result != LT__V1__JOB_RESULT__SUCCEEDED)
        print_message("%s\n", r->result.reason);
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
    rig_fit(&r, "trainer: {max_epochs: 100, max_steps: 42, limit_train_batches: 0.5, accumulate_grad_batches: 10}", NULL);
    steps_are(&r, 42, 11);
    rig_fit(&r, "trainer: {max_epochs: 3, max_steps: 42, limit_train_batches: 0.5}", NULL);
    steps_are(&r, 42, 2);
    rig_fit(&r, "trainer: {max_epochs: 2, max_steps: 192, limit_train_batches: 0.5}", NULL);
    steps_are(&r, 64, 2);
    rig_fit(&r, "trainer: {max_epochs: -1, max_steps: 3, limit_train_batches: 0.5}", NULL);
    steps_are(&r, 3, 1);
    rig_fit(&r, "trainer: {max_epochs: 2, limit_train_batches: 0.7, accumulate_grad_batches: 4}", NULL);
    steps_are(&r, 22, 2);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_ends_with_the_epoch), cmocka_unit_test(limits_of_steps_and_epochs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
