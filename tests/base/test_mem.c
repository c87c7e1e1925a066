/* test_mem.c - buffers, arenas, plain allocation */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

static void format_grows_to_any_length(void **state)
{
    (void)state;
    char *long_text = lt_format("%0*d", 5000, 7);

    assert_int_equal(strlen(long_text), 5000);
    assert_int_equal(long_text[4999], '7');
    lt_free(long_text);
}

static void strndup_stops_at_nul(void **state)
{
    (void)state;
    char *s = lt_strndup("ab\0cd", 5);

    assert_string_equal(s, "ab");
    lt_free(s);
}

static void buffer_is_terminated_and_little_endian(void **state)
{
    (void)state;
    LT_BUF_AUTO b = {0};

    lt_buf_str(&b, "x=");
    lt_buf_printf(&b, "%d", 42);
    assert_string_equal(b.data, "x=42");
    b.len = 0;
    lt_buf_u32(&b, 0x04030201u);
    lt_buf_u64(&b, 0x0807060504030201u);
    assert_memory_equal(b.data, "\1\2\3\4\1\2\3\4\5\6\7\10", 12);
    assert_int_equal(b.data[12], 0);
}

static void taken_buffer_is_never_null(void **state)
{
    (void)state;
    struct lt_buf b = {0};
    char *s = lt_buf_take(&b);

    assert_string_equal(s, "");
    assert_null(b.data);
    lt_free(s);
}

static void arena_zeroes_and_aligns(void **state)
{
    (void)state;
    LT_AUTO(lt_arena_free) struct lt_arena *a = lt_arena_new(0);

    for (size_t size = 0; size < 9000; size = size * 2 + 1) {
        unsigned char *p = lt_arena_alloc(a, size);

        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xee, size);
    }
    assert_string_equal(lt_arena_format(a, "%s-%d", "n", 3), "n-3");
    assert_string_equal(lt_arena_strdup(a, "text"), "text");
}

static void arena_never_passes_its_cap(void **state)
{
    (void)state;
    LT_AUTO(lt_arena_free) struct lt_arena *a = lt_arena_new(100);

    assert_non_null(lt_arena_alloc(a, 90));
    assert_null(lt_arena_alloc(a, 16));
    assert_null(lt_arena_alloc(a, SIZE_MAX));
    assert_null(lt_arena_alloc(a, SIZE_MAX - 8));
    assert_true(lt_arena_used(a) <= 100);
    assert_null(lt_arena_format(a, "%0*d", 5000, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_grows_to_any_length),
        cmocka_unit_test(strndup_stops_at_nul),
        cmocka_unit_test(buffer_is_terminated_and_little_endian),
        cmocka_unit_test(taken_buffer_is_never_null),
        cmocka_unit_test(arena_zeroes_and_aligns),
        cmocka_unit_test(arena_never_passes_its_cap),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
