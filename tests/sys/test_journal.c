/* test_journal.c - what a writer and a tailing reader see after cuts at every byte, bit flips and power cuts */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "sys/journal.h"
#include "tests/support/fault.h"
#include "tests/support/tmp.h"

static const char *const records[] = {"one", "", "a third record", "4"};
#define RECORDS 4

static void write_records(const char *path)
{
    struct lt_journal *j;

    assert_int_equal(lt_journal_open(path, &j, NULL), 0);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(lt_journal_append(j, records[i], strlen(records[i]), NULL), 0);
    assert_int_equal(lt_journal_sync(j, NULL), 0);
    lt_journal_close(j);
}

/* How many of `records` a reader finds; *last is what it ended with (0 or an error). */
static int count_from(const char *path, uint64_t offset, int first, int *last)
{
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *r = NULL;
    const void *p;
    size_t n;
    uint64_t end;
    int count = 0;

    assert_int_equal(lt_journal_reader_open(path, offset, &r, NULL), 0);
    while ((*last = lt_journal_read(r, &p, &n, &end, NULL)) == 1) {
        const char *want = records[(first + count) % RECORDS];

        assert_int_equal(n, strlen(want));
        assert_memory_equal(p, want, n);
        count++;
    }
    return count;
}

static void records_come_back_in_order(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *r = NULL;
    uint64_t at[RECORDS];
    const void *p;
    size_t n;
    int last;

    write_records(path);
    assert_int_equal(count_from(path, 0, 0, &last), RECORDS);
    assert_int_equal(last, 0);
    assert_int_equal(lt_journal_reader_open(path, 0, &r, NULL), 0);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(lt_journal_read(r, &p, &n, &at[i], NULL), 1);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(count_from(path, at[i], i + 1, &last), RECORDS - 1 - i);
}

static void reader_waits_for_file_and_for_more(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *r = NULL;
    const void *p;
    size_t n;
    uint64_t end;

    assert_int_equal(lt_journal_reader_open(path, 0, &r, NULL), 0);
    assert_int_equal(lt_journal_read(r, &p, &n, &end, NULL), 0);
    write_records(path);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(lt_journal_read(r, &p, &n, &end, NULL), 1);
    assert_int_equal(lt_journal_read(r, &p, &n, &end, NULL), 0);
    write_records(path);
    assert_int_equal(lt_journal_read(r, &p, &n, &end, NULL), 1);
    assert_memory_equal(p, "one", 3);
}

/* Cut at every byte: a reader gets the whole records before the cut and waits; a writer goes on from there. */
static void torn_at_every_byte(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    char *whole;
    size_t size;

    write_records(path);
    whole = lt_test_read(path, &size);
    for (size_t cut = 0; cut <= size; cut++) {
        int before, last, after;

        lt_test_write(path, whole, cut);
        before = count_from(path, 0, 0, &last);
        assert_int_equal(last, 0);
        assert_int_equal(before == RECORDS, cut == size);
        write_records(path);
        after = 0;
        LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *r = NULL;
        const void *p;
        size_t n;
        uint64_t end;

        assert_int_equal(lt_journal_reader_open(path, 0, &r, NULL), 0);
        while (lt_journal_read(r, &p, &n, &end, NULL) == 1)
            after++;
        assert_int_equal(after, before + RECORDS);
    }
    free(whole);
}

/* A flipped bit is never taken for a record: an error, or (in the last one) a torn end. */
static void flipped_bits_are_noticed(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    char *whole;
    size_t size;

    write_records(path);
    whole = lt_test_read(path, &size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        struct lt_journal *j = NULL;
        struct lt_error err = {0};
        int found, last;

        whole[bit / 8] = (char)(whole[bit / 8] ^ 1 << bit % 8);
        lt_test_write(path, whole, size);
        found = count_from(path, 0, 0, &last);
        assert_true(found < RECORDS);
        if (bit / 8 < LT_JOURNAL_HEADER) {
            assert_int_equal(last, -EPROTO);
            assert_int_equal(lt_journal_open(path, &j, &err), -EPROTO);
            assert_non_null(strstr(err.text, path));
        } else if (lt_journal_open(path, &j, &err) == 0) {
            lt_journal_close(j);
            assert_int_equal(last, 0);
        } else {
            assert_int_equal(last, -EPROTO);
        }
        whole[bit / 8] = (char)(whole[bit / 8] ^ 1 << bit % 8);
    }
    free(whole);
}

static void zeros_at_the_end_are_a_torn_record(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    struct stat st;
    int last;

    write_records(path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size + 5000), 0);
    assert_int_equal(count_from(path, 0, 0, &last), RECORDS);
    assert_int_equal(last, 0);
    write_records(path);
    assert_int_equal(count_from(path, 0, 0, &last), 2 * RECORDS);
}

static void not_a_journal(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    struct lt_journal *j = NULL;
    int last;

    lt_test_write(path, "#!/bin/sh\n", 10);
    assert_int_equal(lt_journal_open(path, &j, NULL), -EPROTO);
    assert_null(j);
    assert_int_equal(count_from(path, 0, 0, &last), 0);
    assert_int_equal(last, -EPROTO);
}

