/* philox.c - Philox4x32-10
 *
 * Counter words, lowest first: block, a[0..31], a[32..47] | b[0..15] << 16, b[16..47].
 */
#include "base/philox.h"

#include <math.h>
#include "base/auto.h"

#define M0 0xd2511f53u
#define M1 0xcd9e8d57u
#define W0 0x9e3779b9u
#define W1 0xbb67ae85u
#define ROUNDS 10

/* SplitMix64's finaliser: every bit of the input moves half of the output. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct lt_rng lt_rng_make(uint64_t seed, enum lt_rng_purpose purpose, uint64_t name_hash)
{
    uint64_t k = mix(mix(mix(seed) ^ (uint64_t)purpose) ^ name_hash);

    return (struct lt_rng){{(uint32_t)k, (uint32_t)(k >> 32)}};
}

void lt_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += W0;
        k1 += W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void lt_rng_block(const struct lt_rng *r, uint64_t a, uint64_t b, uint32_t block, uint32_t out[4])
{
    uint32_t counter[4] = {block, (uint32_t)a,
                           (uint32_t)(a >> 32 & 0xffff) | (uint32_t)(b & 0xffff) << 16,
                           (uint32_t)(b >> 16)};

    lt_philox4x32(counter, r->key, out);
}

float lt_rng_uniform(const struct lt_rng *r, uint64_t a, uint64_t b, uint32_t element)
{
    uint32_t w[4];

    lt_rng_block(r, a, b, element / 4, w);
    return (float)(w[element % 4] >> 8) * 0x1p-24f;
}

uint64_t lt_rng_below(const struct lt_rng *r, uint64_t a, uint64_t b, uint64_t n)
{
    uint64_t threshold = n ? (0 - n) % n : 0; /* 2^64 mod n: draws below it are rejected */

    for (uint32_t block = 0;; block++) {
        uint32_t w[4];

        lt_rng_block(r, a, b, block, w);
        for (int i = 0; i < 4; i += 2) {
            uint64_t v = (uint64_t)w[i + 1] << 32 | w[i];

            if (v >= threshold)
                return n ? v % n : 0;
        }
    }
}

double lt_rng_normal(const struct lt_rng *r, uint64_t a, uint64_t b, uint32_t element)
{
    uint32_t w[4];
    double radius, angle;
    unsigned pair = element % 4 & ~1u;

    lt_rng_block(r, a, b, element / 4, w);
    radius = sqrt(-2.0 * log(((double)w[pair] + 1.0) * 0x1p-32)); /* (0, 1] */
    angle = 6.283185307179586476925 * ((double)w[pair + 1] * 0x1p-32);
    return radius * (element % 2 ? sin(angle) : cos(angle));
}
