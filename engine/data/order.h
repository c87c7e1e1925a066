/* order.h - which sample stands where (docs/data.md, Order) */
#ifndef LT_DATA_ORDER_H
#define LT_DATA_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* The permutation of 0 … n-1 that belongs to (seed, epoch): Fisher-Yates from the end, its draws
 * from Philox. */
void lt_order_shuffle(uint32_t *perm, uint32_t n, uint64_t seed, uint64_t epoch);

struct lt_order {
    uint64_t samples;
    uint64_t batch_size; /* of one rank */
    uint32_t rank, world;
    bool drop_last;
};

uint64_t lt_order_batches(const struct lt_order *o); /* of an epoch */
uint64_t lt_order_size(const struct lt_order *o,
                       uint64_t batch); /* this rank's samples of it, weightless ones too */
/* Positions in the permutation of this rank's samples of a batch, and their weights (0: takes part
 * for its shape only). */
void lt_order_batch(const struct lt_order *o, uint64_t batch, uint32_t *position, float *weight);

#endif
