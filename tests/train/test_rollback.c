/* test_rollback.c - updates that aren't finite, left out and taken back: what remains, what is told,
 * and where each rollback goes */
#include "tests/train/rig.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#define SAMPLES 30 /* batches of 4: 8 an epoch, the last a short one */
#define EPOCH 8

static void rig_poisoned(struct rig *r)
{
    rig_init(r, SAMPLES, 8, 4);
    rig_poison(r, 5);
    r->optimizer = "adam: {lr: 0.01}";
}

static void good(const struct rig *r)
{
    if (r->result.result != LT__V1__JOB_RESULT__SUCCEEDED)
        fail_msg("%s", r->result.reason);
}

/* The update of an epoch that the poisoned sample is part of. */
static int bad_step(struct rig *r, int epoch)
{
    LT_BUF_AUTO out = {0};
    const char *at;
    int n = -1;

    rig_new_run(r, "probe");
    rig_fit(r, "trainer: {max_epochs: 3, on_nonfinite: skip, log_every_n_steps: 1}", NULL);
    good(r);
    rig_metrics(r, "train_loss", &out);
    for (at = out.data; epoch >= 0 && (at = strstr(at, "nan\n")); at++, epoch--) {
        const char *line = at;

        while (line > out.data && line[-1] != '\n')
            line--;
        n = atoi(line);
    }
    assert_int_equal(epoch, -1);
    return n;
}

static char *last_dir(const struct rig *r)
{
    LT_BUF_AUTO last = {0};

    rig_read(r, "last", &last);
    last.data[--last.len] = '\0';
    return lt_buf_take(&last);
}

static void read_model(const struct rig *r, const char *dir, struct lt_buf *out)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/model.safetensors", dir);

    rig_read(r, path, out);
}

static void same_models(const struct rig *r, const char *a, const char *b, bool same)
{
    LT_BUF_AUTO x = {0};
    LT_BUF_AUTO y = {0};

    read_model(r, a, &x);
    read_model(r, b, &y);
    assert_int_equal(x.len, y.len);
    assert_int_equal(!memcmp(x.data, y.data, x.len), same);
}

static void rollbacks_are(const struct rig *r, const char *want)
{
    LT_BUF_AUTO out = {0};

    rig_rollbacks(r, &out);
    assert_text(out, want);
}

/* A run that ends right behind the bad update of `epoch`; its `last` holds what that left. */
static int run_to_bad_step(struct rig *r, int epoch, const char *more)
{
    int bad = bad_step(r, epoch);
    LT_AUTO(lt_free)
    char *plan = lt_format("trainer: {max_epochs: 3, max_steps: %d, on_nonfinite: rollback, "
                           "log_every_n_steps: 1}\n%s",
                           bad + 1, more);

    rig_new_run(r, "run");
    rig_fit(r, plan, NULL);
    good(r);
    assert_int_equal(r->result.step, bad + 1);
    return bad;
}

static void back_to_the_newest_epochs_end(void **state)
{
    struct rig r;

    (void)state;
    rig_poisoned(&r);
    int bad = run_to_bad_step(&r, 1, "callbacks: [{model_checkpoint: {save_top_k: -1}}]");
    LT_AUTO(lt_free) char *want = lt_format("%d epoch=0-step=8 1\n", bad);
    LT_AUTO(lt_free) char *last = last_dir(&r);

    if (bad % EPOCH + 1 == EPOCH || bad % EPOCH == 0)
        fail_msg("the bad update lies at an epoch's edge: take another sample");
    /* the first epoch's went back to the start */
    LT_BUF_AUTO all = {0};
    rig_rollbacks(&r, &all);
    assert_true(lt_str_ends(all.data, want));
    assert_non_null(strstr(all.data, " - 1\n"));
    same_models(&r, last, "checkpoints/epoch=0-step=8", true);
    rig_done(&r);
}

/* Without batch norm, a rate of 0 leaves the start as it was. */
static void back_to_the_start(void **state)
{
    struct rig r;
    LT_BUF_AUTO start = {0};
    LT_BUF_AUTO end = {0};

    (void)state;
    rig_poisoned(&r);
    r.model = "flatten, {linear: {out_features: 8}}, relu, {linear: {out_features: 8}}, relu, "
              "{linear: {out_features: 4}}";
    for (int i = 0; i < 2; i++) {
        int bad = run_to_bad_step(&r, 0, i ? "" : "job: {recovery: {every: 1h}}");
        LT_AUTO(lt_free) char *want = lt_format("%d - 1\n", bad);
        LT_AUTO(lt_free) char *last = last_dir(&r);

        rollbacks_are(&r, want);
        read_model(&r, last, i ? &start : &end);
        r.optimizer = "sgd: {lr: 0}";
    }
    assert_memory_equal(start.data, end.data, start.len);
    rig_done(&r);
}

