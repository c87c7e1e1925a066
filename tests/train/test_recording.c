/* test_recording.c - what a command says of its metrics: lines, CSV written anew, and the journal that another recorder goes on
 * from */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "engine/train/csv_recast.h"
#include "engine/train/metric_lines.h"
#include "engine/train/recording.h"
#include "proto/wire.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "tests/support/tmp.h"

/* ---- lines */

static void note(void *arg, const struct lt_metric_value *v)
{
    lt_buf_printf(arg, "%s=%g", v->name, v->value);
    if (v->has_step)
        lt_buf_printf(arg, "@%llu", (unsigned long long)v->step);
    lt_buf_char(arg, ' ');
}

/* The same whatever pieces it comes in. */
static void expect_lines(const char *text, size_t n, const char *want, uint64_t garbage)
{
    for (size_t piece = 1; piece <= n + 1; piece += piece < 8 ? 1 : n) {
        struct lt_metric_lines m = {0};
        LT_BUF_AUTO got = {0};

        lt_buf_str(&got, "");
        for (size_t at = 0; at < n; at += piece)
            lt_metric_lines_take(&m, text + at, at + piece < n ? piece : n - at, 1, note, &got);
        lt_metric_lines_end(&m, note, &got);
        assert_string_equal(got.data, want);
        assert_int_equal(m.garbage, garbage);
    }
}

static void lines(void **state)
{
    static const struct {
        const char *text, *want;
        uint64_t garbage;
    } rows[] = {
        {"", "", 0},
        {"LTD_METRIC loss 0.5\n", "loss=0.5 ", 0},
        {"LTD_METRIC loss 0.5 7\nLTD_METRIC a/b.c-d:e@f_1 -1e-3 0", "loss=0.5@7 a/b.c-d:e@f_1=-0.001@0 ", 0},
        {"LTD_METRIC\tx  nan \r\n\n\n LTD_METRIC y inf\n", "x=nan y=inf ", 0},
        {"LTD_METRIC x\nLTD_METRIC x y\nLTD_METRIC x 1 2 3\nLTD_METRIC x 1 -2\nLTD_METRIC x 1 2.5\n", "", 5},
        {"LTD_METRICS x 1\nltd_metric x 1\nLTD_METRIC 1x 1\nLTD_METRIC x,y 1\nLTD_METRIC step 1\n", "", 5},
        {"LTD_METRIC x 1 18446744073709551616\nLTD_METRIC x 1 18446744073709551615\n", "x=1@18446744073709551615 ", 1},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++)
        expect_lines(rows[i].text, strlen(rows[i].text), rows[i].want, rows[i].garbage);
    expect_lines("LTD_METRIC x 1\0\nLTD_METRIC y 2\n", 31, "y=2 ", 1);
}

static void lines_too_long(void **state)
{
    char text[3 * LT_METRIC_LINE_MAX];
    size_t n = LT_METRIC_LINE_MAX + 1;

    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "LTD_METRIC x 1", 14);
    text[n - 1] = '\n';
    expect_lines(text, n, "x=1 ", 0); /* the longest */
    text[n - 1] = ' ';
    memcpy(text + n, "\nLTD_METRIC y 2\n", 16);
    expect_lines(text, n + 16, "y=2 ", 1);
    expect_lines(text, n, "", 1); /* without an end */
    memset(text, 'x', sizeof text);
    expect_lines(text, sizeof text, "", 1);
}

static void count(void *arg, const struct lt_metric_value *v)
{
    (void)v;
    ++*(uint64_t *)arg;
}

static void rate(void **state)
{
    static const char line[] = "LTD_METRIC x 1\n";
    struct lt_metric_lines m = {0};
    uint64_t n = 0, now = 1000000000;

    (void)state;
    for (int i = 0; i < LT_METRIC_BURST + 10; i++)
        lt_metric_lines_take(&m, line, sizeof line - 1, now, count, &n);
    assert_int_equal(n, LT_METRIC_BURST);
    assert_int_equal(m.dropped, 10);
    now += 10000000; /* 10 ms later: a hundredth of a second's worth */
    for (int i = 0; i < LT_METRIC_RATE; i++)
        lt_metric_lines_take(&m, line, sizeof line - 1, now, count, &n);
    assert_int_equal(n, LT_METRIC_BURST + LT_METRIC_RATE / 100);
    lt_metric_lines_take(&m, line, sizeof line - 1, now - 5000000, count, &n); /* never back */
    assert_int_equal(n, LT_METRIC_BURST + LT_METRIC_RATE / 100);
}

