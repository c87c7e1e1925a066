/* test_philox.c - known answers of Philox4x32-10 (Random123's kat_vectors), and the distributions */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "base/philox.h"

static const struct {
    uint32_t counter[4], key[2], want[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];

        lt_philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].want, sizeof out);
    }
}

static void every_argument_counts(void **state)
{
    (void)state;
    struct lt_rng r = lt_rng_make(1, LT_RNG_DROPOUT, 5);
    struct lt_rng others[] = {lt_rng_make(2, LT_RNG_DROPOUT, 5), lt_rng_make(1, LT_RNG_INIT, 5),
                              lt_rng_make(1, LT_RNG_DROPOUT, 6)};
    uint32_t base[4], other[4];

    lt_rng_block(&r, 3, 4, 0, base);
    for (int i = 0; i < 3; i++) {
        lt_rng_block(&others[i], 3, 4, 0, other);
        assert_memory_not_equal(base, other, sizeof base);
    }
    static const uint64_t counters[][3] = {{1ull << 47, 4, 0}, {3, 1ull << 47, 0}, {4, 3, 0},
                                           {3, 4, 1},          {3 + (1ull << 32), 4, 0}};
    for (int i = 0; i < 5; i++) {
        lt_rng_block(&r, counters[i][0], counters[i][1], (uint32_t)counters[i][2], other);
        assert_memory_not_equal(base, other, sizeof base);
    }
}

static void uniform_is_in_its_range(void **state)
{
    (void)state;
    struct lt_rng r = lt_rng_make(7, LT_RNG_DROPOUT, 1);
    double sum = 0;

    for (uint32_t i = 0; i < 20000; i++) {
        float v = lt_rng_uniform(&r, 0, 0, i);

        assert_true(v >= 0 && v < 1);
        sum += v;
    }
    assert_true(fabs(sum / 20000 - 0.5) < 0.01);
}

static void below_covers_everything_evenly(void **state)
{
    (void)state;
    struct lt_rng r = lt_rng_make(7, LT_RNG_SHUFFLE, 1);
    int count[6] = {0};

    for (uint64_t i = 0; i < 12000; i++)
        count[lt_rng_below(&r, 0, i, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_true(count[i] > 1800 && count[i] < 2200);
    assert_int_equal(lt_rng_below(&r, 0, 0, 1), 0);
    assert_int_equal(lt_rng_below(&r, 0, 0, 0), 0);
    for (uint64_t i = 0; i < 100; i++) /* half of all draws are rejected here */
        assert_true(lt_rng_below(&r, 1, i, (1ull << 63) + 1) <= 1ull << 63);
}

static void normal_has_its_moments(void **state)
{
    (void)state;
    struct lt_rng r = lt_rng_make(7, LT_RNG_INIT, 1);
    double sum = 0, squares = 0, pairs = 0, last = 0;
    enum { N = 40000 };

    for (uint32_t i = 0; i < N; i++) {
        double v = lt_rng_normal(&r, 0, 0, i);

        assert_true(isfinite(v));
        sum += v;
        squares += v * v;
        pairs += v * last;
        last = v;
    }
    assert_true(fabs(sum / N) < 0.02);
    assert_true(fabs(squares / N - 1) < 0.03);
    assert_true(fabs(pairs / N) < 0.02); /* neighbours (the two of a pair) are not correlated */
}

/* Any change here changes every trained model. */
static void stream_is_what_it_always_was(void **state)
{
    (void)state;
    struct lt_rng r = lt_rng_make(42, LT_RNG_INIT, 0x1234);

    assert_int_equal(r.key[0], 0x394e2fb8);
    assert_int_equal(r.key[1], 0x454caed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_argument_counts),
        cmocka_unit_test(uniform_is_in_its_range),
        cmocka_unit_test(below_covers_everything_evenly),
        cmocka_unit_test(normal_has_its_moments),
        cmocka_unit_test(stream_is_what_it_always_was),
    };

    return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}
