/* test_error.c - error texts and lists of problems */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/problem.h"

static void set_returns_its_code(void **state)
{
    (void)state;
    struct lt_error err = {0};

    assert_int_equal(lt_error_set(&err, -5, "open %s", "f"), -5);
    assert_string_equal(err.text, "open f");
    assert_int_equal(lt_error_set(NULL, -7, "nobody listens"), -7);
}

static void prefix_goes_in_front(void **state)
{
    (void)state;
    struct lt_error err = {0};

    lt_error_set(&err, -5, "inner");
    assert_int_equal(lt_error_prefix(&err, "outer %d", 1), -5);
    assert_string_equal(err.text, "outer 1: inner");
    assert_true(lt_error_prefix(NULL, "nobody listens") < 0);
    lt_error_set(&err, -6, "again: %s", err.text);
    assert_string_equal(err.text, "again: outer 1: inner");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct lt_error err = {0};
    char text[2000];

    memset(text, 'x', sizeof text);
    text[1999] = '\0';
    lt_error_set(&err, -1, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    lt_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void problems_are_kept_up_to_a_limit(void **state)
{
    (void)state;
    struct lt_problems p = {0};

    for (int i = 0; i < LT_PROBLEMS_MAX + 5; i++)
        lt_problem_add(&p, "a.b", NULL, "wrong %d", i);
    assert_null(lt_problem_warn(&p, "a", "do this", "odd"));
    assert_int_equal(p.len, LT_PROBLEMS_MAX);
    assert_int_equal(p.errors, LT_PROBLEMS_MAX + 5);
    assert_int_equal(p.dropped, 6);
    assert_string_equal(p.items[3].reason, "wrong 3");
    assert_string_equal(p.items[3].remedy, "");
    lt_problems_done(&p);
    assert_int_equal(p.len, 0);
}

static void warnings_are_no_errors(void **state)
{
    (void)state;
    struct lt_problems p = {0};
    struct lt_problem *w = lt_problem_warn(&p, "a", "do this", "odd");

    assert_true(w->warning);
    assert_string_equal(w->remedy, "do this");
    assert_int_equal(p.errors, 0);
    lt_problems_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_its_code),
        cmocka_unit_test(prefix_goes_in_front),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(problems_are_kept_up_to_a_limit),
        cmocka_unit_test(warnings_are_no_errors),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
