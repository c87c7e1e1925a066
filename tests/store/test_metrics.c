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
#include <sqlite3.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
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

static uint64_t offset(struct lt_metrics *m, const char *job, uint32_t attempt)
{
    uint64_t v = 77;

    assert_int_equal(lt_metrics_offset(m, job, attempt, 0, &v, NULL), 0);
    return v;
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

    assert_int_equal(lt_metrics_read(m, job, since ? 1 : 0, since, rewound, max, join, &got, NULL), 0);
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
    Lt__V1__MetricValues empty = LT__V1__METRIC_VALUES__INIT;
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);

    (void)state;
    append(m, "j", 1, 10, 0, "loss", 1);
    append(m, "j", 1, 10, 0, "loss", 1);
    append(m, "j", 1, 5, 0, "loss", 1);
    assert_int_equal(lt_metrics_append(m, "j", 3, 0, 7, &empty, NULL), 0); /* of no values */
    assert_int_equal(lt_metrics_append(m, "new", 1, 0, 7, &empty, NULL), 0);
    assert_int_equal(offset(m, "new", 1), 7);
    append(m, "j", 2, 10, 0, "loss", 2); /* another attempt has a journal of its own */
    expect(m, "j", 0, false, 0, "1 0 loss 0x1p+0\n2 0 loss 0x1p+1\n");
    assert_int_equal(offset(m, "j", 1), 10);
    assert_int_equal(offset(m, "j", 4), 0);
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

/* Killed between an update's record and its validation's: the next attempt has only the second. */
static void an_attempt_that_begins_within_a_step(void **state)
{
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);

    (void)state;
    append(m, "j", 1, 1, 9, "train_loss", 1);
    append(m, "j", 1, 2, 9, "val_loss", 2);
    append(m, "j", 1, 3, 10, "train_loss", 3);
    append(m, "j", 2, 1, 9, "val_loss", 4);
    expect(m, "j", 0, true, 0, "1 9 train_loss 0x1p+0\n2 9 val_loss 0x1p+2\n");
    append(m, "j", 3, 1, 9, "train_loss", 1);
    append(m, "j", 3, 2, 9, "val_loss", 1);
    expect(m, "j", 0, true, 0, "3 9 train_loss 0x1p+0\n3 9 val_loss 0x1p+0\n");
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

