/* test_str.c - predicates, UTF-8, suggestions, numbers as text */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <math.h>
#include <cmocka.h>

#include "base/auto.h"
#include "base/str.h"

static void predicates(void **state)
{
    (void)state;
    assert_true(lt_str_eq(NULL, NULL));
    assert_false(lt_str_eq(NULL, ""));
    assert_true(lt_str_starts("abc", "ab"));
    assert_false(lt_str_starts("a", "ab"));
    assert_true(lt_str_ends("abc", "bc"));
    assert_false(lt_str_ends("c", "bc"));
}

static void utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "ä", "€", "😀", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80", "\xc1\xbf",         "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf5\x80\x80\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff", "a\xc3",
    };

    for (size_t i = 0; i < LT_ARRAY_LEN(good); i++)
        assert_true(lt_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < LT_ARRAY_LEN(bad); i++)
        assert_false(lt_utf8_valid(bad[i], strlen(bad[i])));
    assert_false(lt_utf8_valid("a\0b", 3));
    assert_false(lt_utf8_valid("€", 2)); /* cut */
}

static void suggestions(void **state)
{
    (void)state;
    static const char *const names[] = {"max_epochs", "min_epochs", "max_steps", "lr", "seed"};

    assert_string_equal(lt_suggest("max_epoch", names, 5), "max_epochs");
    assert_string_equal(lt_suggest("max_epohcs", names, 5), "max_epochs");
    assert_string_equal(lt_suggest("mxa_steps", names, 5), "max_steps");
    assert_string_equal(lt_suggest("sed", names, 5), "seed");
    assert_null(lt_suggest("colour", names, 5));
    assert_null(lt_suggest("", names, 5));
    assert_null(lt_suggest("xy", names, 5)); /* two edits away from "lr", with nothing in common */
}

