/* test_metrics.c - values come back exactly, once, and as the last attempt saw them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <math.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "daemon/store/metrics.h"
#include "tests/support/tmp.h"

static struct lt_metrics *open_metrics(const char *dir, bool want_renewed)
{
    struct lt_metrics *m = NULL;
    struct lt_error err = {0};
    bool renewed;

    if (lt_metrics_open(dir, &m, &renewed, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(renewed, want_renewed);
    return m;
}

static void append(struct lt_metrics *m, const char *job, uint32_t attempt, uint64_t offset,
                   uint64_t step, const char *name, double value)
{
    Lt__V1__MetricValue v = LT__V1__METRIC_VALUE__INIT, *list[] = {&v};
    Lt__V1__MetricValues values = LT__V1__METRIC_VALUES__INIT;

    v.name = (char *)name;
    v.has_value = 1;
    v.value = value;
    values.has_step = 1;
    values.step = step;
    values.values = list;
    values.n_values = 1;
    assert_int_equal(lt_metrics_append(m, job, attempt, 0, offset, &values, NULL), 0);
}

static int join(void *arg, const struct lt_metric_point *p)
{
    char text[40];

    lt_print_hex_double(text, sizeof text, p->value);
    lt_buf_printf(arg, "%u %llu %s %s\n", p->attempt, (unsigned long long)p->step, p->name, text);
    return 0;
}

static void expect(struct lt_metrics *m, const char *job, uint64_t since, bool rewound, size_t max,
                   const char *text)
{
    LT_BUF_AUTO got = {0};

    assert_int_equal(lt_metrics_read(m, job, since, rewound, max, join, &got, NULL), 0);
    assert_string_equal(got.data ? got.data : "", text);
}

static void values_are_exact(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_metrics *m = open_metrics(dir, false);

    (void)state;
    append(m, "j", 1, 10, 0, "loss", NAN);
    append(m, "j", 1, 20, 1, "loss", -INFINITY);
    append(m, "j", 1, 30, 2, "loss", 0.5);
    append(m, "other", 1, 30, 2, "loss", 1.0);
    assert_int_equal(lt_metrics_flush(m, NULL), 0);
    lt_metrics_close(m);
    m = open_metrics(dir, false);
    expect(m, "j", 0, true, 0, "1 0 loss nan\n1 1 loss -inf\n1 2 loss 0x1p-1\n");
    expect(m, "j", 1, true, 1, "1 1 loss -inf\n");
    expect(m, "nobody", 0, true, 0, "");
    lt_metrics_close(m);
}

static void a_record_counts_once(void **state)
{
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);

    (void)state;
    append(m, "j", 1, 10, 0, "loss", 1);
    append(m, "j", 1, 10, 0, "loss", 1);
    append(m, "j", 1, 5, 0, "loss", 1);
    append(m, "j", 2, 10, 0, "loss", 2); /* another attempt has a journal of its own */
    expect(m, "j", 0, false, 0, "1 0 loss 0x1p+0\n2 0 loss 0x1p+1\n");
    assert_int_equal(lt_metrics_offset(m, "j", 1, 0), 10);
    assert_int_equal(lt_metrics_offset(m, "j", 3, 0), 0);
    lt_metrics_close(m);
}

static void later_attempts_supersede(void **state)
{
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);

    (void)state;
    for (uint64_t step = 0; step < 4; step++)
        append(m, "j", 1, 10 + step, step, "loss", 1);
    for (uint64_t step = 2; step < 5; step++)
        append(m, "j", 2, 10 + step, step, "loss", 2);
    append(m, "j", 3, 10, 4, "loss", 4);
    expect(m, "j", 0, true, 0,
           "1 0 loss 0x1p+0\n1 1 loss 0x1p+0\n2 2 loss 0x1p+1\n2 3 loss 0x1p+1\n3 4 loss 0x1p+2\n");
    lt_metrics_close(m);
}

static void the_latest_of_each_name(void **state)
{
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);
    LT_BUF_AUTO got = {0};

    (void)state;
    append(m, "j", 1, 1, 0, "val_loss", 1);
    append(m, "j", 1, 2, 0, "acc", 1);
    append(m, "j", 1, 3, 9, "val_loss", 2);
    assert_int_equal(lt_metrics_latest(m, "j", join, &got, NULL), 0);
    assert_string_equal(got.data, "1 0 acc 0x1p+0\n1 9 val_loss 0x1p+1\n");
    assert_int_equal(lt_metrics_forget(m, "j", NULL), 0);
    expect(m, "j", 0, false, 0, "");
    lt_metrics_close(m);
}

static void a_damaged_file_is_put_aside(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_metrics *m;
    char *old;

    (void)state;
    lt_test_write(lt_test_path(dir, "metrics.db"),
                  "this is no database, but it is long enough to be looked at........", 66);
    m = open_metrics(dir, true);
    append(m, "j", 1, 1, 0, "loss", 1);
    expect(m, "j", 0, false, 0, "1 0 loss 0x1p+0\n");
    lt_metrics_close(m);
    old = lt_test_read(lt_test_path(dir, "metrics.db.damaged"), NULL);
    assert_non_null(old);
    free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_exact),
        cmocka_unit_test(a_record_counts_once),
        cmocka_unit_test(later_attempts_supersede),
        cmocka_unit_test(the_latest_of_each_name),
        cmocka_unit_test(a_damaged_file_is_put_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