/* ---- metrics.csv */

static void expect_recast(const char *path, const char *const *columns, size_t n, uint64_t from,
                          const char *want)
{
    LT_BUF_AUTO text = {0};
    uint64_t bytes = 0;

    assert_int_equal(lt_csv_recast(path, columns, n, from, &bytes, NULL), 0);
    assert_int_equal(lt_file_read(path, 1 << 20, &text, NULL), 0);
    assert_string_equal(text.data, want);
    assert_int_equal(bytes, text.len);
}

static void csv(void **state)
{
    const char *dir = lt_test_dir();
    LT_AUTO(lt_free) char *path = lt_format("%s/metrics.csv", dir);
    static const char *const two[] = {"a", "loss"}, *const three[] = {"a", "loss", "z"};
    static const char torn[] = "epoch,loss,step\n0,1.5,0\n0,,1\n1,2.5,2\n1,3.5,1";
    char *names[4];
    size_t n = 9;

    (void)state;
    assert_int_equal(lt_csv_columns(path, names, 4, &n, NULL), 0);
    assert_int_equal(n, 0);
    expect_recast(path, two, 2, UINT64_MAX, "a,epoch,loss,step\n");
    assert_int_equal(lt_file_put(path, torn, sizeof torn - 1, 0644, NULL), 0);
    assert_int_equal(lt_csv_columns(path, names, 4, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(names[0], "loss");
    lt_free(names[0]);
    expect_recast(path, two, 2, UINT64_MAX, "a,epoch,loss,step\n,0,1.5,0\n,0,,1\n,1,2.5,2\n"); /* the torn row goes */
    expect_recast(path, three, 3, 2, "a,epoch,loss,step,z\n,0,1.5,0,\n,0,,1,\n");
    expect_recast(path, two, 2, 0, "a,epoch,loss,step\n");
}

/* ---- the journal */

struct world {
    const char *dir;
    char *journal;
    Lt__V1__StartRank start;
    Lt__V1__JobSpec spec;
    Lt__V1__Command command;
    Lt__V1__EarlyStopping stopping;
};

static void begin(struct world *w, bool stopping)
{
    w->dir = lt_test_dir();
    w->journal = lt_format("%s/journal", w->dir);
    lt__v1__start_rank__init(&w->start);
    lt__v1__job_spec__init(&w->spec);
    lt__v1__command__init(&w->command);
    lt__v1__early_stopping__init(&w->stopping);
    w->start.run_dir = (char *)w->dir;
    w->start.attempt = 1;
    w->start.spec = &w->spec;
    w->spec.kind_case = LT__V1__JOB_SPEC__KIND_COMMAND;
    w->spec.command = &w->command;
    w->stopping.monitor = (char *)"loss";
    w->stopping.patience = 3;
    w->command.early_stopping = stopping ? &w->stopping : NULL;
}

static void end(struct world *w)
{
    lt_free(w->journal);
}

static struct lt_recording *open_recording(struct world *w)
{
    const struct lt_recording_config c = {.start = &w->start, .journal_path = w->journal};
    struct lt_recording *r;

    assert_int_equal(lt_recording_open(&c, &r, NULL), 0);
    return r;
}

static void add(struct lt_recording *r, const char *name, double value, int step)
{
    const struct lt_metric_value v = {.name = name, .value = value, .has_step = step >= 0, .step = (uint64_t)step};

    lt_recording_add(r, &v);
}

static void show(const Lt__V1__JournalRecord *j, struct lt_buf *out)
{
    if (j->type_case == LT__V1__JOURNAL_RECORD__TYPE_STARTED)
        lt_buf_printf(out, "from %llu; ", (unsigned long long)j->started->step);
    if (j->type_case == LT__V1__JOURNAL_RECORD__TYPE_EARLY_STOPPED)
        lt_buf_printf(out, "stop at %llu; ", (unsigned long long)j->early_stopped->step);
    if (j->type_case != LT__V1__JOURNAL_RECORD__TYPE_METRICS)
        return;
    lt_buf_printf(out, "%llu/%llu", (unsigned long long)j->metrics->epoch, (unsigned long long)j->metrics->step);
    for (size_t i = 0; i < j->metrics->n_values; i++)
        lt_buf_printf(out, " %s=%g", j->metrics->values[i]->name, j->metrics->values[i]->value);
    lt_buf_str(out, "; ");
}

static void expect_journal(const struct world *w, const char *want)
{
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *reader = NULL;
    LT_BUF_AUTO text = {0};
    const void *payload;
    uint64_t at;
    size_t n;

    assert_int_equal(lt_journal_reader_open(w->journal, 0, &reader, NULL), 0);
    while (lt_journal_read(reader, &payload, &n, &at, NULL) > 0) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
        ProtobufCMessage *m;

        assert_int_equal(lt_wire_decode(&lt__v1__journal_record__descriptor, payload, n, arena, &m, NULL), 0);
        show((const Lt__V1__JournalRecord *)m, &text);
    }
    assert_string_equal(text.data ? text.data : "", want);
}

static void expect_csv(const struct world *w, const char *want)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/metrics.csv", w->dir);
    LT_BUF_AUTO text = {0};

    assert_int_equal(lt_file_read(path, 1 << 20, &text, NULL), 0);
    assert_string_equal(text.data, want);
}

