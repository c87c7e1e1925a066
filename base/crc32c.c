/* crc32c.c - the CPU's instruction where there is one, else eight bytes a step by tables
 *
 * The tables are filled before main(): no lock, no first-use race, 8 KiB, microseconds.
 */
#include "base/crc32c.h"

#include <string.h>

#define POLY 0x82f63b78u /* 0x1edc6f41 reflected */
#define MASK_DELTA 0xa282ead8u /* TFRecord: rotate right by 15, add this */

static uint32_t table[8][256];

__attribute__((constructor)) static void table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ POLY : c >> 1;
        table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
}

static uint32_t crc_tables(uint32_t c, const unsigned char *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t a = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                          (uint32_t)p[3] << 24);

        c = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^
            table[4][a >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; n; n--, p++)
        c = c >> 8 ^ table[0][(c ^ *p) & 255];
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const unsigned char *p,
                                                            size_t n)
{
    uint64_t wide = c;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;

        memcpy(&v, p, sizeof v);
        wide = __builtin_ia32_crc32di(wide, v);
    }
    c = (uint32_t)wide;
    for (; n; n--, p++)
        c = __builtin_ia32_crc32qi(c, *p);
    return c;
}
#endif

uint32_t lt_crc32c(uint32_t crc, const void *data, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_sse42(~crc, data, n);
#endif
    return lt_crc32c_portable(crc, data, n);
}

uint32_t lt_crc32c_portable(uint32_t crc, const void *data, size_t n)
{
    return ~crc_tables(~crc, data, n);
}

uint32_t lt_crc32c_masked(const void *data, size_t n)
{
    uint32_t c = lt_crc32c(0, data, n);

    return (c >> 15 | c << 17) + MASK_DELTA;
}
