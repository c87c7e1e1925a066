/* test_worker.c - lt-worker as a process: stopped, killed and started again it ends alike; it holds
 * the memory that it planned; checks are answers, whatever is asked */
#include "tests/train/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/page.h"

#define EXIT_STOPPED 107

/* Shadow memory is not ours to plan. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

/* Long enough to be hit in the middle, a recovery checkpoint every 50 updates. */
static const char plan[] =
    "trainer: {max_epochs: 40, log_every_n_steps: 10}\nloggers: [csv]\n"
    "callbacks: [{model_checkpoint: {monitor: val_loss}}]\njob: {recovery: {every_n_steps: 50}}";

/* Rolls back once an epoch. */
static const char poisoned[] =
    "trainer: {max_epochs: 30, log_every_n_steps: 1, on_nonfinite: rollback}\nloggers: [csv]\n"
    "callbacks: [{model_checkpoint: {monitor: val_loss}}]\njob: {recovery: {every: 1s}}";

static void rig_for_workers(struct rig *r, const char *plan_tail)
{
    rig_init(r, 200, 20, 4);
    r->optimizer = "adam: {lr: 0.01}";
    if (plan_tail == poisoned) {
        rig_poison(r, 5);
        return;
    }
    r->model = "flatten, {linear: {out_features: 32}}, relu, {dropout: {p: 0.2}}, {linear: "
               "{out_features: 4}}";
}

static char *last_of(const struct rig *r)
{
    LT_AUTO(lt_free) char *path = rig_path(r, "last");
    LT_BUF_AUTO last = {0};

    if (lt_file_read(path, 4096, &last, NULL) < 0)
        return NULL;
    last.data[--last.len] = '\0';
    return lt_buf_take(&last);
}

static void read_ending(const struct rig *r, struct lt_buf *csv, struct lt_buf *weights)
{
    LT_AUTO(lt_free) char *last = last_of(r);
    LT_AUTO(lt_free) char *path = lt_format("%s/model.safetensors", last);

    rig_read(r, "metrics.csv", csv);
    rig_read(r, path, weights);
}

static void wait_for_step(const char *attempt, uint64_t step)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/page", attempt);
    struct lt_page *page = NULL;

    while (lt_page_map(path, &page, NULL) < 0)
        usleep(1000);
    while (atomic_load(&page->step) < step)
        usleep(200);
    lt_page_unmap(page);
}

/* Runs to the end, hit by `sig` whenever `step` more updates are done, up to `times`. */
static void run_hit(struct rig *r, const char *tail, int sig, int times)
{
    for (int i = 0;; i++) {
        LT_AUTO(lt_free) char *from = i ? last_of(r) : NULL;
        LT_AUTO(lt_free) char *attempt = attempt_make(r, rig_spec(r, tail), from);
        pid_t pid = worker_start(r, attempt, "cpu");
        int status;

        if (i < times) {
            wait_for_step(attempt, (uint64_t)(i + 1) * 170);
            kill(pid, sig);
        }
        status = worker_wait(pid);
        if (status == 0)
            return;
        assert_int_equal(status, sig == SIGTERM ? EXIT_STOPPED : -sig);
        assert_true(i < times);
    }
}

static void hit_and_compare(const char *tail, int sig)
{
    LT_BUF_AUTO csv = {0};
    LT_BUF_AUTO weights = {0};
    LT_BUF_AUTO csv2 = {0};
    LT_BUF_AUTO weights2 = {0};
    struct rig r;

    rig_for_workers(&r, tail);
    run_hit(&r, tail, SIGTERM, 0);
    read_ending(&r, &csv, &weights);
    rig_new_run(&r, "hit");
    run_hit(&r, tail, sig, 3);
    read_ending(&r, &csv2, &weights2);
    assert_string_equal(csv.data, csv2.data);
    assert_int_equal(weights.len, weights2.len);
    assert_memory_equal(weights.data, weights2.data, weights.len);
    rig_done(&r);
}

static void stopped_by_sigterm(void **state)
{
    (void)state;
    hit_and_compare(plan, SIGTERM);
}

static void killed(void **state)
{
    (void)state;
    hit_and_compare(plan, SIGKILL);
}

static void killed_around_rollbacks(void **state)
{
    (void)state;
    hit_and_compare(poisoned, SIGKILL);
}

static Lt__V1__CheckDone *ask(struct rig *r, Lt__V1__JobSpec *spec, struct lt_buf *answer)
{
    size_t n = lt__v1__job_spec__get_packed_size(spec);
    uint8_t *bytes = lt_malloc(n + 1);
    Lt__V1__CheckDone *done;

    lt__v1__job_spec__pack(spec, bytes);
    assert_int_equal(worker_check(r, bytes, n, "cpu", answer), 0);
    lt_free(bytes);
    done = lt__v1__check_done__unpack(NULL, answer->len, (const uint8_t *)answer->data);
    assert_non_null(done);
    return done;
}

