/* test_crc32c.c - RFC 3720 B.4 vectors; both implementations agree at every length and alignment */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/crc32c.h"

static void published_vectors(void **state)
{
    (void)state;
    unsigned char b[32];

    memset(b, 0, 32);
    assert_int_equal(lt_crc32c(0, b, 32), 0x8a9136aa);
    memset(b, 0xff, 32);
    assert_int_equal(lt_crc32c(0, b, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)i;
    assert_int_equal(lt_crc32c(0, b, 32), 0x46dd794e);
    assert_int_equal(lt_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(lt_crc32c_portable(0, "123456789", 9), 0xe3069283);
}

static void both_ways_agree_and_continue(void **state)
{
    (void)state;
    unsigned char b[300];

    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)(i * 37 + i / 7);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; n < 280; n++) {
            uint32_t whole = lt_crc32c(0, b + from, n);

            assert_int_equal(whole, lt_crc32c_portable(0, b + from, n));
            assert_int_equal(whole, lt_crc32c(lt_crc32c(0, b + from, n / 3), b + from + n / 3, n - n / 3));
        }
}

/* The length of an event file's first record, 24, and its masked CRC as TensorFlow writes them:
 * 18 00 00 00 00 00 00 00 a3 7f 4b 22. */
static void masked_as_tensorflow_does(void **state)
{
    (void)state;
    static const unsigned char length[8] = {24};

    assert_int_equal(lt_crc32c_masked(length, 8), 0x224b7fa3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(both_ways_agree_and_continue),
        cmocka_unit_test(masked_as_tensorflow_does),
    };

    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
