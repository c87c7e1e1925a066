/* crc32c.h - Castagnoli CRC (RFC 3720), as in journals, event rows, TensorBoard records */
#ifndef LT_BASE_CRC32C_H
#define LT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue with crc from an earlier call; start with 0. */
uint32_t lt_crc32c(uint32_t crc, const void *data, size_t n);
/* The same without the CPU's own instruction: what lt_crc32c() does elsewhere, and is tested against. */
uint32_t lt_crc32c_portable(uint32_t crc, const void *data, size_t n);
/* TensorBoard's and TFRecord's masked form. */
uint32_t lt_crc32c_masked(const void *data, size_t n);

#endif