static void large_records(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *r = NULL;
    struct lt_journal *j;
    char *big = calloc(1, LT_JOURNAL_RECORD_MAX + 1);
    const void *p;
    size_t n;
    uint64_t end;

    big[LT_JOURNAL_RECORD_MAX - 1] = 'x';
    assert_int_equal(lt_journal_open(path, &j, NULL), 0);
    assert_int_equal(lt_journal_append(j, big, LT_JOURNAL_RECORD_MAX + 1, NULL), -EMSGSIZE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lt_journal_append(j, big, LT_JOURNAL_RECORD_MAX, NULL), 0);
        assert_int_equal(lt_journal_append(j, "x", 1, NULL), 0);
    }
    assert_int_equal(lt_journal_reader_open(path, 0, &r, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lt_journal_read(r, &p, &n, &end, NULL), 1);
        assert_int_equal(n, LT_JOURNAL_RECORD_MAX);
        assert_int_equal(lt_journal_read(r, &p, &n, &end, NULL), 1);
        assert_int_equal(n, 1);
    }
    assert_int_equal(end, lt_journal_size(j));
    lt_journal_close(j);
    assert_int_equal(lt_journal_open(path, &j, NULL), 0); /* the writer's own scan takes them, too */
    assert_int_equal(lt_journal_size(j), end);
    lt_journal_close(j);
    free(big);
}

/* After any failing operation the journal goes on, and readers see exactly what was acknowledged. */
static void failed_append_leaves_no_trace(void **state)
{
    (void)state;
    const char *dir = lt_test_dir();

    for (unsigned k = 0;; k++) {
        const char *path = lt_test_path(dir, "j");
        struct lt_journal *j = NULL;
        int rc, last;
        bool fired;

        unlink(path);
        assert_int_equal(lt_journal_open(path, &j, NULL), 0);
        assert_int_equal(lt_journal_append(j, records[0], strlen(records[0]), NULL), 0);
        assert_int_equal(lt_journal_append(j, records[1], strlen(records[1]), NULL), 0);
        lt_fault_fail_at(k, ENOSPC);
        rc = lt_journal_append(j, "a record that may fail, longer than the next", 44, NULL);
        fired = lt_fault_fired();
        lt_fault_off();
        if (!fired) {
            lt_journal_close(j);
            break;
        }
        assert_int_equal(rc, -ENOSPC);
        assert_int_equal(lt_journal_append(j, records[2], strlen(records[2]), NULL), 0);
        lt_journal_close(j);
        assert_int_equal(count_from(path, 0, 0, &last), 3);
        assert_int_equal(last, 0);
    }
    lt_fault_remove();
}

/* Both the append and the clean-up behind it fail. */
static void failed_cleanup_is_made_up_for(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    struct lt_journal *j = NULL;
    int last;

    assert_int_equal(lt_journal_open(path, &j, NULL), 0);
    lt_fault_die_at(0);
    assert_int_equal(lt_journal_append(j, "a record that fails, longer than the next", 41, NULL), -EIO);
    lt_fault_off();
    assert_int_equal(lt_journal_append(j, records[0], strlen(records[0]), NULL), 0);
    lt_fault_remove();
    lt_journal_close(j);
    assert_int_equal(count_from(path, 0, 0, &last), 1);
    assert_int_equal(last, 0);
}

/* Whatever the disk made of it: all that was synced is there, it opens, and nothing made-up comes out. */
static void power_cuts(void **state)
{
    (void)state;
    const char *dir = lt_test_dir(), *path = lt_test_path(dir, "j");

    for (uint32_t seed = 0; seed < 30; seed++)
        for (unsigned k = 0; k < 16; k++) {
            struct lt_journal *j = NULL;
            int synced = 0, last, found;

            unlink(path);
            lt_fault_track(dir);
            lt_fault_die_at(k);
            if (lt_journal_open(path, &j, NULL) == 0) {
                for (int i = 0; i < RECORDS; i++)
                    if (lt_journal_append(j, records[i], strlen(records[i]), NULL) == 0 &&
                        lt_journal_sync(j, NULL) == 0)
                        synced = i + 1;
                lt_journal_close(j);
            }
            lt_fault_off();
            lt_fault_power_cut(seed);
            found = count_from(path, 0, 0, &last);
            assert_true(found >= synced);
            j = NULL;
            assert_int_equal(lt_journal_open(path, &j, NULL), 0);
            lt_journal_close(j);
            assert_int_equal(count_from(path, 0, 0, &last), found);
            assert_int_equal(last, 0);
        }
    lt_fault_remove();
}

static void reader_in_front_of_a_lost_end_says_so(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "j");
    int last;

    write_records(path);
    count_from(path, 100000, 0, &last);
    assert_int_equal(last, -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_in_order),
        cmocka_unit_test(reader_waits_for_file_and_for_more),
        cmocka_unit_test(torn_at_every_byte),
        cmocka_unit_test(flipped_bits_are_noticed),
        cmocka_unit_test(zeros_at_the_end_are_a_torn_record),
        cmocka_unit_test(not_a_journal),
        cmocka_unit_test(large_records),
        cmocka_unit_test(failed_append_leaves_no_trace),
        cmocka_unit_test(failed_cleanup_is_made_up_for),
        cmocka_unit_test(power_cuts),
        cmocka_unit_test(reader_in_front_of_a_lost_end_says_so),
    };

    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