/* What admission is told is what the worker holds at every epoch's end. */
static void memory_is_as_planned(void **state)
{
    static const char *const models[] = {
        "flatten, {linear: {out_features: 4}}",
        "flatten, {linear: {out_features: 2000}}, relu, {linear: {out_features: 2000}}, relu, "
        "{linear: {out_features: 4}}",
        "{conv2d: {out_channels: 32, kernel_size: 3, padding: 1}}, {batch_norm: {}}, relu, "
        "flatten, {linear: {out_features: 4}}",
        "flatten, {linear: {out_features: 300}}, {layer_norm: {}}, gelu, {linear: {out_features: "
        "4}}",
    };

    (void)state;
    if (sanitized)
        return;
    for (size_t i = 0; i < LT_ARRAY_LEN(models); i++) {
        static const char tail[] =
            "trainer: {max_epochs: 2, num_sanity_val_steps: 1}\nloggers: [csv, tensorboard]";
        LT_BUF_AUTO answer = {0};
        struct rig r;

        rig_init(&r, 200, 40, 20);
        r.model = models[i];
        r.optimizer = "adam: {lr: 0.001}";
        Lt__V1__CheckDone *done = ask(&r, rig_spec(&r, tail), &answer);
        LT_AUTO(lt_free) char *attempt = attempt_make(&r, rig_spec(&r, tail), NULL);
        LT_AUTO(lt_free) char *path = lt_format("%s/page", attempt);
        struct lt_page *page = NULL;

        assert_non_null(done->cost);
        assert_int_equal(worker_wait(worker_start(&r, attempt, "cpu")), 0);
        assert_int_equal(lt_page_map(path, &page, NULL), 0);
        double planned = (double)done->cost->memory_bytes,
               held = (double)atomic_load(&page->memory_bytes);
        double slack = planned < 256.0 * 1048576 ? 8.0 * 1048576 : planned * 0.02;
        if (held < planned - slack || held > planned + slack)
            fail_msg("model %zu: planned %.0f bytes, holds %.0f", i, planned, held);
        lt_page_unmap(page);
        lt__v1__check_done__free_unpacked(done, NULL);
        rig_done(&r);
    }
}

static bool has_problem(const Lt__V1__CheckDone *done, const char *path, const char *text)
{
    for (size_t i = 0; i < done->n_problems; i++)
        if (!strcmp(done->problems[i]->path, path) && strstr(done->problems[i]->reason, text))
            return true;
    for (size_t i = 0; i < done->n_problems; i++)
        print_error("%s: %s\n", done->problems[i]->path, done->problems[i]->reason);
    return false;
}

static void refusals_are_answers(void **state)
{
    LT_BUF_AUTO answer = {0};
    struct rig r;
    Lt__V1__CheckDone *done;

    (void)state;
    rig_init(&r, 20, 4, 2);
    done = ask(&r, rig_spec(&r, "trainer: {max_epochs: 1}"), &answer);
    assert_int_equal(done->n_problems, 0);
    assert_int_equal(done->cost->parameters, 68);
    assert_non_null(strstr(done->report_json, "\"memory\""));
    lt__v1__check_done__free_unpacked(done, NULL);

    r.model = "flatten, {linear: {out_features: 3}}"; /* labels are 0 … 3 */
    done = ask(&r, rig_spec(&r, "trainer: {max_epochs: 1}"), &answer);
    assert_true(has_problem(done, "data.source", "sample 1 has label 3"));
    lt__v1__check_done__free_unpacked(done, NULL);

    r.model = "flatten, {conv2d: {out_channels: 3, kernel_size: 3}}, {linear: {out_features: 4}}";
    done = ask(&r, rig_spec(&r, "trainer: {max_epochs: 1}"), &answer);
    assert_true(done->n_problems > 0);
    lt__v1__check_done__free_unpacked(done, NULL);

    r.model = "flatten, {linear: {out_features: 4000000000}}, {linear: {out_features: 4000}}, "
              "{linear: {out_features: 4}}";
    done = ask(&r, rig_spec(&r, "trainer: {max_epochs: 1}"), &answer);
    assert_true(done->n_problems > 0);
    lt__v1__check_done__free_unpacked(done, NULL);

    r.model = NULL;
    LT_AUTO(lt_free) char *labels = lt_format("%s/train-labels-idx1-ubyte", r.data);
    assert_int_equal(truncate(labels, 20), 0);
    done = ask(&r, rig_spec(&r, "trainer: {max_epochs: 1}"), &answer);
    assert_true(has_problem(done, "data.source.idx.dir", "truncated idx file"));
    assert_null(done->cost);
    lt__v1__check_done__free_unpacked(done, NULL);
    rig_done(&r);
}

static void garbage_is_refused(void **state)
{
    static const unsigned char garbage[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0x01, 0x0a, 0x80};
    LT_BUF_AUTO answer = {0};
    struct rig r;

    (void)state;
    rig_init(&r, 4, 2, 2);
    for (size_t n = 1; n <= sizeof garbage; n++) {
        Lt__V1__CheckDone *done;

        assert_int_equal(worker_check(&r, garbage, n, "cpu", &answer), 0);
        done = lt__v1__check_done__unpack(NULL, answer.len, (const uint8_t *)answer.data);
        assert_non_null(done);
        assert_true(done->n_problems > 0);
        lt__v1__check_done__free_unpacked(done, NULL);
    }
    rig_done(&r);
}

/* A folder that isn't an attempt: an error and its own status, no crash. */
static void no_attempt(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 4, 2, 2);
    assert_int_equal(worker_wait(worker_start(&r, r.dir, "cpu")), 106);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_by_sigterm),   cmocka_unit_test(killed),
        cmocka_unit_test(killed_around_rollbacks),
        cmocka_unit_test(memory_is_as_planned), cmocka_unit_test(refusals_are_answers),
        cmocka_unit_test(garbage_is_refused),   cmocka_unit_test(no_attempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
