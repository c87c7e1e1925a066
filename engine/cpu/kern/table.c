/* table.c - the kernels of one instruction set and one number type, by number */
#include "engine/cpu/kern/list.h"

#ifdef LT_AVX512
#define ISA "avx512_core"
#else
#define ISA "avx2"
#endif

const struct lt_kern_table LT_TABLE = {
    .isa = ISA,
    .fn =
        {
#define X(name) [LT_KERN_##name] = LT_K(name),
            LT_KERNELS(X) LT_KERNELS_OWN(X)
#undef X
        },
};
