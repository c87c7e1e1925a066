/* str.c - text predicates, spelling suggestions, hashing
 *
 * Numbers as text live in number.c.
 */
#include "base/str.h"

#include <string.h>
#include "base/auto.h"

#define SUGGEST_MAX 64 /* longer words get no suggestion: the table below is quadratic */

bool lt_str_eq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool lt_str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool lt_str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);

    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* Bytes of the sequence that starts at s (n are left), 0 if it isn't well-formed (Unicode table 3-7). */
static size_t utf8_step(const unsigned char *s, size_t n)
{
    unsigned char c = s[0], low = 0x80, high = 0xbf;
    size_t len;

    if (c >= 0x01 && c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (len > n)
        return 0;
    if (c == 0xe0)
        low = 0xa0; /* overlong */
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xed)
        high = 0x9f; /* surrogates */
    else if (c == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

bool lt_utf8_valid(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;

    while (n) {
        size_t step = utf8_step(p, n);

        if (!step)
            return false;
        p += step;
        n -= step;
    }
    return true;
}

/* Edit distance with neighbours swapped as one edit (optimal string alignment). */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][SUGGEST_MAX + 1];
    size_t *before = row[0], *prev = row[1], *cur = row[2];

    for (size_t j = 0; j <= m; j++)
        prev[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *spare = before;

        cur[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t d = LT_MIN(prev[j], cur[j - 1]) + 1;

            d = LT_MIN(d, prev[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = LT_MIN(d, before[j - 2] + 1);
            cur[j] = d;
        }
        before = prev;
        prev = cur;
        cur = spare;
    }
    return prev[m];
}

const char *lt_suggest(const char *word, const char *const *candidates, size_t n)
{
    size_t len = strnlen(word, SUGGEST_MAX + 1);
    size_t best = LT_MAX(len / 3, (size_t)2) + 1;
    const char *found = NULL;

    if (len == 0 || len > SUGGEST_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strnlen(candidates[i], SUGGEST_MAX + 1);
        size_t d;

        if (m > SUGGEST_MAX)
            continue;
        d = distance(word, len, candidates[i], m);
        if (d < best && d < LT_MAX(len, m)) { /* nothing in common is no suggestion */
            best = d;
            found = candidates[i];
        }
    }
    return found;
}

uint64_t lt_hash64(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}
