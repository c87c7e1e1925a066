/* test_reduce.c - the sum itself: every type, operation and number of sources beside a plain loop,
 * and bfloat16's rule by numbers
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "engine/comm/impl.h"

#define MOST 1030 /* elements: more than two tiles */
#define SOURCES 5

static const enum lt_dtype types[] = {LT_F32, LT_F64, LT_BF16, LT_I32, LT_I64};

union number {
    double f;
    int64_t i;
};

static bool is_int(enum lt_dtype d)
{
    return d == LT_I32 || d == LT_I64;
}

static union number get(enum lt_dtype d, const void *at, size_t i)
{
    if (d == LT_I32)
        return (union number){.i = ((const int32_t *)at)[i]};
    if (d == LT_I64)
        return (union number){.i = ((const int64_t *)at)[i]};
    return (union number){.f = lt_dtype_load(d, at, (int64_t)i)};
}

static void put(enum lt_dtype d, void *at, size_t i, union number x)
{
    if (d == LT_I32)
        ((int32_t *)at)[i] = (int32_t)x.i;
    else if (d == LT_I64)
        ((int64_t *)at)[i] = x.i;
    else
        lt_dtype_store(d, at, (int64_t)i, x.f);
}

/* Integers of any size, which wrap; floats of any magnitude, some infinite, some no numbers. */
static void fill(enum lt_dtype d, void *to, uint64_t source)
{
    for (size_t i = 0; i < MOST; i++) {
        uint64_t z = (source * 7919 + i + 1) * 0x9e3779b97f4a7c15u;
        union number x;

        z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9u;
        if (is_int(d))
            x.i = (int64_t)z;
        else if (z % 97 == 0)
            x.f = z & 4096 ? NAN : z & 8192 ? INFINITY : -0.0;
        else
            x.f = ((double)(z >> 40) / 16777216.0 - 0.5) * (double)(1u << (z & 15));
        put(d, to, i, x);
    }
}

static union number combine(enum lt_dtype d, enum lt_coll_op op, union number a, union number b)
{
    bool first;

    if (is_int(d) && op == LT_COLL_OR)
        return (union number){.i = a.i | b.i};
    if (op == LT_COLL_SUM && is_int(d))
        return (union number){.i = (int64_t)((uint64_t)a.i + (uint64_t)b.i)};
    if (op == LT_COLL_SUM) /* in the element's type; bfloat16 in float32 */
        return (union number){.f = d == LT_F64 ? a.f + b.f : (double)((float)a.f + (float)b.f)};
    if (is_int(d))
        first = op == LT_COLL_MAX ? a.i >= b.i : a.i <= b.i;
    else
        first = isnan(a.f) || (!isnan(b.f) && (op == LT_COLL_MAX ? a.f >= b.f : a.f <= b.f));
    return first ? a : b;
}

static void expect(enum lt_dtype d, enum lt_coll_op op, const void *const *src, int n_src, void *out,
                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        union number x = get(d, src[0], i);

        for (int s = 1; s < n_src; s++)
            x = combine(d, op, x, get(d, src[s], i));
        put(d, out, i, x);
    }
}

static void same(enum lt_dtype d, enum lt_coll_op op, const void *is, const void *should, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        union number a = get(d, is, i), b = get(d, should, i);

        if (is_int(d) ? a.i != b.i : !(a.f == b.f && signbit(a.f) == signbit(b.f)) &&
                                         !(isnan(a.f) && isnan(b.f)))
            fail_msg("type %d, operation %d, element %zu: %g, not %g", (int)d, (int)op, i,
                     is_int(d) ? (double)a.i : a.f, is_int(d) ? (double)b.i : b.f);
    }
}

/* into: which source the result is written over; SOURCES: none. */
static void check(enum lt_dtype d, enum lt_coll_op op, int n_src, size_t n, int into)
{
    static double memory[SOURCES + 2][MOST + 8];
    const void *src[SOURCES];
    size_t size = lt_dtype_sizes[d];
    char *out = (char *)memory[into], *want = (char *)memory[SOURCES + 1];

    for (int s = 0; s < n_src; s++) {
        fill(d, memory[s], (uint64_t)s);
        src[s] = memory[s];
    }
    expect(d, op, src, n_src, want, n);
    if (into == SOURCES)
        memset(out, 0x5a, (n + 1) * size);
    lt_coll_reduce(d, op, src, n_src, out, n);
    same(d, op, out, want, n);
    if (into == SOURCES) /* and no further */
        for (size_t i = n * size; i < (n + 1) * size; i++)
            assert_int_equal(out[i], 0x5a);
}

static void every_type_and_operation(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 511, 512, 513, MOST};

    (void)state;
    for (size_t d = 0; d < LT_ARRAY_LEN(types); d++)
        for (int op = 0; op < LT_COLL_OP_N; op++) {
            if (!lt_coll_reduces(types[d], (enum lt_coll_op)op)) {
                assert_true(op == LT_COLL_OR && !is_int(types[d]));
                continue;
            }
            for (int n_src = 1; n_src <= SOURCES; n_src++)
                for (size_t s = 0; s < LT_ARRAY_LEN(sizes); s++)
                    for (int into = 0; into <= SOURCES; into++)
                        if (into < n_src || into == SOURCES)
                            check(types[d], (enum lt_coll_op)op, n_src, sizes[s], into);
        }
    assert_false(lt_coll_reduces(LT_U8, LT_COLL_SUM));
}

/* 1, 2^-8, 2^-8: rounded after each addition, both would be lost (ties to even). */
static void bfloat16_is_rounded_once(void **state)
{
    static const struct {
        double x[4], sum;
    } cases[] = {
        {{1, 0x1p-8, 0x1p-8, 0}, 1 + 0x1p-7},
        {{1, 0x1p-8, 0, 0}, 1},                             /* a tie: to even */
        {{1 + 0x1p-7, 0x1p-8, 0, 0}, 1 + 0x1p-6},           /* a tie: to even, upwards */
        {{1, 0x1p-8, 0x1p-20, 0}, 1 + 0x1p-7},              /* just above a tie */
        {{0x1p127, 0x1p127, -0x1p127, 0}, INFINITY},        /* float32's range while adding */
        {{0x1p127, -0x1p127, 0x1p127, 0}, 0x1p127},
        {{0x1p24, 1, -0x1p24, 1}, 1},                       /* float32, not float64: the 1 is lost */
        {{1, 1, 0x1p24, -0x1p24}, 2},                       /* in the order of the sources */
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++) {
        uint16_t x[4], out;
        const void *src[4] = {&x[0], &x[1], &x[2], &x[3]};

        for (int s = 0; s < 4; s++)
            lt_dtype_store(LT_BF16, &x[s], 0, cases[i].x[s]);
        lt_coll_reduce(LT_BF16, LT_COLL_SUM, src, 4, &out, 1);
        if (lt_dtype_load(LT_BF16, &out, 0) != cases[i].sum)
            fail_msg("case %zu: %.9g, not %.9g", i, lt_dtype_load(LT_BF16, &out, 0), cases[i].sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_and_operation),
        cmocka_unit_test(bfloat16_is_rounded_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
