/* fuzz_safetensors.c - any bytes as a safetensors file: what is accepted tiles the data, and writes back as such */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "base/buf.h"
#include "base/mem.h"
#include "engine/train/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte behind the header belongs to exactly one tensor. */
static void tiles(const struct lt_safetensors *s, const uint8_t *data, size_t size)
{
    uint64_t header;
    uint8_t *owned;

    memcpy(&header, data, sizeof header);
    owned = lt_calloc(size + 1, 1);
    for (int i = 0; i < lt_safetensors_count(s); i++) {
        const struct lt_tensor *t = lt_safetensors_at(s, i);
        size_t from = (size_t)((const uint8_t *)t->data - data);

        assert(from >= 8 + header && from <= size && t->bytes <= size - from);
        for (size_t k = from; k < from + t->bytes; k++)
            assert(owned[k]++ == 0);
        assert(lt_safetensors_find(s, t->name) == t);
    }
    for (size_t k = 8 + (size_t)header; k < size; k++)
        assert(owned[k] == 1);
    lt_free(owned);
}

static void comes_back(const struct lt_safetensors *s)
{
    int n = lt_safetensors_count(s);
    struct lt_tensor *t = lt_malloc(((size_t)n + 1) * sizeof *t);
    LT_BUF_AUTO out = {0};
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *again = NULL;
    int rc;

    for (int i = 0; i < n; i++)
        t[i] = *lt_safetensors_at(s, i);
    lt_tensors_sort(t, n);
    lt_safetensors_header(t, n, &out);
    for (int i = 0; i < n; i++)
        lt_buf_append(&out, t[i].data, t[i].bytes);
    rc = lt_safetensors_parse(out.data, out.len, "again", &again, NULL);
    assert(rc == 0 && lt_safetensors_count(again) == n);
    for (int i = 0; i < n; i++) {
        const struct lt_tensor *b = lt_safetensors_at(again, i);

        assert(strcmp(b->name, t[i].name) == 0 && b->dtype == t[i].dtype && b->bytes == t[i].bytes);
        assert(b->bytes == 0 || memcmp(b->data, t[i].data, b->bytes) == 0);
    }
    lt_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *s = NULL;

    if (lt_safetensors_parse(data, size, "input", &s, NULL) < 0)
        return 0;
    tiles(s, data, size);
    comes_back(s);
    return 0;
}
