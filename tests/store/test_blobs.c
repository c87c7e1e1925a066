/* test_blobs.c - a blob is there whole or not at all */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "daemon/store/blobs.h"
#include "sys/file.h"
#include "tests/support/fault.h"
#include "tests/support/tmp.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* FIPS 180-2, B.1 */

static const char *expected;

static int put(const char *dir, const char *text, uint64_t max, char hash[65])
{
    struct lt_blob_writer *w = NULL;
    uint64_t size;
    int rc = lt_blob_writer_open(dir, max, &w, NULL);

    if (rc < 0)
        return rc;
    rc = lt_blob_writer_add(w, text, strlen(text), NULL);
    if (rc < 0) {
        lt_blob_writer_close(w);
        return rc;
    }
    return lt_blob_writer_finish(w, expected, hash, &size, NULL);
}

static void content_names_it(void **state)
{
    const char *dir = lt_test_dir();
    char hash[65];
    uint64_t size = 0;

    (void)state;
    assert_int_equal(lt_blobs_open(dir, NULL), 0);
    assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), -ENOENT);
    assert_int_equal(put(dir, "abc", 100, hash), 0);
    assert_string_equal(hash, ABC);
    assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), 0);
    assert_int_equal(size, 3);
    assert_int_equal(put(dir, "abc", 100, hash), 0); /* again: no harm */
    assert_int_equal(put(dir, "abcd", 3, hash), -EFBIG);
    assert_null(lt_blob_path(dir, "../../../../etc/passwd"));
    assert_int_equal(lt_blob_stat(dir, "xyz", &size, NULL), -EINVAL);
}

static void half_an_upload_is_nothing(void **state)
{
    const char *dir = lt_test_dir();
    struct lt_blob_writer *w = NULL;

    (void)state;
    assert_int_equal(lt_blobs_open(dir, NULL), 0);
    assert_int_equal(lt_blob_writer_open(dir, 100, &w, NULL), 0);
    assert_int_equal(lt_blob_writer_add(w, "ab", 2, NULL), 0);
    assert_true(lt_file_exists(lt_test_path(dir, "blobs/tmp")));
    assert_int_equal(lt_blobs_open(dir, NULL), 0); /* as after a crash */
    lt_blob_writer_close(w);
}

static void what_arrives_damaged_is_not_kept(void **state)
{
    const char *dir = lt_test_dir();
    char hash[65];
    uint64_t size;

    (void)state;
    assert_int_equal(lt_blobs_open(dir, NULL), 0);
    expected = ABC;
    assert_int_equal(put(dir, "abd", 100, hash), -EBADMSG);
    assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), -ENOENT);
    assert_int_equal(put(dir, "abc", 100, hash), 0);
    expected = NULL;
    assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), 0);
}

static void each_sees_their_own(void **state)
{
    const char *dir = lt_test_dir();
    char hash[65];
    uint64_t size;

    (void)state;
    assert_int_equal(lt_blobs_open(dir, NULL), 0);
    assert_int_equal(lt_blob_stat_owned(dir, ABC, 0, &size, NULL), -ENOENT);
    assert_int_equal(put(dir, "abc", 100, hash), 0);
    assert_int_equal(lt_blob_stat_owned(dir, ABC, 1000, &size, NULL), -ENOENT);
    assert_int_equal(lt_blob_own(dir, ABC, 1000, NULL), 0);
    assert_int_equal(lt_blob_own(dir, ABC, 1000, NULL), 0);
    assert_int_equal(lt_blob_own(dir, "../x", 1000, NULL), -EINVAL);
    assert_int_equal(lt_blob_stat_owned(dir, ABC, 1000, &size, NULL), 0);
    assert_int_equal(lt_blob_stat_owned(dir, ABC, 100, &size, NULL), -ENOENT);
    assert_int_equal(lt_blob_stat_owned(dir, ABC, 0, &size, NULL), 0);
}

struct seen {
    char hash[65];
    int64_t age_s;
    unsigned n;
    bool keep;
};

static bool look(void *arg, const char *hash, int64_t age_s)
{
    struct seen *s = arg;

    strcpy(s->hash, hash);
    s->age_s = age_s;
    s->n++;
    return s->keep;
}

static void a_sweep_takes_what_is_not_kept(void **state)
{
    const char *dir = lt_test_dir();
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct seen s = {.keep = true};
    char hash[65], *path = lt_blob_path(dir, ABC);
    char owner[256];
    uint64_t size;

    (void)state;
    assert_int_equal(lt_blobs_open(dir, NULL), 0);
    assert_int_equal(put(dir, "abc", 100, hash), 0);
    assert_int_equal(lt_blob_own(dir, ABC, 1000, NULL), 0);
    snprintf(owner, sizeof owner, "%s.1000", path);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(lt_blobs_sweep(dir, look, &s, NULL), 0);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.hash, ABC);
    assert_true(s.age_s > 1000000);
    lt_blob_touch(dir, ABC);
    assert_int_equal(lt_blobs_sweep(dir, look, &s, NULL), 0);
    assert_true(s.age_s < 100);
    assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), 0);
    s.keep = false;
    assert_int_equal(lt_blobs_sweep(dir, look, &s, NULL), 0);
    assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), -ENOENT);
    assert_false(lt_file_exists(owner));
    lt_free(path);
}

static void a_power_cut_leaves_it_whole_or_absent(void **state)
{
    bool acknowledged = false;

    (void)state;
    for (unsigned k = 0; !acknowledged; k++)
        for (uint32_t seed = 0; seed < 4; seed++) {
            const char *dir = lt_test_dir();
            char hash[65];
            char *path, *data;
            uint64_t size;
            size_t n;
            int rc;

            assert_int_equal(lt_blobs_open(dir, NULL), 0);
            lt_fault_track(dir);
            lt_fault_die_at(k);
            rc = put(dir, "abc", 100, hash);
            acknowledged = !lt_fault_fired();
            lt_fault_off();
            lt_fault_power_cut(seed);
            lt_fault_remove();
            if (rc == 0)
                assert_int_equal(lt_blob_stat(dir, ABC, &size, NULL), 0);
            if (lt_blob_stat(dir, ABC, &size, NULL) < 0)
                continue;
            path = lt_blob_path(dir, ABC);
            data = lt_test_read(path, &n);
            lt_free(path);
            assert_int_equal(n, 3);
            assert_memory_equal(data, "abc", 3);
            free(data);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_names_it),
        cmocka_unit_test(half_an_upload_is_nothing),
        cmocka_unit_test(what_arrives_damaged_is_not_kept),
        cmocka_unit_test(each_sees_their_own),
        cmocka_unit_test(a_sweep_takes_what_is_not_kept),
        cmocka_unit_test(a_power_cut_leaves_it_whole_or_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
