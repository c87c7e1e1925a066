/* test_faults.c - what a run does when something cannot be written, a label is wrong, or the time
 * is over */
#include "tests/train/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "proto/plan.h"
#include "sys/file.h"

static const char *refused; /* part of a path */
static int refused_with;

static int refuse_mkdir(const char *path, mode_t mode)
{
    if (strstr(path, refused))
        return refused_with;
    return mkdir(path, mode) < 0 ? -errno : 0;
}

static int refuse_open(const char *path, int flags, mode_t mode)
{
    int fd;

    if (strstr(path, refused) && (flags & (O_WRONLY | O_RDWR)))
        return refused_with;
    fd = open(path, flags, mode);
    return fd < 0 ? -errno : fd;
}

static void refuse(const char *path, int code)
{
    static const struct lt_file_hooks hooks = {.mkdir = refuse_mkdir, .open = refuse_open};

    refused = path;
    refused_with = code;
    lt_file_set_hooks(&hooks);
}

static const char plan[] =
    "trainer: {max_epochs: 2}\nloggers: [csv]\njob: {recovery: {every_n_steps: 4}}";

/* The system's own checkpoints are not worth a job: it goes on, and says so. */
static void recovery_cannot_be_written(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    refuse("/recovery", -ENOSPC);
    rig_fit(&r, plan, NULL);
    lt_file_set_hooks(NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    assert_true(rig_conditions(&r, LT__V1__CONDITION__KIND__DEGRADED) > 0);
    rig_done(&r);
}

static void fails_with(const char *path, int code, Lt__V1__FailureClass class)
{
    struct rig r;

    rig_init(&r, 20, 4, 2);
    refuse(path, code);
    rig_fit(&r, plan, NULL);
    lt_file_set_hooks(NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__FAILED);
    assert_int_equal(r.result.class, class);
    if (!strstr(r.result.reason, path))
        fail_msg("'%s' doesn't name %s", r.result.reason, path);
    rig_done(&r);
}

static void what_the_user_asked_for_cannot_be_written(void **state)
{
    (void)state;
    fails_with("checkpoint", -ENOSPC, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE);
    fails_with("checkpoint", -EACCES, LT__V1__FAILURE_CLASS__CLASS_JOB);
    fails_with("metrics.csv", -EROFS, LT__V1__FAILURE_CLASS__CLASS_JOB);
    fails_with("metrics.csv", -EIO, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE);
}

/* Labels that weren't scanned are found when they are met. */
static void a_label_out_of_range(void **state)
{
    const struct lt_backend *const backends[] = {&lt_backend_ref, &lt_backend_cpu};

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(backends); i++) {
        struct rig r;
        Lt__V1__JobSpec *spec;

        rig_init(&r, 20, 4, 2);
        r.backend = backends[i];
        r.model = "flatten, {linear: {out_features: 3}}";
        spec = rig_spec(&r, "trainer: {max_epochs: 1, num_sanity_val_steps: 0}");
        spec->plan->data->has_scan = true;
        spec->plan->data->scan = LT__V1__DATA__SCAN__lazy;
        rig_fit_spec(&r, spec, NULL);
        assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_DATA);
        if (!strstr(r.result.reason, "train-labels-idx1-ubyte: sample ") ||
            !strstr(r.result.reason, ", label 3"))
            fail_msg("'%s'", r.result.reason);
        rig_done(&r);
    }
}

static void the_time_is_over(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 4, 2);
    rig_fit(&r, "trainer: {max_epochs: -1, max_time: 20ms}", NULL);
    assert_int_equal(r.result.result, LT__V1__JOB_RESULT__SUCCEEDED);
    assert_string_equal(r.result.reason, "max_time is over");
    rig_fit(&r, "trainer: {max_epochs: -1, max_time: 1ms, min_epochs: 3}", NULL);
    assert_true(r.result.epoch >= 3);
    rig_done(&r);
}

/* Whatever is logged is a name that level 1 lets monitors and templates use. */
static void names_agree_with_the_check_of_plans(void **state)
{
    static const char tail[] =
        "trainer: {max_epochs: 2, log_every_n_steps: 1}\ncallbacks: [{learning_rate_monitor: "
        "{log_momentum: true, log_weight_decay: true}}]";
    struct rig r;
    LT_BUF_AUTO text = {0};
    char *save = NULL;

    (void)state;
    rig_init(&r, 8, 4, 2);
    rig_fit(&r, tail, NULL);
    rig_metrics(&r, "", &text);
    const char *const *known = lt_plan_metric_names(rig_spec(&r, tail)->plan, r.arena);
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[80];
        bool found = false;

        assert_int_equal(sscanf(line, "%*u %*u %79s", name), 1);
        for (const char *const *k = known; *k; k++)
            found |= lt_str_eq(*k, name);
        if (!found)
            fail_msg("%s is unknown to the check", name);
    }
    rig_done(&r);
}

static void saves_on_exception(void **state)
{
    struct rig r;
    LT_BUF_AUTO list = {0};

    (void)state;
    rig_init(&r, 20, 0, 2);
    r.optimizer = "sgd: {lr: 1.0e39}";
    rig_fit(&r,
            "trainer: {max_epochs: 3}\ncallbacks: [{model_checkpoint: {save_on_exception: true, "
            "filename: 'x-{step}'}}]",
            NULL);
    assert_int_equal(r.result.class, LT__V1__FAILURE_CLASS__CLASS_NONFINITE);
    rig_list(&r, "checkpoints", &list);
    assert_text(list, "x-step=2");
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recovery_cannot_be_written),
        cmocka_unit_test(what_the_user_asked_for_cannot_be_written),
        cmocka_unit_test(a_label_out_of_range),
        cmocka_unit_test(the_time_is_over),
        cmocka_unit_test(names_agree_with_the_check_of_plans),
        cmocka_unit_test(saves_on_exception),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