static void integers(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;

    assert_int_equal(lt_parse_u64("18446744073709551615", &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(lt_parse_u64("18446744073709551616", &u), -ERANGE);
    assert_int_equal(lt_parse_i64("-9223372036854775808", &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(lt_parse_i64("9223372036854775808", &i), -ERANGE);
    static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x1", "1.0", "1e3"};
    for (size_t k = 0; k < LT_ARRAY_LEN(bad); k++)
        assert_int_equal(lt_parse_u64(bad[k], &u), -EINVAL);
    assert_int_equal(lt_parse_i64("--1", &i), -EINVAL);
    assert_int_equal(lt_parse_i64("-", &i), -EINVAL);
}

static void doubles_are_read(void **state)
{
    (void)state;
    double v;

    assert_int_equal(lt_parse_double("1e-3", &v), 0);
    assert_true(v == 1e-3);
    assert_int_equal(lt_parse_double(".5", &v), 0);
    assert_int_equal(lt_parse_double("0x1.8p1", &v), 0);
    assert_true(v == 3.0);
    assert_int_equal(lt_parse_double("-inf", &v), 0);
    assert_true(isinf(v));
    assert_int_equal(lt_parse_double("nan", &v), 0);
    assert_true(isnan(v));
    assert_int_equal(lt_parse_double("1e999", &v), -ERANGE);
    static const char *const bad[] = {"", " 1", "1 ", "1,5", "e3", "nan(1)", "--1", "1.2.3"};
    for (size_t k = 0; k < LT_ARRAY_LEN(bad); k++)
        assert_int_equal(lt_parse_double(bad[k], &v), -EINVAL);
}

static void doubles_are_printed_shortest(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } rows[] = {
        {0, "0.0"}, {1, "1.0"}, {-0.0, "-0.0"}, {0.1, "0.1"}, {1e-5, "1e-05"}, {1e22, "1e+22"},
        {0.1 + 0.2, "0.30000000000000004"}, {5e-324, "4.94065645841247e-324"},
        {123456789012345678.0, "1.2345678901234568e+17"}, {NAN, "nan"}, {-INFINITY, "-inf"},
    };
    char text[40];

    for (size_t k = 0; k < LT_ARRAY_LEN(rows); k++) {
        lt_print_double(text, sizeof text, rows[k].v);
        assert_string_equal(text, rows[k].want);
    }
}

static void printed_doubles_read_back(void **state)
{
    (void)state;
    uint64_t bits = 1;
    char text[40];

    for (int k = 0; k < 20000; k++) {
        double v, back;

        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        lt_print_double(text, sizeof text, v);
        assert_int_equal(lt_parse_double(text, &back), 0);
        assert_memory_equal(&v, &back, sizeof v);
        assert_non_null(strpbrk(text, ".e"));
        lt_print_hex_double(text, sizeof text, v);
        assert_int_equal(lt_parse_double(text, &back), 0);
        assert_memory_equal(&v, &back, sizeof v);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
    } rows[] = {
        {"90s", 90}, {"500ms", 0.5}, {"2h", 7200}, {"1.5m", 90}, {"1d", 86400}, {"10", 10},
        {"00:90", -1}, {"01:30", 90}, {"1:00:00", 3600}, {"01:02:03:04", 93784}, {"100:00:00", 360000},
        {"", -1}, {"s", -1}, {"-1s", -1}, {"1w", -1}, {"1:2:3:4:5", -1}, {"1:", -1}, {":1", -1},
        {"inf", -1}, {"1e999s", -1}, {"1 s", -1}, {"0x10", -1}, {"01:24:00:00", -1}, {"1:-1", -1},
    };

    for (size_t k = 0; k < LT_ARRAY_LEN(rows); k++) {
        double v = -1;
        int rc = lt_parse_duration(rows[k].text, &v);

        assert_int_equal(rc, rows[k].want < 0 ? -EINVAL : 0);
        assert_true(v == rows[k].want);
    }
}

static void sizes(void **state)
{
    (void)state;
    uint64_t v;
    char text[32];

    assert_int_equal(lt_parse_size("4GiB", &v), 0);
    assert_true(v == 4ull << 30);
    assert_int_equal(lt_parse_size("512MB", &v), 0);
    assert_int_equal(v, 512000000);
    assert_int_equal(lt_parse_size("10k", &v), 0);
    assert_int_equal(v, 10000);
    assert_int_equal(lt_parse_size("1.5Ki", &v), 0);
    assert_int_equal(v, 1536);
    assert_int_equal(lt_parse_size("77", &v), 0);
    assert_int_equal(v, 77);
    assert_int_equal(lt_parse_size("16EiB", &v), -ERANGE);
    assert_int_equal(lt_parse_size("1e30", &v), -ERANGE);
    assert_int_equal(lt_parse_size("-1", &v), -EINVAL);
    assert_int_equal(lt_parse_size("1XB", &v), -EINVAL);
    assert_int_equal(lt_parse_size("GiB", &v), -EINVAL);
    lt_print_size(text, sizeof text, 512);
    assert_string_equal(text, "512 B");
    lt_print_size(text, sizeof text, 4ull << 30);
    assert_string_equal(text, "4.0 GiB");
    lt_print_size(text, sizeof text, (1u << 20) - 1);
    assert_string_equal(text, "1.0 MiB");
    lt_print_size(text, sizeof text, UINT64_MAX);
    assert_string_equal(text, "16.0 EiB");
}

static void hash_is_fnv1a(void **state)
{
    (void)state;
    assert_true(lt_hash64("", 0) == 0xcbf29ce484222325u);
    assert_true(lt_hash64("foobar", 6) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predicates),
        cmocka_unit_test(utf8),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(integers),
        cmocka_unit_test(doubles_are_read),
        cmocka_unit_test(doubles_are_printed_shortest),
        cmocka_unit_test(printed_doubles_read_back),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(hash_is_fnv1a),
    };

    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