static void records(void **state)
{
    struct world w;
    struct lt_recording *r;

    (void)state;
    begin(&w, false);
    r = open_recording(&w);
    add(r, "loss", 4, 3);
    add(r, "acc", 1, 3);
    assert_true(lt_recording_pending(r));
    add(r, "loss", 2, 4); /* another step */
    add(r, "loss", 1, 4); /* the name again */
    add(r, "epoch", 2, -1);
    add(r, "acc", 5, -1); /* the second acc */
    lt_recording_finish(r);
    assert_false(lt_recording_pending(r));
    lt_recording_close(r);
    expect_journal(&w, "from 3; 0/3 loss=4 acc=1; 0/4 loss=2; 0/4 loss=1; 2/1 acc=5; ");
    expect_csv(&w, "acc,epoch,loss,step\n1.0,0,4.0,3\n,0,2.0,4\n,0,1.0,4\n5.0,2,,1\n");
    end(&w);
}

/* Another recorder of the same attempt knows names, counts and patience; of the next attempt it begins anew, and cuts. */
static void again(void **state)
{
    struct world w;
    struct lt_recording *r;

    (void)state;
    begin(&w, true);
    for (int i = 0; i < 4; i++) { /* killed after each value: nothing was finished */
        r = open_recording(&w);
        add(r, "loss", 1, -1);
        lt_recording_flush(r);
        lt_recording_close(r);
    }
    expect_journal(&w, "from 0; 0/0 loss=1; 0/1 loss=1; 0/2 loss=1; 0/3 loss=1; stop at 3; ");
    expect_csv(&w, "epoch,loss,step\n0,1.0,0\n0,1.0,1\n0,1.0,2\n0,1.0,3\n");
    r = open_recording(&w);
    add(r, "loss", 1, -1); /* it was asked to end, but goes on: not asked twice */
    lt_recording_close((lt_recording_flush(r), r));
    w.start.attempt = 2;
    assert_int_equal(lt_file_unlink(w.journal, NULL), 0);
    r = open_recording(&w);
    add(r, "loss", 9, 2);
    lt_recording_finish(r);
    lt_recording_close(r);
    expect_journal(&w, "from 2; 0/2 loss=9; ");
    expect_csv(&w, "epoch,loss,step\n0,1.0,0\n0,1.0,1\n0,9.0,2\n");
    end(&w);
}

static void too_many_names(void **state)
{
    struct world w;
    struct lt_recording *r;
    char name[16];

    (void)state;
    begin(&w, false);
    r = open_recording(&w);
    for (int i = 0; i < LT_RECORDING_NAMES_MAX + 20; i++) {
        snprintf(name, sizeof name, "m%d", i);
        add(r, name, i, 0);
    }
    lt_recording_finish(r);
    lt_recording_close(r);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines), cmocka_unit_test(lines_too_long), cmocka_unit_test(rate),
        cmocka_unit_test(csv),   cmocka_unit_test(records),        cmocka_unit_test(again),
        cmocka_unit_test(too_many_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
