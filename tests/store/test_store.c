/* test_store.c - the event log on a real disk: reading, refusing, snapshots, damage */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/store/store.h"
#include "tests/support/tmp.h"

static struct lt_store *open_store(const char *dir)
{
    struct lt_store *s = NULL;
    struct lt_error err = {0};

    if (lt_store_open(dir, NULL, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void append(struct lt_store *s, const char *job, const char *text)
{
    struct lt_store_event e = {
        .seq = lt_store_last_seq(s) + 1, .job = job, .data = text, .len = strlen(text)};

    assert_int_equal(lt_store_append(s, &e, 1, NULL), 0);
}

static int join(void *arg, const struct lt_store_event *e)
{
    lt_buf_printf(arg, "%llu %s %.*s\n", (unsigned long long)e->seq, e->job, (int)e->len,
                  (const char *)e->data);
    return 0;
}

static void expect(struct lt_store *s, uint64_t from, const char *job, size_t max, const char *text)
{
    LT_BUF_AUTO got = {0};
    struct lt_error err = {0};

    if (lt_store_read(s, from, job, max, join, &got, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(got.data ? got.data : "", text);
}

static void events_come_back_in_order(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_store *s = open_store(dir);

    (void)state;
    append(s, "a", "one");
    append(s, "b", "two");
    append(s, "a", "three");
    expect(s, 0, NULL, 0, "1 a one\n2 b two\n3 a three\n");
    expect(s, 1, NULL, 1, "2 b two\n");
    expect(s, 0, "a", 0, "1 a one\n3 a three\n");
    expect(s, 3, NULL, 0, "");
    lt_store_close(s);
    s = open_store(dir);
    assert_int_equal(lt_store_last_seq(s), 3);
    append(s, "b", "four");
    expect(s, 2, NULL, 0, "3 a three\n4 b four\n");
    lt_store_close(s);
}

static void a_gap_is_refused(void **state)
{
    struct lt_store *s = open_store(lt_test_dir());
    struct lt_store_event e[2] = {{.seq = 1, .job = "a", .data = "x", .len = 1},
                                  {.seq = 3, .job = "a", .data = "y", .len = 1}};

    (void)state;
    assert_int_equal(lt_store_append(s, e, 2, NULL), -ESTALE);
    assert_int_equal(lt_store_last_seq(s), 0);
    assert_int_equal(lt_store_append(s, e, 1, NULL), 0);
    lt_store_close(s);
}

static void a_second_process_is_refused(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_store *s = open_store(dir);
    int status;
    pid_t pid;

    (void)state;
    append(s, "a", "one");
    pid = fork();
    if (pid == 0) {
        struct lt_store *other = NULL;

        _exit(lt_store_open(dir, NULL, &other, NULL) == -EWOULDBLOCK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    lt_store_close(s);
}

static void snapshots_have_a_spare(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_store *s = open_store(dir);
    LT_BUF_AUTO got = {0};
    uint64_t seq = 0;

    (void)state;
    assert_int_equal(lt_store_snapshot_load(s, &seq, &got, NULL), -ENOENT);
    for (int i = 1; i <= 3; i++) {
        char text[16];

        append(s, "a", "x");
        snprintf(text, sizeof text, "fold %d", i);
        assert_int_equal(lt_store_snapshot_save(s, (uint64_t)i, text, strlen(text), NULL), 0);
    }
    append(s, "a", "x");
    assert_int_equal(lt_store_since_snapshot(s), 1);
    assert_int_equal(lt_store_snapshot_save(s, 9, "f", 1, NULL), -EINVAL);
    lt_store_close(s);

    sqlite3 *db;
    assert_int_equal(sqlite3_open(lt_test_path(dir, "events.db"), &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE snapshots SET data = x'00' WHERE seq = 3", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    s = open_store(dir);
    assert_int_equal(lt_store_snapshot_load(s, &seq, &got, NULL), 0);
    assert_int_equal(seq, 2);
    assert_string_equal(got.data, "fold 2");
    lt_store_close(s);
}

/* A read of the whole log must name what is wrong. */
static void expect_damage(const char *dir, const char *words)
{
    struct lt_store *s = NULL;
    struct lt_error err = {0};
    LT_BUF_AUTO got = {0};
    int rc = lt_store_open(dir, NULL, &s, &err);

    if (rc == 0)
        rc = lt_store_read(s, 0, NULL, 0, join, &got, &err);
    assert_int_equal(rc, -EBADMSG);
    if (!strstr(err.text, words) || !strstr(err.text, dir))
        fail_msg("'%s' doesn't say '%s'", err.text, words);
    lt_store_close(s);
}

static void change(const char *dir, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(lt_test_path(dir, "events.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void damaged_rows_are_named(void **state)
{
    static const struct {
        const char *sql, *words;
    } cases[] = {
        {"UPDATE events SET payload = x'616263' WHERE seq = 3", "row seq=3"},
        {"UPDATE events SET crc = crc + 1 WHERE seq = 2", "row seq=2"},
        {"UPDATE events SET job = 'b' WHERE seq = 4", "row seq=4"},
        {"DELETE FROM events WHERE seq = 3", "row seq=3 is missing"},
        {"DELETE FROM events WHERE seq = 1", "row seq=1 is missing"},
        {"UPDATE events SET seq = 100 WHERE seq = 2; UPDATE events SET seq = 2 WHERE seq = 3;"
         "UPDATE events SET seq = 3 WHERE seq = 100", "row seq=2"},
        {"DELETE FROM events WHERE seq >= 4", "ends at event 3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *dir = lt_test_dir();
        struct lt_store *s = open_store(dir);

        for (int k = 0; k < 5; k++)
            append(s, "a", "some text");
        assert_int_equal(lt_store_snapshot_save(s, 5, "fold", 4, NULL), 0);
        lt_store_close(s);
        change(dir, cases[i].sql);
        expect_damage(dir, cases[i].words);
    }
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    int c;

    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    fputc(c ^ 0x10, f);
    fclose(f);
}

static void copy(const char *from_dir, const char *to_dir, const char *name)
{
    size_t n;
    char *data = lt_test_read(lt_test_path(from_dir, name), &n);

    assert_non_null(data);
    lt_test_write(lt_test_path(to_dir, name), data, n);
    free(data);
}

/* Any bit of the file: found when opened or read, or it was in unused space and nothing is
 * different. */
static void no_flipped_bit_goes_unnoticed(void **state)
{
    const char *dir = lt_test_dir(), *other = lt_test_dir();
    struct lt_store *s = open_store(dir);
    LT_BUF_AUTO want = {0};
    struct stat st;
    int noticed = 0;

    (void)state;
    for (int k = 0; k < 30; k++)
        append(s, k % 2 ? "a" : "b", "forty bytes of text, or a little less");
    assert_int_equal(lt_store_read(s, 0, NULL, 0, join, &want, NULL), 0);
    lt_store_close(s);
    assert_int_equal(stat(lt_test_path(dir, "events.db"), &st), 0);
    for (long at = 0; at < st.st_size; at += 97) {
        struct lt_error err = {0};
        LT_BUF_AUTO got = {0};
        struct lt_store *t = NULL;
        int rc;

        copy(dir, other, "events.db");
        flip(lt_test_path(other, "events.db"), at);
        rc = lt_store_open(other, NULL, &t, &err);
        if (rc == 0)
            rc = lt_store_read(t, 0, NULL, 0, join, &got, &err);
        noticed += rc < 0;
        if (rc == 0)
            assert_string_equal(got.data, want.data);
        else
            assert_true(err.text[0] != '\0');
        lt_store_close(t);
        unlink(lt_test_path(other, "events.db"));
        unlink(lt_test_path(other, "events.db-wal"));
    }
    assert_true(noticed > 10);
}

/* After a kill the newest events are in the WAL alone. SQLite would silently drop everything behind
 * a bad frame. */
static void a_flipped_bit_in_the_wal_is_named(void **state)
{
    const char *dir = lt_test_dir(), *other;
    struct lt_store *s = open_store(dir);
    struct lt_error err = {0};
    struct stat st;
    long frame = 24 + 4096, first;

    (void)state;
    for (int k = 0; k < 10; k++)
        append(s, "a", "some text");
    assert_int_equal(stat(lt_test_path(dir, "events.db-wal"), &st), 0);
    first = 32 + frame * ((st.st_size - 32) / frame - 6);
    for (int part = 0; part < 2; part++) { /* the page; the checksum */
        struct lt_store *t = NULL;

        other = lt_test_dir();
        copy(dir, other, "events.db");
        copy(dir, other, "events.db-wal");
        flip(lt_test_path(other, "events.db-wal"), first + (part ? 18 : 2000));
        assert_int_equal(lt_store_open(other, NULL, &t, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "events.db-wal"));
    }
    other = lt_test_dir();
    copy(dir, other, "events.db");
    copy(dir, other, "events.db-wal");
    assert_int_equal(truncate(lt_test_path(other, "events.db-wal"), st.st_size - 100),
                     0); /* torn: no damage */
    lt_store_close(open_store(other));
    lt_store_close(s);
}

static void a_newer_version_is_refused(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_store *s = open_store(dir);
    struct lt_error err = {0};

    (void)state;
    lt_store_close(s);
    s = NULL;
    change(dir, "UPDATE meta SET value = 2 WHERE key = 'version'");
    assert_int_equal(lt_store_open(dir, NULL, &s, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "version is 2"));
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk has room for events, not for the fold: the log goes on, and the next snapshot is tried
 * when it is due again. */
static void a_snapshot_that_does_not_fit(void **state)
{
    const char *dir = lt_test_dir();
    size_t large = 4u << 20;
    char *data = lt_calloc(large, 1);
    struct lt_store *s = open_store(dir);

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    append(s, "a", "one");
    limit_files(1u << 20);
    assert_true(lt_store_snapshot_save(s, 1, data, large, NULL) < 0);
    append(s, "a", "two");
    assert_int_equal(lt_store_since_snapshot(s), 1);
    limit_files(RLIM_INFINITY);
    assert_int_equal(lt_store_snapshot_save(s, 2, data, large, NULL), 0);
    append(s, "a", "three");
    assert_int_equal(lt_store_since_snapshot(s), 1);
    lt_store_close(s);
    s = open_store(dir);
    expect(s, 0, NULL, 0, "1 a one\n2 a two\n3 a three\n");
    assert_int_equal(lt_store_since_snapshot(s), 1);
    lt_store_close(s);
    lt_free(data);
}

/* Once no snapshot needs them; the chain still holds, and blank events keep the numbers. */
static void a_removed_jobs_events_go(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_store *s = open_store(dir);

    (void)state;
    append(s, "a", "secret");
    append(s, "b", "two");
    append(s, "a", "removed");
    assert_int_equal(lt_store_forget(s, "a", NULL), 0);
    expect(s, 0, "a", 0, "1 a secret\n3 a removed\n");
    append(s, "b", "four");
    for (uint64_t i = 3; i < 5; i++)
        assert_int_equal(lt_store_snapshot_save(s, i, "fold", 4, NULL), 0);
    expect(s, 0, "a", 0, "");
    expect(s, 0, NULL, 0, "1 a \b\x01\n2 b two\n3 a \b\x03\n4 b four\n");
    lt_store_close(s);
    s = open_store(dir);
    expect(s, 1, NULL, 0, "2 b two\n3 a \b\x03\n4 b four\n");
    lt_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_back_in_order),
        cmocka_unit_test(a_gap_is_refused),
        cmocka_unit_test(a_second_process_is_refused),
        cmocka_unit_test(snapshots_have_a_spare),
        cmocka_unit_test(a_snapshot_that_does_not_fit),
        cmocka_unit_test(damaged_rows_are_named),
        cmocka_unit_test(no_flipped_bit_goes_unnoticed),
        cmocka_unit_test(a_flipped_bit_in_the_wal_is_named),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_removed_jobs_events_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
