/* isa.c - the machine's instruction set, capped */
#include "engine/cpu/isa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>
#include "base/auto.h"
#include "base/error.h"
#include "base/str.h"

const char *const lt_kern_names[LT_KERN_N] = {
#define X(name) [LT_KERN_##name] = #name,
    LT_KERNELS(X) LT_KERNELS_32(X) LT_KERNELS_64(X)
#undef X
};

/* Rank of a name; everything above AVX-512 runs the AVX-512 kernels. */
static const struct {
    const char *name;
    int rank;
    bool bfloat16;
} names[] = {{"avx2", 1, false},
             {"avx2_vnni", 1, false},
             {"avx512_core", 2, false},
             {"avx512_core_vnni", 2, false},
             {"avx512_core_bf16", 2, true},
             {"avx512_core_amx", 2, true},
             {"all", 2, true}};

static int rank_of(const char *cap)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++)
        if (lt_str_eq(names[i].name, cap))
            return names[i].rank;
    return -1;
}

static int machine_rank(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return 2;
    return 1;
}

const struct lt_kern_table *lt_isa_select(const char *cap, struct lt_error *err)
{
    const char *caps[] = {cap, getenv("LT_MAX_ISA")};
    int rank = machine_rank();

    for (size_t i = 0; i < LT_ARRAY_LEN(caps); i++) {
        int r = caps[i] && *caps[i] ? rank_of(caps[i]) : 2;

        if (r < 0) {
            lt_error_set(err, -EINVAL, "unknown instruction set '%s': avx2 or avx512_core",
                         caps[i]);
            return NULL;
        }
        rank = LT_MIN(rank, r);
    }
    if (!rank) {
        lt_error_set(err, -ENOTSUP,
                     "this processor has no AVX2 with FMA, which the cpu back end needs");
        return NULL;
    }
    return rank == 2 ? &lt_kern_avx512 : &lt_kern_avx2;
}

const struct lt_kern_table *lt_isa_float64(const struct lt_kern_table *t)
{
    return t == &lt_kern_avx512 ? &lt_kern_avx512_f64 : &lt_kern_avx2_f64;
}

bool lt_isa_has_bfloat16(const char *cap)
{
    const char *caps[] = {cap, getenv("LT_MAX_ISA")};
    bool has;

    __builtin_cpu_init();
    has = machine_rank() == 2 && __builtin_cpu_supports("avx512bf16");
    for (size_t i = 0; i < LT_ARRAY_LEN(caps); i++)
        for (size_t k = 0; caps[i] && *caps[i] && k < LT_ARRAY_LEN(names); k++)
            if (lt_str_eq(names[k].name, caps[i]))
                has = has && names[k].bfloat16;
    return has;
}

void lt_isa_flush_denormals(void)
{
    _mm_setcsr(_mm_getcsr() | 0x8040); /* FTZ, DAZ */
}