static void ending(struct rig *r, const char *name, const char *policy, struct lt_buf *model,
                   struct lt_buf *optimizer, struct lt_buf *csv)
{
    LT_AUTO(lt_free) char *plan = lt_format(
        "trainer: {max_epochs: 3, log_every_n_steps: 1, on_nonfinite: %s}\nloggers: [csv]\n"
        "callbacks: [{model_checkpoint: {every_n_train_steps: 1, save_top_k: -1}}]",
        policy);

    rig_new_run(r, name);
    rig_fit(r, plan, NULL);
    good(r);
    LT_AUTO(lt_free) char *last = last_dir(r);
    LT_AUTO(lt_free) char *path = lt_format("%s/optimizer.safetensors", last);
    read_model(r, last, model);
    rig_read(r, path, optimizer);
    rig_read(r, "metrics.csv", csv);
}

/* A checkpoint behind every update: going back to the newest and leaving the update out are the
 * same, to the last bit of Adam's states; and no step is logged twice. */
static void with_every_update_saved_it_is_skip(void **state)
{
    struct rig r;
    struct lt_buf model[2] = {{0}};
    struct lt_buf optimizer[2] = {{0}};
    struct lt_buf csv[2] = {{0}};
    LT_BUF_AUTO steps = {0};

    (void)state;
    rig_poisoned(&r);
    r.model = "flatten, {linear: {out_features: 8}}, relu, {linear: {out_features: 8}}, relu, "
              "{linear: {out_features: 4}}";
    ending(&r, "skip", "skip", &model[0], &optimizer[0], &csv[0]);
    ending(&r, "rollback", "rollback", &model[1], &optimizer[1], &csv[1]);
    assert_string_equal(csv[0].data, csv[1].data);
    assert_non_null(strstr(csv[1].data, "nan"));
    assert_memory_equal(model[0].data, model[1].data, model[0].len);
    assert_memory_equal(optimizer[0].data, optimizer[1].data, optimizer[0].len);
    rig_steps(&r, "train_loss", &steps);
    assert_text(steps, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23");
    for (int i = 0; i < 2; i++) {
        lt_buf_done(&model[i]);
        lt_buf_done(&optimizer[i]);
        lt_buf_done(&csv[i]);
    }
    rig_done(&r);
}

/* Never finite: three times from the start; and three times where every rollback's weights are
 * saved anew. */
static void gives_up(void **state)
{
    static const char *const more[] = {
        "", "callbacks: [{model_checkpoint: {every_n_train_steps: 1, save_top_k: -1}}]"};
    static const char *const want[] = {
        "1 - 1\n3 - 2\n5 - 3\n", /* finite once behind each, never saved */
        "1 epoch=0-step=1 1\n2 epoch=0-step=2 2\n3 epoch=0-step=3 3\n"};
    struct rig r;

    (void)state;
    rig_init(&r, 40, 0, 2);
    r.optimizer = "sgd: {lr: 1.0e39}";
    for (int i = 0; i < 2; i++) {
        LT_AUTO(lt_free)
        char *plan = lt_format("trainer: {max_epochs: 1, on_nonfinite: rollback}\n%s", more[i]);

        rig_new_run(&r, i ? "saved" : "start");
        rig_fit(&r, plan, NULL);
        assert_int_equal(r.result.result, LT__V1__JOB_RESULT__FAILED);
        assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_NONFINITE);
        assert_non_null(strstr(r.result.reason, "3 rollbacks"));
        rollbacks_are(&r, want[i]);
    }
    rig_done(&r);
}

/* A job that continues another one goes back to where it began, not to random weights. */
static void back_to_the_resumed_checkpoint(void **state)
{
    Lt__V1__Resume resume = LT__V1__RESUME__INIT;
    Lt__V1__JobSpec *spec;
    struct rig r;

    (void)state;
    rig_poisoned(&r);
    int bad = bad_step(&r, 1);
    LT_AUTO(lt_free)
    char *plan = lt_format(
        "trainer: {max_epochs: 3, max_steps: %d, on_nonfinite: rollback, log_every_n_steps: 1}",
        bad + 1);

    rig_new_run(&r, "first");
    rig_fit(&r, "trainer: {max_epochs: 1, on_nonfinite: rollback}", NULL);
    good(&r);
    LT_AUTO(lt_free) char *from = rig_path(&r, "checkpoints/epoch=0-step=8");
    LT_BUF_AUTO began = {0};
    LT_BUF_AUTO ended = {0};
    LT_AUTO(lt_free) char *want = lt_format("%d %s 1\n", bad, from);

    read_model(&r, "checkpoints/epoch=0-step=8", &began);
    rig_new_run(&r, "second");
    spec = rig_spec(&r, plan);
    spec->plan->resume = &resume;
    resume.path = from;
    rig_fit_spec(&r, spec, NULL);
    spec->plan->resume = NULL;
    good(&r);
    rollbacks_are(&r, want);
    LT_AUTO(lt_free) char *last = last_dir(&r);
    read_model(&r, last, &ended);
    assert_memory_equal(began.data, ended.data, began.len);
    rig_done(&r);
}

