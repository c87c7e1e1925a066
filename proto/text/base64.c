/* base64.c - RFC 4648; on reading, whole groups of four only */
#include "proto/text/base64.h"

#include <errno.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void lt_base64_print(const ProtobufCBinaryData *bytes, struct lt_buf *out)
{
    for (size_t i = 0; i < bytes->len; i += 3) {
        const size_t n = bytes->len - i < 3 ? bytes->len - i : 3;
        const uint32_t v = (uint32_t)bytes->data[i] << 16 |
                           (n > 1 ? (uint32_t)bytes->data[i + 1] << 8 : 0) |
                           (n > 2 ? bytes->data[i + 2] : 0);

        for (size_t k = 0; k < 4; k++)
            lt_buf_char(out, k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
    }
}

/* Three bytes of four digits; how many of them count, or 0. */
static size_t read_group(const char *s, uint8_t out[3])
{
    uint32_t v = 0;
    size_t pad = 0;

    for (size_t k = 0; k < 4; k++) {
        const char *d = s[k] ? strchr(digits, s[k]) : NULL;

        if (s[k] == '=' && k >= 2)
            pad++;
        else if (!d || pad)
            return 0;
        v = v << 6 | (d && s[k] != '=' ? (uint32_t)(d - digits) : 0);
    }
    out[0] = (uint8_t)(v >> 16);
    out[1] = (uint8_t)(v >> 8);
    out[2] = (uint8_t)v;
    return 3 - pad;
}

int lt_base64_read(const char *text, struct lt_arena *arena, ProtobufCBinaryData *out)
{
    const size_t n = strlen(text);
    uint8_t *bytes = lt_arena_alloc(arena, n / 4 * 3 + 3);
    size_t len = 0;

    if (!bytes)
        return -ENOMEM;
    if (n % 4)
        return -EINVAL;
    for (size_t i = 0; i < n; i += 4) {
        const size_t got = read_group(text + i, bytes + len);

        if (!got || (got < 3 && i + 4 < n))
            return -EINVAL;
        len += got;
    }
    *out = (ProtobufCBinaryData){.len = len, .data = bytes};
    return 0;
}
