/* sha256.c - libcrypto's EVP; it fails only without memory, which ends the process as in base/mem.h */
#include "sys/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include "base/mem.h"

struct lt_sha256 {
    EVP_MD_CTX *ctx;
};

static void must(int ok)
{
    if (!ok)
        abort();
}

struct lt_sha256 *lt_sha256_new(void)
{
    struct lt_sha256 *h = lt_calloc(1, sizeof *h);

    h->ctx = EVP_MD_CTX_new();
    must(h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
    return h;
}

void lt_sha256_add(struct lt_sha256 *h, const void *data, size_t n)
{
    must(EVP_DigestUpdate(h->ctx, data, n));
}

void lt_sha256_hex(struct lt_sha256 *h, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    must(EVP_DigestFinal_ex(h->ctx, md, &n) && n == 32);
    for (unsigned i = 0; i < 32; i++) {
        out[2 * i] = digits[md[i] >> 4];
        out[2 * i + 1] = digits[md[i] & 15];
    }
    out[64] = '\0';
}

void lt_sha256_free(struct lt_sha256 *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    lt_free(h);
}

void lt_sha256_hex_of(const void *data, size_t n, char out[65])
{
    LT_AUTO(lt_sha256_free) struct lt_sha256 *h = lt_sha256_new();

    lt_sha256_add(h, data, n);
    lt_sha256_hex(h, out);
}
