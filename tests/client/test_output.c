/* test_output.c - tables, YAML and exact numbers, as golden text */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "client/output.h"
#include "client/plot.h"
#include "client/verb.h"

const struct lt_verb *const lt_verbs[] = {NULL};

static void test_table_is_aligned(void **state)
{
    static const struct lt_column columns[] = {
        {"NAME", "name", LT_COLUMN_TEXT},
        {"STEP", "step", LT_COLUMN_NUMBER},
        {"SIZE", "size", LT_COLUMN_BYTES},
        {"NOTE", "note", LT_COLUMN_TEXT},
    };
    cJSON *rows = cJSON_CreateArray(), *o = cJSON_CreateObject();
    LT_BUF_AUTO out = {0};

    (void)state;
    lt_json_text(o, "name", "größer");
    lt_json_u64(o, "step", 12345);
    lt_json_u64(o, "size", 2048);
    lt_json_text(o, "note", NULL);
    cJSON_AddItemToArray(rows, o);
    o = cJSON_CreateObject();
    lt_json_text(o, "name", "a");
    lt_json_u64(o, "step", 1);
    cJSON_AddItemToArray(rows, o);
    lt_output_table(rows, columns, LT_ARRAY_LEN(columns), &out);
    assert_string_equal(out.data, "NAME     STEP     SIZE  NOTE\n"
                                  "größer  12345  2.0 KiB  -\n"
                                  "a           1        -  -\n");
    cJSON_Delete(rows);
}

static void test_yaml_of_nested_values(void **state)
{
    cJSON *v = cJSON_Parse("{\"a\":1,\"b\":{\"c\":[1,{\"d\":\"x: "
                           "y\",\"e\":null}],\"f\":[]},\"g\":\"yes\",\"h\":\"plain text\"}");
    LT_BUF_AUTO out = {0};

    (void)state;
    lt_output_yaml(v, 0, &out);
    assert_string_equal(out.data, "a: 1\n"
                                  "b:\n"
                                  "  c:\n"
                                  "    - 1\n"
                                  "    - d: \"x: y\"\n"
                                  "      e: null\n"
                                  "  f: []\n"
                                  "g: \"yes\"\n"
                                  "h: plain text\n");
    cJSON_Delete(v);
}

static void test_numbers_are_exact(void **state)
{
    cJSON *o = cJSON_CreateObject();
    char *text;

    (void)state;
    lt_json_double(o, "third", 1.0 / 3.0);
    lt_json_u64(o, "big", UINT64_MAX);
    lt_json_double(o, "nan", NAN);
    lt_json_double(o, "inf", -INFINITY);
    lt_json_time(o, "never", 0);
    text = cJSON_PrintUnformatted(o);
    assert_string_equal(text, "{\"third\":0.3333333333333333,\"big\":18446744073709551615,\"nan\":"
                              "\"nan\",\"inf\":\"-inf\","
                              "\"never\":null}");
    cJSON_free(text);
    cJSON_Delete(o);
}

static void test_plot_draws_a_falling_line(void **state)
{
    static const double x[] = {0, 1, 2, 3}, y[] = {3, 2, NAN, 0};
    LT_BUF_AUTO out = {0};

    (void)state;
    lt_plot("loss", x, y, 4, 23, 4, &out);
    assert_string_equal(out.data, "            loss\n"
                                  "          3 │⠉⠢⡀⠀⠀⠀⠀⠀⠀⠀\n"
                                  "            │⠀⠀⠈⠒⢄⠀⠀⠀⠀⠀\n"
                                  "            │⠀⠀⠀⠀⠀⠉⠢⣀⠀⠀\n"
                                  "          0 │⠀⠀⠀⠀⠀⠀⠀⠀⠑⢄\n"
                                  "            └ step 0 … 3\n");
}

static void test_plot_of_nothing_is_an_empty_frame(void **state)
{
    LT_BUF_AUTO out = {0};

    (void)state;
    lt_plot("loss", NULL, NULL, 0, 23, 4, &out);
    assert_non_null(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_aligned),
        cmocka_unit_test(test_yaml_of_nested_values),
        cmocka_unit_test(test_numbers_are_exact),
        cmocka_unit_test(test_plot_draws_a_falling_line),
        cmocka_unit_test(test_plot_of_nothing_is_an_empty_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