static void sql(const char *dir, const char *text)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(lt_test_path(dir, "metrics.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int read_all(struct lt_metrics *m, struct lt_error *err)
{
    LT_BUF_AUTO got = {0};

    return lt_metrics_read(m, "j", 0, 0, true, 0, join, &got, err);
}

/* Whatever SQLite itself doesn't see. */
static void damage_is_noticed_when_it_is_read(void **state)
{
    static const char *const changes[] = {
        "UPDATE points SET bits = bits + 1 WHERE row = 2 AND attempt = 1",
        "UPDATE points SET step = 9 WHERE row = 2 AND attempt = 1",
        "UPDATE points SET name = 2 WHERE row = 2 AND attempt = 1",
        "UPDATE names SET name = 'lost' WHERE name = 'loss'",
        "DELETE FROM names WHERE name = 'acc'",
        "DELETE FROM points WHERE row = 1 AND attempt = 1",
        "DELETE FROM points WHERE row = 2 AND attempt = 1",
        "DELETE FROM points WHERE row = 3 AND attempt = 1",
        "DELETE FROM points WHERE attempt = 1",
        "DELETE FROM points WHERE attempt = 2",
        "UPDATE attempts SET first_step = 0 WHERE attempt = 2",
        "UPDATE attempts SET rows = 2 WHERE attempt = 1",
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(changes); i++) {
        const char *dir = lt_test_dir();
        struct lt_metrics *m = open_metrics(dir, false);
        struct lt_error err = {0};
        bool renewed;

        append(m, "j", 1, 1, 0, "loss", 1);
        append(m, "j", 1, 2, 1, "loss", 2);
        append(m, "j", 1, 3, 1, "acc", 2);
        append(m, "j", 2, 3, 1, "loss", 2);
        assert_int_equal(read_all(m, &err), 0);
        lt_metrics_close(m);
        sql(dir, changes[i]);
        m = open_metrics(dir, false);
        if (read_all(m, &err) != -EBADMSG)
            fail_msg("%s: %s", changes[i], err.text);
        assert_non_null(lt_metrics_broken(m));
        assert_int_equal(read_all(m, &err), -EBADMSG); /* and goes on being so */
        assert_int_equal(lt_metrics_flush(m, &err), -EBADMSG);
        assert_int_equal(lt_metrics_mend(m, &renewed, &err), 0);
        assert_true(renewed);
        expect(m, "j", 0, false, 0, "");
        lt_metrics_close(m);
    }
}

static void a_damaged_offset_is_noticed(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_metrics *m = open_metrics(dir, false);
    uint64_t v;

    (void)state;
    append(m, "j", 1, 10, 0, "loss", 1);
    lt_metrics_close(m);
    sql(dir, "UPDATE offsets SET end_offset = 20");
    m = open_metrics(dir, false);
    assert_int_equal(lt_metrics_offset(m, "j", 1, 0, &v, NULL), -EBADMSG);
    lt_metrics_close(m);
}

/* Rows depend on the journals alone, so a reader's place stays valid. */
static void attempts_may_come_in_any_order(void **state)
{
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);
    LT_BUF_AUTO got = {0};

    (void)state;
    append(m, "j", 2, 10, 2, "loss", 3);
    append(m, "j", 1, 10, 0, "loss", 1);
    append(m, "j", 2, 20, 3, "loss", 4);
    append(m, "j", 1, 20, 1, "loss", 2);
    expect(m, "j", 0, true, 0,
           "1 0 loss 0x1p+0\n1 1 loss 0x1p+1\n2 2 loss 0x1.8p+1\n2 3 loss 0x1p+2\n");
    expect(m, "j", 1, true, 0, "1 1 loss 0x1p+1\n2 2 loss 0x1.8p+1\n2 3 loss 0x1p+2\n");
    assert_int_equal(lt_metrics_latest(m, "j", join, &got, NULL), 0);
    assert_string_equal(got.data, "2 3 loss 0x1p+2\n");
    lt_metrics_close(m);
}

static uint32_t whole(struct lt_metrics *m)
{
    uint32_t attempts = 77;

    assert_int_equal(lt_metrics_whole(m, "j", &attempts, NULL), 0);
    return attempts;
}

static void whole_attempts_are_counted_without_holes(void **state)
{
    struct lt_metrics *m = open_metrics(lt_test_dir(), false);

    (void)state;
    assert_int_equal(whole(m), 0);
    lt_metrics_set_whole(m, "j", 2, NULL); /* the first one isn't */
    assert_int_equal(whole(m), 0);
    lt_metrics_set_whole(m, "j", 1, NULL);
    lt_metrics_set_whole(m, "j", 1, NULL);
    assert_int_equal(whole(m), 1);
    lt_metrics_set_whole(m, "j", 2, NULL);
    assert_int_equal(whole(m), 2);
    assert_int_equal(lt_metrics_forget(m, "j", NULL), 0);
    assert_int_equal(whole(m), 0);
    lt_metrics_close(m);
}

static void the_first_layout_is_taken_over(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_metrics *m;

    (void)state;
    sql(dir,
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY, job TEXT NOT NULL UNIQUE);"
        "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
        "CREATE TABLE points (row INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL,"
        " attempt INTEGER NOT NULL, step INTEGER NOT NULL, epoch INTEGER NOT NULL,"
        " name INTEGER NOT NULL, bits INTEGER NOT NULL);"
        "CREATE INDEX points_of_job ON points (job, row);"
        "CREATE INDEX points_by_name ON points (job, name, row);"
        "CREATE TABLE offsets (job INTEGER, attempt INTEGER, rank INTEGER,"
        " end_offset INTEGER NOT NULL, PRIMARY KEY (job, attempt, rank)) WITHOUT ROWID;"
        "INSERT INTO jobs VALUES (1, 'other'), (2, 'j'); INSERT INTO names VALUES (5, 'loss');"
        "INSERT INTO points VALUES (1, 2, 1, 0, 0, 5, 4607182418800017408),"
        " (2, 1, 1, 7, 0, 5, 0), (3, 2, 1, 1, 0, 5, 4611686018427387904),"
        " (4, 2, 2, 1, 0, 5, 4607182418800017408);"
        "INSERT INTO offsets VALUES (2, 1, 0, 20), (2, 2, 0, 10)");
    for (int i = 0; i < 2; i++) {
        m = open_metrics(dir, false);
        expect(m, "j", 0, false, 0, "1 0 loss 0x1p+0\n1 1 loss 0x1p+1\n2 1 loss 0x1p+0\n");
        expect(m, "other", 0, true, 0, "1 7 loss 0x0p+0\n");
        assert_int_equal(offset(m, "j", 1), 20);
        assert_int_equal(whole(m), 0);
        lt_metrics_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_exact),
        cmocka_unit_test(a_record_counts_once),
        cmocka_unit_test(later_attempts_supersede),
        cmocka_unit_test(an_attempt_that_begins_within_a_step),
        cmocka_unit_test(the_latest_of_each_name),
        cmocka_unit_test(a_damaged_file_is_put_aside),
        cmocka_unit_test(damage_is_noticed_when_it_is_read),
        cmocka_unit_test(a_damaged_offset_is_noticed),
        cmocka_unit_test(attempts_may_come_in_any_order),
        cmocka_unit_test(whole_attempts_are_counted_without_holes),
        cmocka_unit_test(the_first_layout_is_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
