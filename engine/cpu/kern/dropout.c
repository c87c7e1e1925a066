/* dropout.c - masks from Philox4x32-10, the same numbers as base/philox.h, VW blocks at a time */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/list.h"

#include <string.h>

#ifndef LT_REAL64
/* Words of VW consecutive blocks from `block` on; counter words as in base/philox.c. */
LT_INLINE void philox(uint32_t block, uint64_t a, uint64_t b, const uint32_t key[2], vi w[4])
{
    vi m0 = viset((int32_t)0xd2511f53u), m1 = viset((int32_t)0xcd9e8d57u);
    uint32_t k0 = key[0], k1 = key[1], lane[VW];
    vi c0, c1, c2, c3;

    for (int i = 0; i < VW; i++)
        lane[i] = block + (uint32_t)i;
    c0 = vild(lane);
    c1 = viset((int32_t)(uint32_t)a);
    c2 = viset((int32_t)((uint32_t)(a >> 32 & 0xffff) | (uint32_t)(b & 0xffff) << 16));
    c3 = viset((int32_t)(uint32_t)(b >> 16));
    for (int i = 0; i < 10; i++) {
        vi h0 = vmulhi(m0, c0), l0 = vmullo(m0, c0), h1 = vmulhi(m1, c2), l1 = vmullo(m1, c2);

        c0 = vixor(vixor(h1, c1), viset((int32_t)k0));
        c1 = l1;
        c2 = vixor(vixor(h0, c3), viset((int32_t)k1));
        c3 = l0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    w[0] = c0;
    w[1] = c1;
    w[2] = c2;
    w[3] = c3;
}

/* Keeps of elements [4 * block, 4 * (block + VW)): word j of lane i belongs to element 4 * (block +
 * i) + j. */
LT_INLINE void keeps(const struct lt_dropout *a, uint32_t block, uint64_t sample, uint8_t *out)
{
    uint32_t word[4][VW];
    vi w[4];

    philox(block, (uint64_t)*a->step, sample, a->key, w);
    for (int j = 0; j < 4; j++) {
        vf u = vi2f(vshr(w[j], 8)) * vset(0x1p-24f);

        vist(word[j], visel(vge(u, vset((lt_real)a->p)), viset(1), viset(0)));
    }
    for (int i = 0; i < VW; i++)
        for (int j = 0; j < 4; j++)
            out[4 * i + j] = (uint8_t)word[j][i];
}

void LT_K(dropout_mask)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_dropout *a = args;

    for (int64_t n = begin; n < end; n++) {
        uint8_t *mask = a->mask + n * a->per;

        for (int64_t e = 0; e < a->per; e += 4 * VW) {
            uint8_t keep[4 * VW];
            int64_t m = a->per - e < 4 * VW ? a->per - e : 4 * VW;

            keeps(a, (uint32_t)(e / 4), (uint64_t)a->sample[n], keep);
            if (a->outer == 1)
                memcpy(mask + e, keep, (size_t)m);
            else
                for (int64_t i = 0; i < m; i++)
                    mask[(e + i) % a->inner * a->outer + (e + i) / a->inner] = keep[i];
        }
    }
}
#endif

void LT_K(dropout_apply)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_dropout *a = args;
    vf scale = vset((lt_real)a->scale);

    for (int64_t n = begin; n < end; n++) {
        const lt_real *x = a->x + n * a->per;
        lt_real *y = a->y + n * a->per;
        const uint8_t *mask = a->mask + n * a->per;
        int64_t i = 0;

        for (; i + VW <= a->per; i += VW)
            vst(y + i, vsel(vieq(vu8ld(mask + i), viset(0)), vzero(), vld(x + i) * scale));
        for (; i < a->per; i++)
            y[i] = mask[i] ? x[i] * (lt_real)a->scale : 0;
    }
}

#ifndef LT_REAL64
/* Over bfloat16. */
void LT_K(dropout_low)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_dropout *a = args;
    vf scale = vset((float)a->scale);

    for (int64_t n = begin; n < end; n++) {
        const uint16_t *x = (const uint16_t *)(const void *)a->x + n * a->per;
        uint16_t *y = (uint16_t *)(void *)a->y + n * a->per;
        const uint8_t *mask = a->mask + n * a->per;

        for (int64_t i = 0; i < a->per; i += VW) {
            int k = a->per - i < VW ? (int)(a->per - i) : VW;
            uint8_t keep[VW] = {0};

            memcpy(keep, mask + i, (size_t)k);
            vst_low(y + i, vsel(vieq(vu8ld(keep), viset(0)), vzero(), vld_low(x + i, k) * scale), k);
        }
    }
}
#endif
