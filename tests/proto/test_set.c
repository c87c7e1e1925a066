/* test_set.c - --set path=value, on text and on plans that exist */
#include "helpers.h"

static Lt__V1__TrainingPlan *with(const char *set, struct lt_arena *arena)
{
    return read_spec(good_plan, &set, 1, arena)->plan;
}

static void values_of_every_shape(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__TrainingPlan *p;

    (void)state;
    assert_int_equal(with("trainer.max_epochs=3", arena)->trainer->max_epochs, 3);
    assert_string_equal(with("name=a=b", arena)->name, "a=b");
    assert_string_equal(with("name=", arena)->name, "");
    assert_string_equal(with("name=\"x: y\"", arena)->name, "x: y");
    p = with("data.train.range=[1, 7]", arena);
    assert_int_equal(p->data->train->n_range, 2);
    assert_int_equal(p->data->train->range[1], 7);
    assert_int_equal(with("data.train.range[1]=9", arena)->data->train->range[1], 9);
    assert_int_equal(with("model.layers[1].linear.out_features=5", arena)
                         ->model->layers[1]
                         ->linear->out_features,
                     5);
    assert_int_equal(with("model.layers[2]=relu", arena)->model->n_layers, 3);
    assert_string_equal(with("data.fields.image=x", arena)->data->fields[0]->value, "x");
    assert_int_equal(with("job.time_limit=1:30:00", arena)->job->time_limit->seconds, 5400);
    assert_null(with("data.val=null", arena)->data->val);
}

static void what_is_missing_is_made(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__TrainingPlan *p = with("callbacks[0].model_checkpoint.save_top_k=1", arena);

    (void)state;
    assert_int_equal(p->n_callbacks, 1);
    assert_int_equal(p->callbacks[0]->model_checkpoint->save_top_k, 1);
}

static void another_member_of_a_oneof_replaces(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);

    (void)state;
    assert_int_equal(with("optimizer.sgd.lr=0.5", arena)->optimizer->optimizer_case,
                     LT__V1__OPTIMIZER__OPTIMIZER_SGD);
    assert_int_equal(with("optimizer=sgd", arena)->optimizer->optimizer_case,
                     LT__V1__OPTIMIZER__OPTIMIZER_SGD);
    assert_true(with("optimizer.adam.amsgrad=true", arena)->optimizer->adam->lr == 1e-3);
}

/* `loss: cross_entropy`, and a field of it. */
static void a_bare_word_opens_up(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);

    (void)state;
    assert_true(with("step.loss.cross_entropy.label_smoothing=0.1", arena)
                    ->step->loss->cross_entropy->label_smoothing == 0.1);
    assert_true(with("step.metrics[0].accuracy.prog_bar=true", arena)
                    ->step->metrics[0]
                    ->accuracy->prog_bar);
    assert_int_equal(with("step.loss.mse.target=label", arena)->step->loss->loss_case,
                     LT__V1__LOSS__LOSS_MSE);
}

static void mistakes_are_said(void **state)
{
    (void)state;
    expect_set("trainer.max_epoch=3", "0:0 trainer.max_epoch: `max_epoch`: unknown field of "
                                      "trainer (given by --set) (did you mean "
                                      "`max_epochs`?)\n");
    expect_set("data.batch_size=0", "0:0 data.batch_size: 0 is out of range (given by --set) "
                                    "(write a number from 1 to 16777216)\n");
    expect_set("seed", "0:0 : --set seed: no path=value (write --set path=value)\n");
    expect_set("model.layers[7]=relu",
               "0:0 : --set model.layers[7]: the index is beyond the end of the list (append with "
               "the index that follows the last)\n");
    expect_set(
        "model.layers.linear=relu",
        "0:0 : --set model.layers.linear: a list is in the way (write an index: callbacks[0])\n");
    expect_set("model.layers[x]=relu",
               "0:0 : --set model.layers[x]: the index isn't a number (write an index: "
               "callbacks[0])\n");
    expect_set("trainer[0]=1", "0:0 : --set trainer[0]: a map is in the way of the index ()\n");
    expect_set(
        "name=[",
        "0:0 : not YAML: did not find expected node content while parsing a flow node (check "
        "indentation, brackets and quotes here)\n");
    expect_set(
        "trainer..x=1",
        "0:0 : --set trainer..x: a name is missing in the path (write path.to.field=value)\n");
}

static void a_plan_that_exists(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const char *sets[] = {"trainer.max_epochs=9", "trainer.limit_val_batches=1.0",
                          "callbacks[0]=learning_rate_monitor"};
    const Lt__V1__JobSpec *spec = read_spec(good_plan, NULL, 0, arena);
    struct lt_problems problems = {0};
    const Lt__V1__JobSpec *changed = lt_text_apply_sets(spec, sets, 3, NULL, arena, &problems);

    (void)state;
    assert_non_null(changed);
    assert_int_equal(spec->plan->trainer->max_epochs, 2);
    assert_int_equal(changed->plan->trainer->max_epochs, 9);
    assert_int_equal(changed->plan->trainer->limit_val_batches->value_case,
                     LT__V1__BATCH_LIMIT__VALUE_FRACTION);
    assert_int_equal(changed->plan->n_callbacks, 1);
    assert_null(lt_text_apply_sets(spec, (const char *[]){"sede=1"}, 1, NULL, arena, &problems));
    assert_int_equal(problems.errors, 1);
    lt_problems_done(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_shape),
        cmocka_unit_test(what_is_missing_is_made),
        cmocka_unit_test(another_member_of_a_oneof_replaces),
        cmocka_unit_test(a_bare_word_opens_up),
        cmocka_unit_test(mistakes_are_said),
        cmocka_unit_test(a_plan_that_exists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
