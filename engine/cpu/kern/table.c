/* table.c - the kernels of one instruction set, by number */
#include "engine/cpu/kern/list.h"

#ifdef LT_AVX512
const struct lt_kern_table lt_kern_avx512 = {
    .isa = "avx512_core",
#else
const struct lt_kern_table lt_kern_avx2 = {
    .isa = "avx2",
#endif
    .fn =
        {
#define X(name) [LT_KERN_##name] = LT_K(name),
            LT_KERNELS(X)
#undef X
        },
};
