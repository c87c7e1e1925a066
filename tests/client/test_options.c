/* test_options.c - command lines, parsed by rows */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/auto.h"
#include "client/ctl.h"

static const struct lt_option rows[] = {
    {"follow", 'f', LT_OPTION_FLAG, NULL, ""},      {"quiet", 'q', LT_OPTION_FLAG, NULL, ""},
    {"rank", 'r', LT_OPTION_NUMBER, "N", ""},       {"set", 's', LT_OPTION_LIST, "PATH=VALUE", ""},
    {"mode", 0, LT_OPTION_STRING, "fast|slow", ""}, {"timeout", 0, LT_OPTION_DURATION, "TIME", ""},
};
static const struct lt_verb verb = {.name = "v",
                                    .arguments = "A B",
                                    .options = rows,
                                    .n_options = LT_ARRAY_LEN(rows),
                                    .min_args = 1,
                                    .max_args = 2,
                                    .flags = LT_VERB_OUTPUT | LT_VERB_DAEMON};
const struct lt_verb *const lt_verbs[] = {&verb, NULL};

static struct lt_ctl ctl;

static int setup(void **state)
{
    (void)state;
    ctl = (struct lt_ctl){.verb = &verb, .arena = lt_arena_new(0)};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_arena_free(ctl.arena);
    return 0;
}

#define PARSE(...)                                                                                 \
    ({                                                                                             \
        const char *argv[] = {__VA_ARGS__};                                                        \
        lt_ctl_parse(&ctl, (int)LT_ARRAY_LEN(argv), (char **)argv);                                \
    })

/* What is printed goes nowhere: only the exit code counts here. */
#define REFUSED(...)                                                                               \
    do {                                                                                           \
        int keep = dup(2);                                                                         \
        int rc;                                                                                    \
        assert_non_null(freopen("/dev/null", "w", stderr));                                        \
        rc = PARSE(__VA_ARGS__);                                                                   \
        fflush(stderr);                                                                            \
        dup2(keep, 2);                                                                             \
        close(keep);                                                                               \
        assert_int_equal(rc, LT_EXIT_USAGE);                                                       \
    } while (0)

static void test_options_and_arguments_mix(void **state)
{
    uint64_t rank;

    (void)state;
    assert_int_equal(PARSE("a", "--rank", "3", "b", "-f"), 0);
    assert_int_equal(ctl.n_args, 2);
    assert_string_equal(ctl.args[0], "a");
    assert_string_equal(ctl.args[1], "b");
    assert_null(ctl.args[2]);
    assert_true(lt_ctl_flag(&ctl, "follow"));
    assert_false(lt_ctl_flag(&ctl, "quiet"));
    assert_true(lt_ctl_number(&ctl, "rank", &rank));
    assert_int_equal(rank, 3);
}

static void test_forms_of_values(void **state)
{
    double seconds;
    uint64_t rank;

    (void)state;
    assert_int_equal(PARSE("-fqr7", "--mode=slow", "--timeout=2m", "a"), 0);
    assert_true(lt_ctl_flag(&ctl, "follow") && lt_ctl_flag(&ctl, "quiet"));
    assert_true(lt_ctl_number(&ctl, "rank", &rank) && rank == 7);
    assert_string_equal(lt_ctl_string(&ctl, "mode"), "slow");
    assert_true(lt_ctl_duration(&ctl, "timeout", &seconds));
    assert_true(seconds == 120);
}

static void test_lists_keep_their_order_and_the_last_single_one_counts(void **state)
{
    const char *const *list;
    size_t n;

    (void)state;
    assert_int_equal(
        PARSE("--set", "a=1", "x", "-s", "b=2", "--set=c=-3", "--mode", "fast", "--mode", "slow"),
        0);
    list = lt_ctl_list(&ctl, "set", &n);
    assert_int_equal(n, 3);
    assert_string_equal(list[0], "a=1");
    assert_string_equal(list[1], "b=2");
    assert_string_equal(list[2], "c=-3");
    assert_string_equal(lt_ctl_string(&ctl, "mode"), "slow");
    assert_null(lt_ctl_string(&ctl, "output"));
}

static void test_two_dashes_end_options_and_one_is_an_argument(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-", "--", "-f"), 0);
    assert_string_equal(ctl.args[0], "-");
    assert_string_equal(ctl.args[1], "-f");
    assert_false(lt_ctl_flag(&ctl, "follow"));
}

static void test_what_is_refused(void **state)
{
    (void)state;
    REFUSED("a", "--nothing");
    REFUSED("a", "-z");
    REFUSED("a", "--rank");
    REFUSED("a", "--rank", "-1");
    REFUSED("a", "--follow=yes");
    REFUSED("a", "--mode", "fas");
    REFUSED("a", "--timeout", "soon");
    REFUSED("a", "-o", "xml");
}

static void test_number_of_arguments(void **state)
{
    (void)state;
    REFUSED("--follow");
    REFUSED("a", "b", "c");
    ctl.n_args = 0;
    ctl.n_values = 0;
    assert_int_equal(PARSE("--help"), 0); /* help needs none */
}

static void test_more_options_than_there_is_room_for(void **state)
{
    char *argv[LT_CTL_VALUES_MAX + 2];

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(argv); i++)
        argv[i] = (char *)"-f";
    argv[0] = (char *)"a";
    assert_int_equal(lt_ctl_parse(&ctl, (int)LT_ARRAY_LEN(argv), argv), LT_EXIT_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_and_arguments_mix),
        TEST(forms_of_values),
        TEST(lists_keep_their_order_and_the_last_single_one_counts),
        TEST(two_dashes_end_options_and_one_is_an_argument),
        TEST(what_is_refused),
        TEST(number_of_arguments),
        TEST(more_options_than_there_is_room_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
