/* test_resume.c - a run cut anywhere and continued ends as if nothing had happened: weights,
 * optimiser state, metrics.csv and kept checkpoints are equal byte for byte, TensorBoard as (step,
 * tag, value) */
#include "tests/train/rig.h"

#include <string.h>

#include "base/mem.h"
#include "sys/file.h"
#include "tests/train/events.h"

/* Dropout, batch norm, Adam, an accumulation window of 3 over 8 batches with a short last one,
 * validation (3 batches) every quarter of an epoch, so that it falls inside windows, too. */
static const char full[] =
    "lr_scheduler: {cosine_annealing: {T_max: 7, interval: step}}\n"
    "trainer: {max_epochs: 2, accumulate_grad_batches: 3, gradient_clip_val: 1.0, "
    "val_check_interval: 0.25, log_every_n_steps: 1}\n"
    "callbacks:\n"
    "  - model_checkpoint: {monitor: val_loss, save_top_k: 2, every_n_train_steps: 2, filename: "
    "'m-{step}'}\n"
    "  - early_stopping: {monitor: val_acc, mode: max, patience: 50}\n"
    "  - learning_rate_monitor: {logging_interval: step}\n"
    "loggers: [csv, tensorboard]\n"
    "job: {recovery: {every: 1h}}\n";

/* Updates that aren't finite, too: in one window of each epoch, taken back to a checkpoint that may
 * lie inside a window. */
static const char poisoned[] =
    "lr_scheduler: {cosine_annealing: {T_max: 7, interval: step}}\n"
    "trainer: {max_epochs: 3, accumulate_grad_batches: 3, gradient_clip_val: 1.0, "
    "val_check_interval: 0.25, log_every_n_steps: 1, on_nonfinite: rollback}\n"
    "callbacks:\n"
    "  - model_checkpoint: {monitor: val_loss, save_top_k: 1, filename: 'm-{step}'}\n"
    "loggers: [csv, tensorboard]\n"
    "job: {recovery: {every: 1h, keep: 1}}\n";

static const char model[] = "flatten, {linear: {out_features: 8}}, {batch_norm: {}}, relu, "
                            "{dropout: {p: 0.3}}, {linear: {out_features: 4}}";

struct ending {
    struct lt_buf weights, optimizer, csv, kept, events;
};

static void read_last(const struct rig *r, const char *file, struct lt_buf *out)
{
    LT_BUF_AUTO last = {0};

    rig_read(r, "last", &last);
    last.data[--last.len] = '\0';
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", last.data, file);
    rig_read(r, path, out);
}

static void ending_read(const struct rig *r, struct ending *e)
{
    memset(e, 0, sizeof *e);
    read_last(r, "model.safetensors", &e->weights);
    read_last(r, "optimizer.safetensors", &e->optimizer);
    rig_read(r, "metrics.csv", &e->csv);
    rig_list(r, "checkpoints", &e->kept);
    rig_events(r, false, &e->events);
}

static void ending_done(struct ending *e)
{
    lt_buf_done(&e->weights);
    lt_buf_done(&e->optimizer);
    lt_buf_done(&e->csv);
    lt_buf_done(&e->kept);
    lt_buf_done(&e->events);
}

static void same(const struct lt_buf *a, const struct lt_buf *b, const char *what, uint64_t cut)
{
    if (a->len != b->len || memcmp(a->data, b->data, a->len))
        fail_msg("cut at boundary %llu: %s differs", (unsigned long long)cut, what);
}

static void compare(const struct ending *want, const struct rig *r, uint64_t cut)
{
    struct ending e;

    ending_read(r, &e);
    if (strcmp(want->csv.data, e.csv.data))
        print_error("want:\n%sgot:\n%s", want->csv.data, e.csv.data);
    same(&want->csv, &e.csv, "metrics.csv", cut);
    same(&want->weights, &e.weights, "model.safetensors", cut);
    same(&want->optimizer, &e.optimizer, "optimizer.safetensors", cut);
    if (strcmp(want->kept.data, e.kept.data))
        print_error("want: %s\ngot: %s\n", want->kept.data, e.kept.data);
    same(&want->kept, &e.kept, "the list of checkpoints", cut);
    if (strcmp(want->events.data, e.events.data))
        print_error("want:\n%sgot:\n%s", want->events.data, e.events.data);
    same(&want->events, &e.events, "TensorBoard", cut);
    ending_done(&e);
}

