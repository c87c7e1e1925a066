/* reduce.c - sums in the order given, of any number of sources
 *
 * A tile of the result is made in a local array, so that the result may be one of the sources. Each
 * addition is in the element's type; bfloat16 adds in float32 and rounds once. Every instruction
 * set gives the same bits (no contraction: -ffp-contract=off), so the wide variants are chosen by
 * what the machine has.
 */
#include <string.h>

#include "engine/comm/impl.h"

#define TILE 512

#define ADD(a, b) ((a) + (b))
#define MAXIMUM(a, b) ((b) > (a) || (b) != (b) ? (b) : (a)) /* not a number wins */
#define MINIMUM(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))
#define IMAX(a, b) ((b) > (a) ? (b) : (a))
#define IMIN(a, b) ((b) < (a) ? (b) : (a))
#define OR(a, b) ((a) | (b))

typedef void tile_fn(const void *const *src, int n_src, void *out, size_t at, size_t n);

/* Names a function that reduces n <= TILE elements from `at` on; there are two sources at least. */
#define TILE_FN(name, type, STEP, attribute)                                                       \
    attribute static void name(const void *const *src, int n_src, void *out, size_t at, size_t n)  \
    {                                                                                              \
        const type *a = (const type *)src[0] + at, *b = (const type *)src[1] + at;                 \
        type acc[TILE];                                                                            \
                                                                                                   \
        for (size_t i = 0; i < n; i++)                                                             \
            acc[i] = (type)STEP(a[i], b[i]);                                                       \
        for (int s = 2; s < n_src; s++) {                                                          \
            const type *x = (const type *)src[s] + at;                                             \
                                                                                                   \
            for (size_t i = 0; i < n; i++)                                                         \
                acc[i] = (type)STEP(acc[i], x[i]);                                                 \
        }                                                                                          \
        memcpy((type *)out + at, acc, n * sizeof(type));                                           \
    }

static inline float from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest, ties to even; not a number stays one. */
static inline uint16_t to_bf16(float f)
{
    uint32_t bits, rounded;

    memcpy(&bits, &f, sizeof bits);
    rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40u) : rounded);
}

#define TILE_FN_BF16(name, STEP, attribute)                                                        \
    attribute static void name(const void *const *src, int n_src, void *out, size_t at, size_t n)  \
    {                                                                                              \
        const uint16_t *first = (const uint16_t *)src[0] + at;                                     \
        uint16_t *to = (uint16_t *)out + at;                                                       \
        float acc[TILE];                                                                           \
                                                                                                   \
        for (size_t i = 0; i < n; i++)                                                             \
            acc[i] = from_bf16(first[i]);                                                          \
        for (int s = 1; s < n_src; s++) {                                                          \
            const uint16_t *x = (const uint16_t *)src[s] + at;                                     \
                                                                                                   \
            for (size_t i = 0; i < n; i++) {                                                       \
                float v = from_bf16(x[i]);                                                         \
                                                                                                   \
                acc[i] = STEP(acc[i], v);                                                          \
            }                                                                                      \
        }                                                                                          \
        for (size_t i = 0; i < n; i++)                                                             \
            to[i] = to_bf16(acc[i]);                                                               \
    }

#define WIDE_NOTHING
#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))
#else
#define WIDE
#endif

/* Integer sums wrap: they are made without sign. */
#define ALL_TILE_FNS(suffix, attribute)                                                            \
    TILE_FN(f32_sum##suffix, float, ADD, attribute)                                                \
    TILE_FN(f32_max##suffix, float, MAXIMUM, attribute)                                            \
    TILE_FN(f32_min##suffix, float, MINIMUM, attribute)                                            \
    TILE_FN(f64_sum##suffix, double, ADD, attribute)                                               \
    TILE_FN(f64_max##suffix, double, MAXIMUM, attribute)                                           \
    TILE_FN(f64_min##suffix, double, MINIMUM, attribute)                                           \
    TILE_FN_BF16(bf16_sum##suffix, ADD, attribute)                                                 \
    TILE_FN_BF16(bf16_max##suffix, MAXIMUM, attribute)                                             \
    TILE_FN_BF16(bf16_min##suffix, MINIMUM, attribute)                                             \
    TILE_FN(i32_sum##suffix, uint32_t, ADD, attribute)                                             \
    TILE_FN(i32_max##suffix, int32_t, IMAX, attribute)                                             \
    TILE_FN(i32_min##suffix, int32_t, IMIN, attribute)                                             \
    TILE_FN(i32_or##suffix, uint32_t, OR, attribute)                                               \
    TILE_FN(i64_sum##suffix, uint64_t, ADD, attribute)                                             \
    TILE_FN(i64_max##suffix, int64_t, IMAX, attribute)                                             \
    TILE_FN(i64_min##suffix, int64_t, IMIN, attribute)                                             \
    TILE_FN(i64_or##suffix, uint64_t, OR, attribute)

ALL_TILE_FNS(_plain, WIDE_NOTHING)
ALL_TILE_FNS(_wide, WIDE)

struct row {
    tile_fn *plain, *wide;
};
#define ROW(name) {name##_plain, name##_wide}

static const struct row rows[LT_DTYPE_N][LT_COLL_OP_N] = {
    /*           SUM            MAX            MIN            OR         */
    [LT_F32] = {ROW(f32_sum), ROW(f32_max), ROW(f32_min)},
    [LT_F64] = {ROW(f64_sum), ROW(f64_max), ROW(f64_min)},
    [LT_BF16] = {ROW(bf16_sum), ROW(bf16_max), ROW(bf16_min)},
    [LT_I32] = {ROW(i32_sum), ROW(i32_max), ROW(i32_min), ROW(i32_or)},
    [LT_I64] = {ROW(i64_sum), ROW(i64_max), ROW(i64_min), ROW(i64_or)},
};

static bool has_wide(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

bool lt_coll_reduces(enum lt_dtype dtype, enum lt_coll_op op)
{
    return (unsigned)dtype < LT_DTYPE_N && (unsigned)op < LT_COLL_OP_N && rows[dtype][op].plain;
}

void lt_coll_reduce(enum lt_dtype dtype, enum lt_coll_op op, const void *const *src, int n_src,
                    void *out, size_t n)
{
    tile_fn *fn = has_wide() ? rows[dtype][op].wide : rows[dtype][op].plain;

    if (n_src == 1) { /* no rounding either */
        if (n && out != src[0])
            memmove(out, src[0], n * lt_dtype_sizes[dtype]);
        return;
    }
    for (size_t at = 0; at < n; at += TILE)
        fn(src, n_src, out, at, LT_MIN(n - at, (size_t)TILE));
}
