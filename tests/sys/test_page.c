/* test_page.c - the shared page seen by two mappings, and files that are none */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "sys/page.h"
#include "tests/support/fault.h"
#include "tests/support/tmp.h"

static void both_see_the_same(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "page");
    struct lt_page *a, *b, *c;

    assert_int_equal(lt_page_create(path, &a, NULL), 0);
    assert_int_equal(a->step, 0);
    assert_int_equal(lt_page_map(path, &b, NULL), 0);
    a->step = 7;
    b->command = LT_COMMAND_STOP;
    assert_int_equal(b->step, 7);
    assert_int_equal(a->command, LT_COMMAND_STOP);
    lt_page_unmap(a);
    assert_int_equal(lt_page_create(path, &c, NULL), 0); /* keeps what is there */
    assert_int_equal(c->step, 7);
    lt_page_unmap(b);
    lt_page_unmap(c);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "page");
    struct lt_error err = {0};
    struct lt_page *p;
    char junk[4096];

    assert_int_equal(lt_page_map(path, &p, &err), -ENOENT);
    lt_test_write(path, "", 0);
    assert_int_equal(lt_page_map(path, &p, &err), -EPROTO);
    memset(junk, 'x', sizeof junk);
    lt_test_write(path, junk, sizeof junk);
    assert_int_equal(lt_page_map(path, &p, &err), -EPROTO);
    assert_int_equal(lt_page_create(path, &p, &err), -EPROTO);
    lt_test_write(path, junk, 100);
    assert_int_equal(lt_page_create(path, &p, &err), -EPROTO);
    assert_non_null(strstr(err.text, path));
}

static void a_full_disk_is_an_error_not_a_signal(void **state)
{
    (void)state;
    const char *path = lt_test_path(lt_test_dir(), "page");
    struct lt_error err = {0};
    struct lt_page *p;

    lt_fault_disk_full(100);
    assert_int_equal(lt_page_create(path, &p, &err), -ENOSPC);
    lt_fault_remove();
    assert_int_equal(lt_page_create(path, &p, &err), 0);
    lt_page_unmap(p);
}

static void every_phase_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < LT_PHASE_N; i++)
        assert_non_null(lt_phase_names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_see_the_same),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(a_full_disk_is_an_error_not_a_signal),
        cmocka_unit_test(every_phase_has_a_name),
    };

    return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
