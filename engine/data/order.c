/* order.c - which sample stands where
 *
 * Everything is a function of (seed, epoch, position), so a restart, another thread count or a
 * longer run sees the same order. Draw i of an epoch has a counter of its own: nothing depends on
 * the draws before it.
 */
#include "engine/data/order.h"

#include "base/auto.h"
#include "base/philox.h"

void lt_order_shuffle(uint32_t *perm, uint32_t n, uint64_t seed, uint64_t epoch)
{
    struct lt_rng rng = lt_rng_make(seed, LT_RNG_SHUFFLE, 0);

    for (uint32_t i = 0; i < n; i++)
        perm[i] = i;
    for (uint32_t i = n; i-- > 1;) {
        uint32_t j = (uint32_t)lt_rng_below(&rng, epoch, i, (uint64_t)i + 1);
        uint32_t t = perm[i];

        perm[i] = perm[j];
        perm[j] = t;
    }
}

static uint64_t global_batch(const struct lt_order *o)
{
    return o->batch_size * o->world;
}

uint64_t lt_order_batches(const struct lt_order *o)
{
    uint64_t full = o->samples / global_batch(o);

    return full + (!o->drop_last && o->samples % global_batch(o) ? 1 : 0);
}

/* Samples of a batch over all ranks. */
static uint64_t global_size(const struct lt_order *o, uint64_t batch)
{
    uint64_t first = batch * global_batch(o);

    return first < o->samples ? LT_MIN(global_batch(o), o->samples - first) : 0;
}

uint64_t lt_order_size(const struct lt_order *o, uint64_t batch)
{
    return (global_size(o, batch) + o->world - 1) / o->world;
}

void lt_order_batch(const struct lt_order *o, uint64_t batch, uint32_t *position, float *weight)
{
    uint64_t first = batch * global_batch(o), total = global_size(o, batch),
             mine = lt_order_size(o, batch);

    for (uint64_t i = 0; i < mine; i++) {
        uint64_t at = i * o->world + o->rank;

        weight[i] = at < total ? 1.0f : 0.0f;
        position[i] = (uint32_t)(first + (at < total ? at : 0));
    }
}
