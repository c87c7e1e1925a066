/* test_file.c - the file seam under failing operations, full disks and power cuts */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "sys/file.h"
#include "tests/support/fault.h"
#include "tests/support/tmp.h"

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void content_is(const char *path, const char *want)
{
    char *got = lt_test_read(path, NULL);

    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

static void replace_fails_whole(void **state)
{
    (void)state;
    const char *dir = lt_test_dir(), *path = lt_test_path(dir, "f");
    unsigned k;

    lt_test_write(path, "old", 3);
    for (k = 0;; k++) {
        struct lt_error err = {0};
        int rc;

        lt_fault_fail_at(k, EIO);
        rc = lt_file_replace(path, "newer", 5, 0600, &err);
        if (!lt_fault_fired()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -EIO);
        assert_non_null(strstr(err.text, dir));
        assert_int_equal(entries(dir), 1); /* no temporary file is left */
        content_is(path, k < 4 ? "old" : "newer"); /* from the rename on only durability is in doubt */
        lt_test_write(path, "old", 3);
    }
    lt_fault_remove();
    assert_int_equal(k, 6); /* open, write, fsync, rename, open and fsync of the folder */
    content_is(path, "newer");
}

static void replace_survives_power_cuts(void **state)
{
    (void)state;
    const char *dir = lt_test_dir(), *path = lt_test_path(dir, "f");

    for (uint32_t seed = 0; seed < 40; seed++)
        for (unsigned k = 0; k < 7; k++) {
            int rc;
            char *got;

            lt_test_write(path, "old", 3);
            lt_fault_track(dir);
            lt_fault_die_at(k);
            rc = lt_file_replace(path, "newer", 5, 0600, NULL);
            lt_fault_off();
            lt_fault_power_cut(seed);
            got = lt_test_read(path, NULL);
            if (rc == 0)
                assert_string_equal(got, "newer");
            else
                assert_true(strcmp(got, "old") == 0 || strcmp(got, "newer") == 0);
            free(got);
        }
    lt_fault_remove();
}

static void the_model_loses_what_was_not_synced(void **state)
{
    (void)state;
    const char *dir = lt_test_dir(), *path = lt_test_path(dir, "f");
    int fd;

    lt_test_write(path, "durable", 7);
    lt_fault_track(dir);
    fd = lt_file_open(path, O_RDWR, 0, NULL);
    assert_int_equal(lt_file_pwrite(fd, " lost", 5, 7, NULL), 0);
    close(fd);
    lt_test_write(lt_test_path(dir, "empty"), "x", 1);
    assert_int_equal(lt_file_mkdirs(lt_test_path(dir, "sub/deep"), 0700, NULL), 0);
    lt_test_write(lt_test_path(dir, "created"), "x", 1);
    assert_int_equal(lt_file_unlink(path, NULL), 0);
    lt_fault_power_cut(0);
    content_is(path, "durable");
    assert_false(lt_file_exists(lt_test_path(dir, "created")));
    content_is(lt_test_path(dir, "empty"), ""); /* its entry was synced with those made later */
    assert_true(lt_file_exists(lt_test_path(dir, "sub/deep"))); /* lt_file_mkdirs() syncs */
    lt_fault_remove();
}

static void full_disk_cuts_a_write_short(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "f");
    int fd = lt_file_open(path, O_RDWR | O_CREAT, 0600, NULL);
    struct lt_error err = {0};

    lt_fault_disk_full(4);
    assert_int_equal(lt_file_write(fd, "123456", 6, &err), -ENOSPC);
    assert_non_null(strstr(err.text, path));
    assert_true(lt_fault_fired());
    lt_fault_remove();
    content_is(path, "1234");
    close(fd);
}

static int interruptions;

static ssize_t slow_pwrite(int fd, const void *buf, size_t n, off_t at)
{
    (void)at;
    if (interruptions++ % 2)
        return -EINTR;
    return write(fd, buf, n > 3 ? 3 : n);
}

static void short_and_interrupted_writes_go_on(void **state)
{
    (void)state;
    const struct lt_file_hooks hooks = {.pwrite = slow_pwrite};
    const char *path = lt_test_path(lt_test_dir(), "f");
    int fd = lt_file_open(path, O_RDWR | O_CREAT, 0600, NULL);

    lt_file_set_hooks(&hooks);
    assert_int_equal(lt_file_write(fd, "0123456789", 10, NULL), 0);
    lt_file_set_hooks(NULL);
    content_is(path, "0123456789");
    close(fd);
}

static void opened_files_do_not_leak_into_children(void **state)
{
    (void)state;
    int fd = lt_file_open(lt_test_path(lt_test_dir(), "f"), O_RDWR | O_CREAT, 0600, NULL);

    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static void read_stops_at_its_limit(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "f");
    LT_BUF_AUTO b = {0};
    struct lt_error err = {0};

    lt_test_write(path, "12345", 5);
    assert_int_equal(lt_file_read(path, 4, &b, &err), -EFBIG);
    assert_int_equal(b.len, 0);
    assert_int_equal(lt_file_read(path, 5, &b, &err), 0);
    assert_int_equal(b.len, 5);
    assert_int_equal(lt_file_read("/dev/zero", 1000, &b, &err), -EFBIG);
    assert_int_equal(lt_file_read(lt_test_path(lt_test_dir(), "none"), 4, &b, &err), -ENOENT);
}

static void mkdirs_makes_parents_and_names_what_is_in_the_way(void **state)
{
    (void)state;
    const char *dir = lt_test_dir();
    struct lt_error err = {0};

    assert_int_equal(lt_file_mkdirs(lt_test_path(dir, "a/b//c/"), 0700, &err), 0);
    assert_int_equal(lt_file_mkdirs(lt_test_path(dir, "a/b/c"), 0700, &err), 0);
    lt_test_write(lt_test_path(dir, "a/file"), "", 0);
    assert_int_equal(lt_file_mkdirs(lt_test_path(dir, "a/file"), 0700, &err), -ENOTDIR);
    assert_int_equal(lt_file_mkdirs(lt_test_path(dir, "a/file/x"), 0700, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, "a/file"));
}

static void remove_tree_follows_no_link(void **state)
{
    (void)state;
    const char *outside = lt_test_dir(), *dir = lt_test_dir();

    lt_test_write(lt_test_path(outside, "keep"), "x", 1);
    assert_int_equal(lt_file_mkdirs(lt_test_path(dir, "t/u/v"), 0700, NULL), 0);
    lt_test_write(lt_test_path(dir, "t/u/f"), "x", 1);
    assert_int_equal(symlink(outside, lt_test_path(dir, "t/u/link")), 0);
    assert_int_equal(symlink("nowhere", lt_test_path(dir, "t/broken")), 0);
    assert_int_equal(lt_file_remove_tree(lt_test_path(dir, "t"), NULL), 0);
    assert_int_equal(entries(dir), 0);
    content_is(lt_test_path(outside, "keep"), "x");
    assert_int_equal(lt_file_remove_tree(lt_test_path(dir, "t"), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replace_fails_whole),
        cmocka_unit_test(replace_survives_power_cuts),
        cmocka_unit_test(the_model_loses_what_was_not_synced),
        cmocka_unit_test(full_disk_cuts_a_write_short),
        cmocka_unit_test(short_and_interrupted_writes_go_on),
        cmocka_unit_test(opened_files_do_not_leak_into_children),
        cmocka_unit_test(read_stops_at_its_limit),
        cmocka_unit_test(mkdirs_makes_parents_and_names_what_is_in_the_way),
        cmocka_unit_test(remove_tree_follows_no_link),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