/* The system's by time and on request are no place to go back to: where they are depends on clocks
 * and people. Those by step are, and stay as long as they are needed. */
static void by_the_plan_alone(void **state)
{
    static const char *const more[] = {"job: {recovery: {every: 1s, keep: 1}}",
                                       "job: {recovery: {every_n_steps: 3, keep: 1}}"};
    struct rig r;

    (void)state;
    rig_poisoned(&r);
    r.command = LT_COMMAND_CHECKPOINT;
    for (int i = 0; i < 2; i++) {
        int bad = run_to_bad_step(&r, 1, more[i]);
        LT_AUTO(lt_free) char *name = i ? lt_format("recovery/step-%08d", bad / 3 * 3)
                                        : lt_strdup("epoch=0-step=8");
        LT_AUTO(lt_free) char *want = lt_format("%d %s 1\n", bad, name);
        LT_BUF_AUTO all = {0};

        rig_rollbacks(&r, &all);
        if (!lt_str_ends(all.data, want))
            fail_msg("%s%s", all.data, want);
    }
    rig_done(&r);
}

static void break_file(const struct rig *r, const char *relative)
{
    LT_AUTO(lt_free) char *path = rig_path(r, relative);
    LT_BUF_AUTO bytes = {0};

    rig_read(r, relative, &bytes);
    bytes.data[bytes.len / 2] ^= 1;
    assert_int_equal(lt_file_replace(path, bytes.data, bytes.len, 0644, NULL), 0);
}

static void past_a_damaged_one(void **state)
{
    const char plan[] = "trainer: {max_epochs: 3, on_nonfinite: rollback, log_every_n_steps: 1}";
    struct rig r;

    (void)state;
    rig_poisoned(&r);
    int bad = bad_step(&r, 1);

    rig_new_run(&r, "run");
    r.cut = true;
    r.cut_boundary = EPOCH + 2 + 2 + 2; /* two updates into the second epoch */
    rig_fit(&r, plan, NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__CANCELLED);
    r.cut = false;
    LT_AUTO(lt_free) char *from = last_dir(&r);
    LT_AUTO(lt_free) char *want = lt_format("%d %s 1\n", bad, from);
    LT_BUF_AUTO all = {0};

    assert_true(lt_str_starts(from, "recovery/"));
    break_file(&r, "checkpoints/epoch=0-step=8/model.safetensors");
    rig_fit(&r, plan, from);
    good(&r);
    rig_rollbacks(&r, &all);
    if (!lt_str_starts(all.data, want))
        fail_msg("%s%s", all.data, want);
    rig_done(&r);
}

/* A bad batch leaves running statistics alone, and the epoch's values don't count it. */
static void what_follows_is_finite(void **state)
{
    static const struct lt_backend *const backends[] = {&lt_backend_ref, &lt_backend_cpu};
    struct rig r;

    (void)state;
    rig_poisoned(&r);
    for (int i = 0; i < 2; i++) {
        LT_BUF_AUTO out = {0};
        Lt__V1__JobSpec *spec;

        rig_new_run(&r, i ? "cpu" : "ref");
        r.backend = backends[i];
        spec = rig_spec(&r, "trainer: {max_epochs: 2, on_nonfinite: skip}");
        rig_fit_spec(&r, spec, NULL);
        good(&r);
        rig_metrics(&r, "val_loss", &out);
        assert_non_null(out.data);
        assert_null(strstr(out.data, "nan"));
        assert_int_equal(rig_count(&r, "val_loss"), 2);
    }
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(back_to_the_newest_epochs_end),
        cmocka_unit_test(back_to_the_start),
        cmocka_unit_test(with_every_update_saved_it_is_skip),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(back_to_the_resumed_checkpoint),
        cmocka_unit_test(by_the_plan_alone),
        cmocka_unit_test(past_a_damaged_one),
        cmocka_unit_test(what_follows_is_finite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
