/* philox.h - counter-based random numbers: Philox4x32-10
 * (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC11)
 *
 * A number is a function of (seed, purpose, stream, a, b, element); nothing is remembered, so neither
 * ranks, threads, restarts nor the order of calls change what is drawn.
 */
#ifndef LT_BASE_PHILOX_H
#define LT_BASE_PHILOX_H

#include <stdint.h>

enum lt_rng_purpose {
    LT_RNG_INIT = 1,   /* a: 0;              b: 0 */
    LT_RNG_SHUFFLE,    /* a: epoch;          b: number of the draw */
    LT_RNG_DROPOUT,    /* a: optimiser step; b: global sample index */
    LT_RNG_TRANSFORM,  /* a: epoch;          b: global sample index */
};

/* One stream: key = f(seed, purpose, hash of a name). */
struct lt_rng {
    uint32_t key[2];
};
/* The published function itself, for known answers and vector kernels. */
void lt_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
struct lt_rng lt_rng_make(uint64_t seed, enum lt_rng_purpose purpose, uint64_t name_hash);
/* Four 32-bit words for counter (a, b, block): a and b are cut to 48 bits, block to 32. */
void lt_rng_block(const struct lt_rng *r, uint64_t a, uint64_t b, uint32_t block, uint32_t out[4]);
/* Uniform in [0, 1), 24 bits; element i of (a, b) is word i % 4 of block i / 4. */
float lt_rng_uniform(const struct lt_rng *r, uint64_t a, uint64_t b, uint32_t element);
/* Uniform in [0, n), without bias: words 0, 1 of block 0 as one 64-bit number, then words 2, 3, then
 * further blocks while a number falls below 2^64 mod n. n 0 gives 0. */
uint64_t lt_rng_below(const struct lt_rng *r, uint64_t a, uint64_t b, uint64_t n);
/* Standard normal (Box-Muller on words 0, 1 and 2, 3 of a block: cosine, sine), element i is number i % 4 of
 * block i / 4. */
double lt_rng_normal(const struct lt_rng *r, uint64_t a, uint64_t b, uint32_t element);

#endif
