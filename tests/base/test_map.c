/* test_map.c - the map against a plain list under random operations */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"

static int freed;

static void count_free(void *v)
{
    freed++;
    free(v);
}

static void values_are_freed_once(void **state)
{
    (void)state;
    struct lt_map *m = lt_map_new(count_free);

    freed = 0;
    lt_map_set(m, "a", malloc(1));
    lt_map_set(m, "a", malloc(1));
    assert_int_equal(freed, 1);
    assert_true(lt_map_remove(m, "a"));
    assert_false(lt_map_remove(m, "a"));
    assert_int_equal(freed, 2);
    lt_map_set(m, "b", malloc(1));
    lt_map_free(m);
    assert_int_equal(freed, 3);
}

static void order_is_that_of_insertion(void **state)
{
    (void)state;
    LT_AUTO(lt_map_free) struct lt_map *m = lt_map_new(NULL);
    static const char *const want[] = {"z", "a", "m", "b"};
    const char *key;
    int n = 0;

    for (int i = 0; i < 4; i++)
        lt_map_set(m, want[i], (void *)want[i]);
    lt_map_set(m, "a", (void *)"again");
    for (size_t i = 0; lt_map_next(m, &i, &key, NULL);)
        assert_string_equal(key, want[n++]);
    assert_int_equal(n, 4);
    assert_string_equal(lt_map_get(m, "a"), "again");
}

static void current_entry_may_be_removed(void **state)
{
    (void)state;
    LT_AUTO(lt_map_free) struct lt_map *m = lt_map_new(NULL);
    char name[16];
    const char *key;
    int seen = 0;

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "k%d", i);
        lt_map_set(m, name, m);
    }
    for (size_t i = 0; lt_map_next(m, &i, &key, NULL);) {
        seen++;
        assert_true(lt_map_remove(m, key)); /* with the map's own string */
    }
    assert_int_equal(seen, 100);
    assert_int_equal(lt_map_count(m), 0);
}

#define KEYS 300

static void agrees_with_a_list(void **state)
{
    (void)state;
    LT_AUTO(lt_map_free) struct lt_map *m = lt_map_new(NULL);
    static char present[KEYS];
    size_t live = 0;
    uint32_t r = 1;

    for (int step = 0; step < 20000; step++) {
        char name[16];
        unsigned k;

        r = r * 1664525u + 1013904223u;
        k = (r >> 8) % KEYS;
        snprintf(name, sizeof name, "key-%u", k);
        if (r >> 31) {
            lt_map_set(m, name, &present[k]);
            live += !present[k];
            present[k] = 1;
        } else {
            assert_int_equal(lt_map_remove(m, name), present[k]);
            live -= (size_t)present[k];
            present[k] = 0;
        }
        assert_int_equal(lt_map_count(m), live);
        assert_ptr_equal(lt_map_get(m, name), present[k] ? &present[k] : NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_freed_once),
        cmocka_unit_test(order_is_that_of_insertion),
        cmocka_unit_test(current_entry_may_be_removed),
        cmocka_unit_test(agrees_with_a_list),
    };

    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
