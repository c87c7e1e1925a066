/* test_token.c - what a token file may be, and who gets in by it */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "sys/token.h"
#include "tests/support/tmp.h"

#define ONE "0123456789abcdef"
#define TWO "another-token-of-ours"

static char path[256];

static void write_file(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/tokens", lt_test_dir());
    return 0;
}

static bool lets_in(struct lt_tokens *t, const char *token)
{
    return lt_tokens_match(t, token, strlen(token));
}

static void files_that_are_refused(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        int rc;
    } rows[] = {
        {ONE "\n", 0644, -EPERM},       {ONE "\n", 0620, -EPERM},  {ONE "\n", 0602, -EPERM},
        {"", 0600, -ENODATA},           {"# none\n\n", 0600, -ENODATA}, {"short\n", 0600, -EINVAL},
        {ONE " " ONE "\n", 0600, -EINVAL}, {ONE "\303\251\n", 0600, -EINVAL},
    };
    struct lt_tokens *t = NULL;
    struct lt_error err = {0};

    (void)state;
    unlink(path);
    assert_int_equal(lt_tokens_open(path, &t, &err), -ENOENT);
    assert_non_null(strstr(err.text, "urandom")); /* says how to make one */
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        write_file(rows[i].text, rows[i].mode);
        assert_int_equal(lt_tokens_open(path, &t, &err), rows[i].rc);
        assert_non_null(strstr(err.text, path));
        assert_null(t);
    }
}

static void every_line_lets_in_and_nothing_else(void **state)
{
    static const char *const others[] = {"",        "0",     ONE "g",          "0123456789abcde", "0123456789abcdeF",
                                         ONE "\n", "# one", "# a comment that is long"};
    struct lt_tokens *t;
    char *huge = test_malloc(100000);

    (void)state;
    write_file("# a comment that is long\n\n" ONE "\r\n" TWO, 0600);
    assert_int_equal(lt_tokens_open(path, &t, NULL), 0);
    assert_true(lets_in(t, ONE));
    assert_true(lets_in(t, TWO));
    for (size_t i = 0; i < LT_ARRAY_LEN(others); i++)
        assert_false(lets_in(t, others[i]));
    memset(huge, 'x', 100000);
    assert_false(lt_tokens_match(t, huge, 100000));
    test_free(huge);
    lt_tokens_close(t);
}

static void a_changed_file_counts_at_once(void **state)
{
    struct lt_tokens *t;

    (void)state;
    write_file(ONE "\n", 0600);
    assert_int_equal(lt_tokens_open(path, &t, NULL), 0);
    assert_true(lets_in(t, ONE));
    write_file(TWO "\n", 0600);
    assert_false(lets_in(t, ONE));
    assert_true(lets_in(t, TWO));
    assert_int_equal(chmod(path, 0644), 0); /* others may know it now */
    assert_false(lets_in(t, TWO));
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(lets_in(t, TWO));
    unlink(path);
    assert_false(lets_in(t, TWO));
    write_file(ONE "\n", 0600);
    assert_true(lets_in(t, ONE));
    lt_tokens_close(t);
}

static void a_caller_reads_the_first(void **state)
{
    LT_BUF_AUTO out = {0};

    (void)state;
    write_file("# mine\n" TWO "\n" ONE "\n", 0644); /* as some pipelines make it */
    assert_int_equal(lt_token_read(path, &out, NULL), 0);
    assert_string_equal(out.data, TWO);
    write_file("", 0600);
    assert_int_equal(lt_token_read(path, &out, NULL), -ENODATA);
    unlink(path);
    assert_int_equal(lt_token_read(path, &out, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(files_that_are_refused, setup),
        cmocka_unit_test_setup(every_line_lets_in_and_nothing_else, setup),
        cmocka_unit_test_setup(a_changed_file_counts_at_once, setup),
        cmocka_unit_test_setup(a_caller_reads_the_first, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