/* The folder that `last` names, as a start's checkpoint; NULL: there is none. */
static char *last_checkpoint(const struct rig *r)
{
    LT_AUTO(lt_free) char *path = rig_path(r, "last");
    LT_BUF_AUTO last = {0};

    if (lt_file_read(path, 4096, &last, NULL) < 0)
        return NULL;
    last.data[--last.len] = '\0';
    return lt_buf_take(&last);
}

/* Run, cut at every boundary, continue: `crash` dies without a checkpoint there, so the newest
 * earlier one is used. */
static void cut_everywhere(const struct lt_backend *backend, const char *plan, bool crash,
                           int world)
{
    struct rig r;
    struct ending want;
    uint64_t cut = 0;

    rig_init(&r, 30, 10, 4 / world);
    r.backend = backend;
    r.world = world;
    r.model = model;
    if (plan == poisoned)
        rig_poison(&r, 5);
    r.optimizer = "adam: {lr: 0.01}";
    rig_fit(&r, plan, NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    ending_read(&r, &want);
    if (plan == poisoned) {
        LT_BUF_AUTO rollbacks = {0};

        rig_rollbacks(&r, &rollbacks);
        assert_non_null(rollbacks.data);
    }
    for (;; cut++) {
        LT_AUTO(lt_free) char *name = lt_format("cut%d", (int)cut);
        LT_AUTO(lt_free) char *from = NULL;

        rig_new_run(&r, name);
        r.cut = true;
        r.cut_crash = crash;
        r.cut_boundary = cut;
        rig_fit(&r, plan, NULL);
        if (r.result.result == LT__V1__JOB_RESULT__SUCCEEDED)
            break;
        assert_int_equal(r.result.result, LT__V1__JOB_RESULT__CANCELLED);
        r.cut = false;
        from = last_checkpoint(&r);
        rig_fit(&r, plan, from);
        if (r.result.result != LT__V1__JOB_RESULT__SUCCEEDED)
            fail_msg("cut at boundary %llu: %s", (unsigned long long)cut, r.result.reason);
        compare(&want, &r, cut);
    }
    assert_true(cut > (world == 1 ? 40 : 20)); /* several ranks look when they exchange numbers */
    ending_done(&want);
    rig_done(&r);
}

static void stopped_at_every_boundary(void **state)
{
    (void)state;
    cut_everywhere(&lt_backend_ref, full, false, 1);
}

static void crashed_at_every_boundary(void **state)
{
    (void)state;
    cut_everywhere(&lt_backend_ref, full, true, 1);
}

static void stopped_on_the_fast_back_end(void **state)
{
    (void)state;
    cut_everywhere(&lt_backend_cpu, full, false, 1);
}

static void stopped_in_other_precisions(void **state)
{
    static const char *const words[] = {"bf16-mixed", "64-true"};
    const char *trainer = strstr(full, "trainer: {") + strlen("trainer: {");

    (void)state;
    for (int i = 0; i < 2; i++) {
        LT_AUTO(lt_free)
        char *plan =
            lt_format("%.*sprecision: %s, %s", (int)(trainer - full), full, words[i], trainer);

        cut_everywhere(&lt_backend_cpu, plan, false, 1);
    }
}

static void two_ranks_stopped_wherever_they_agree(void **state)
{
    (void)state;
    cut_everywhere(&lt_backend_cpu, full, false, 2);
}

static void two_ranks_crashed_wherever_they_agree(void **state)
{
    (void)state;
    cut_everywhere(&lt_backend_cpu, full, true, 2);
}

static void cut_around_rollbacks(void **state)
{
    (void)state;
    cut_everywhere(&lt_backend_ref, poisoned, false, 1);
    cut_everywhere(&lt_backend_ref, poisoned, true, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_at_every_boundary),
        cmocka_unit_test(crashed_at_every_boundary),
        cmocka_unit_test(stopped_on_the_fast_back_end),
        cmocka_unit_test(stopped_in_other_precisions),
        cmocka_unit_test(cut_around_rollbacks),
        cmocka_unit_test(two_ranks_stopped_wherever_they_agree),
        cmocka_unit_test(two_ranks_crashed_wherever_they_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
