/* test_progress.c - the progress line's text */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "client/progress.h"
#include "client/status.h"
#include "client/verb.h"

const struct lt_verb *const lt_verbs[] = {NULL};

static Lt__V1__JobStatus status;
static Lt__V1__RankStatus rank, *ranks = &rank;
static Lt__V1__MetricValue values[2], *metrics[] = {&values[0], &values[1]};
static Lt__V1__CheckpointSaved best;

static int setup(void **state)
{
    (void)state;
    lt__v1__job_status__init(&status);
    lt__v1__rank_status__init(&rank);
    lt__v1__metric_value__init(&values[0]);
    lt__v1__metric_value__init(&values[1]);
    lt__v1__checkpoint_saved__init(&best);
    status.state = LT__V1__JOB_STATE__RUNNING;
    status.ranks = &ranks;
    status.n_ranks = 1;
    status.metrics = metrics;
    status.n_metrics = 2;
    values[0].name = (char *)"train_loss";
    values[0].value = 0.4321;
    values[1].name = (char *)"val_loss";
    values[1].value = 0.5;
    rank.step_ms = 2;
    rank.phase = (char *)"training";
    return 0;
}

#define TEXT(expected)                                                                             \
    do {                                                                                           \
        LT_BUF_AUTO out = {0};                                                                     \
        lt_progress_text(&status, &out);                                                           \
        assert_string_equal(out.data, expected);                                                   \
    } while (0)

static void test_everything_known(void **state)
{
    (void)state;
    status.epoch = 2;
    status.total_epochs = 10;
    status.step = 1000;
    status.total_steps = 1801000;
    best.monitor = (char *)"val_loss";
    best.has_score = true;
    best.score = 0.25;
    status.best = &best;
    TEXT("epoch 3/10  step 1000/1801000  500/s  1:00:00 to go  loss 0.4321  val_loss 0.5 (best "
         "0.25)");
    rank.phase = (char *)"validating";
    TEXT("epoch 3/10  step 1000/1801000  500/s  1:00:00 to go  loss 0.4321  val_loss 0.5 (best "
         "0.25)  [validating]");
}

static void test_nothing_known(void **state)
{
    (void)state;
    status.n_ranks = 0;
    status.n_metrics = 0;
    TEXT("epoch 1  step 0");
}

static void test_last_epoch_is_never_exceeded(void **state)
{
    (void)state;
    status.n_metrics = status.n_ranks = 0;
    status.epoch = 10;
    status.total_epochs = 10;
    TEXT("epoch 10/10  step 0");
}

static void test_not_running(void **state)
{
    (void)state;
    status.state = LT__V1__JOB_STATE__QUEUED;
    status.reason = (char *)"waits for 2 processors";
    TEXT("queued: waits for 2 processors");
    status.state = LT__V1__JOB_STATE__DONE;
    status.result = LT__V1__JOB_RESULT__FAILED;
    status.class_ = LT__V1__FAILURE_CLASS__CLASS_OOM;
    status.reason = NULL;
    TEXT("failed (oom)");
}

#define TEST(name) cmocka_unit_test_setup(test_##name, setup)

static void test_a_program(void **state)
{
    (void)state;
    status.kind = (char *)"command";
    status.n_metrics = 0;
    rank.phase = (char *)"running";
    TEXT("running");
    status.n_ranks = 2;
    status.step = 7;
    status.n_metrics = 2;
    TEXT("running on 2 ranks  step 7  train_loss 0.4321  val_loss 0.5");
    status.epoch = 3;
    TEXT("running on 2 ranks  epoch 3  step 7  train_loss 0.4321  val_loss 0.5");
}

static void test_fields_are_shown_whole(void **state)
{
    const char *text = "epoch 3/10  step 7  loss 0.4321  val_loss 0.5 (best 0.25)";

    (void)state;
    assert_int_equal(lt_progress_fit(text, strlen(text)), strlen(text));
    assert_int_equal(lt_progress_fit(text, strlen(text) - 1), strlen(text) - strlen(" (best 0.25)"));
    assert_int_equal(lt_progress_fit(text, strlen("epoch 3/10  step 7")), strlen("epoch 3/10  step 7"));
    assert_int_equal(lt_progress_fit(text, strlen("epoch 3/10  step ")), strlen("epoch 3/10"));
    assert_int_equal(lt_progress_fit("one long word", 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(everything_known), TEST(nothing_known),
                                       TEST(last_epoch_is_never_exceeded), TEST(not_running),
                                       TEST(a_program),
                                       TEST(fields_are_shown_whole)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
