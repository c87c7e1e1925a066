/* idx.c - header of an idx file
 *
 * Everything is checked before anything is believed: the sizes multiply without overflow and are
 * exactly the bytes that are there, so that later reads need no check.
 */
#include "engine/data/idx.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define UNSIGNED_BYTE 0x08

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int idx_magic(const uint8_t *p, size_t n, const char *path, struct lt_error *err)
{
    if (n < 4)
        return lt_error_set(err, -EPROTO, "%s: truncated idx file: %zu bytes, not even a header",
                            path, n);
    if (p[0] || p[1])
        return lt_error_set(err, -EPROTO,
                            "%s: not an idx file (magic %02x%02x%02x%02x, expected 000008…)", path,
                            p[0], p[1], p[2], p[3]);
    if (p[2] != UNSIGNED_BYTE)
        return lt_error_set(
            err, -EPROTO,
            "%s: idx element type 0x%02x is not supported, only unsigned bytes (0x08)", path, p[2]);
    if (p[3] < 1 || p[3] > LT_IDX_DIMS)
        return lt_error_set(err, -EPROTO, "%s: idx file with %d dimensions, expected 1 to %d", path,
                            p[3], LT_IDX_DIMS);
    if (n < 4 + 4 * (size_t)p[3])
        return lt_error_set(err, -EPROTO,
                            "%s: truncated idx file: %zu bytes, the header alone has %d", path, n,
                            4 + 4 * p[3]);
    return 0;
}

int lt_idx_parse(const void *bytes, size_t n, const char *path, struct lt_idx *out,
                 struct lt_error *err)
{
    const uint8_t *p = bytes;
    struct lt_idx idx = {.item_bytes = 1};
    size_t header, total;
    int rc = idx_magic(p, n, path, err);

    if (rc < 0)
        return rc;
    idx.ndim = p[3];
    header = 4 + 4 * (size_t)idx.ndim;
    for (int d = 0; d < idx.ndim; d++) {
        idx.dim[d] = be32(p + 4 + 4 * d);
        if (d > 0 && __builtin_mul_overflow(idx.item_bytes, (size_t)idx.dim[d], &idx.item_bytes))
            return lt_error_set(err, -EPROTO, "%s: idx dimensions overflow", path);
    }
    if (__builtin_mul_overflow(idx.item_bytes, (size_t)idx.dim[0], &total) ||
        total > SIZE_MAX - header)
        return lt_error_set(err, -EPROTO, "%s: idx dimensions overflow", path);
    if (n - header != total)
        return lt_error_set(err, -EPROTO,
                            "%s: %s idx file: %zu bytes of data, its header promises %zu", path,
                            n - header < total ? "truncated" : "overlong", n - header, total);
    idx.data = p + header;
    *out = idx;
    return 0;
}
