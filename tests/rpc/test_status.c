/* test_status.c - problems beside a code: there and back, and never too many bytes for a trailer */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/buf.h"
#include "rpc/status.h"

static void problems_come_back_as_they_went(void **state)
{
    struct lt_rpc_status s = {.code = LT_RPC_INVALID_ARGUMENT, .text = "wrong"}, back = {0};
    LT_BUF_AUTO bytes = {0};

    (void)state;
    lt_problem_add(&s.problems, "a[0].b", "write 1", "is %d", 0)->line = 12;
    lt_problem_warn(&s.problems, "c", NULL, "odd");
    lt_rpc_status_pack(&s, &bytes);
    lt_rpc_status_unpack(&back, bytes.data, bytes.len);
    assert_int_equal(back.problems.len, 2);
    assert_string_equal(back.problems.items[0].path, "a[0].b");
    assert_string_equal(back.problems.items[0].reason, "is 0");
    assert_string_equal(back.problems.items[0].remedy, "write 1");
    assert_int_equal(back.problems.items[0].line, 12);
    assert_true(back.problems.items[1].warning);
    lt_rpc_status_done(&s);
    lt_rpc_status_done(&back);
}

static void many_problems_are_cut_to_the_limit(void **state)
{
    struct lt_rpc_status s = {.code = LT_RPC_INVALID_ARGUMENT}, back = {0};
    LT_BUF_AUTO bytes = {0};

    (void)state;
    for (int i = 0; i < 500; i++)
        lt_problem_add(&s.problems, "model.layers", "look into the reference", "problem %d", i);
    lt_rpc_status_pack(&s, &bytes);
    assert_in_range(bytes.len, LT_RPC_DETAILS_MAX / 2, LT_RPC_DETAILS_MAX);
    lt_rpc_status_unpack(&back, bytes.data, bytes.len);
    assert_in_range(back.problems.len, 5, 100);
    assert_string_equal(back.problems.items[0].reason, "problem 0");
    lt_rpc_status_done(&s);
    lt_rpc_status_done(&back);
}

static void garbage_says_nothing(void **state)
{
    struct lt_rpc_status back = {0};
    char junk[300];

    (void)state;
    for (int seed = 0; seed < 200; seed++) {
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = (char)((i + 1) * (size_t)(seed * 2 + 1) * 2654435761u >> 13);
        lt_rpc_status_unpack(&back, junk, sizeof junk);
    }
    assert_int_equal(back.problems.len, 0);
    lt_rpc_status_done(&back);
}

static void codes_and_errnos_stand_for_each_other(void **state)
{
    (void)state;
    for (int c = LT_RPC_OK; c < LT_RPC_CODE_N; c++)
        assert_int_equal(lt_rpc_code_of_errno(lt_rpc_code_errno((enum lt_rpc_code)c)), c);
    assert_int_equal(lt_rpc_code_of_errno(-EXDEV), LT_RPC_INTERNAL);
    assert_string_equal(lt_rpc_code_name(LT_RPC_NOT_FOUND), "NOT_FOUND");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_come_back_as_they_went),
        cmocka_unit_test(many_problems_are_cut_to_the_limit),
        cmocka_unit_test(garbage_says_nothing),
        cmocka_unit_test(codes_and_errnos_stand_for_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
