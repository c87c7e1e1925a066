/* sha256.h - digests (libcrypto) */
#ifndef LT_SYS_SHA256_H
#define LT_SYS_SHA256_H

#include <stddef.h>
#include "base/auto.h"

struct lt_sha256;
struct lt_sha256 *lt_sha256_new(void);
void lt_sha256_add(struct lt_sha256 *h, const void *data, size_t n);
void lt_sha256_hex(struct lt_sha256 *h, char out[65]); /* ends it; lower-case hexadecimal */
void lt_sha256_free(struct lt_sha256 *h);
LT_DEFINE_AUTO(struct lt_sha256 *, lt_sha256_free)
void lt_sha256_hex_of(const void *data, size_t n, char out[65]);

#endif
