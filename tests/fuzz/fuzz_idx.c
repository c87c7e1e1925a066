/* fuzz_idx.c - any bytes as an idx file: what is accepted lies inside them */
#include <assert.h>
#include <stdint.h>
#include "engine/data/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_idx idx;
    size_t bytes;

    if (lt_idx_parse(data, size, "input", &idx, NULL) < 0)
        return 0;
    assert(idx.ndim >= 1 && idx.ndim <= LT_IDX_DIMS && idx.dim[0] >= 0);
    assert(!__builtin_mul_overflow((size_t)idx.dim[0], idx.item_bytes, &bytes));
    assert(idx.data >= data && idx.data <= data + size && bytes <= size - (size_t)(idx.data - data));
    return 0;
}
