/* events.c - a reader of event files that trusts nothing */
#include "tests/train/rig.h"

#include "tests/train/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t v = 0;

    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static uint64_t varint(const uint8_t **p)
{
    uint64_t v = 0;

    for (int shift = 0;; shift += 7) {
        uint8_t b = *(*p)++;

        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
}

/* One field: number and value; bytes fields give their content. */
struct field {
    int number;
    uint64_t value;
    const uint8_t *data;
    size_t n;
};

static const uint8_t *next_field(const uint8_t *p, struct field *f)
{
    uint64_t key = varint(&p);

    *f = (struct field){.number = (int)(key >> 3)};
    switch (key & 7) {
    case 0:
        f->value = varint(&p);
        break;
    case 1:
        f->value = number(p, 8);
        p += 8;
        break;
    case 5:
        f->value = number(p, 4);
        p += 4;
        break;
    case 2:
        f->n = varint(&p);
        f->data = p;
        p += f->n;
        break;
    default:
        fail_msg("wire type %d", (int)(key & 7));
    }
    return p;
}

static void scalar(const uint8_t *p, size_t n, int64_t step, struct lt_buf *out)
{
    struct field value, f;
    char tag[80] = "";
    float v = 0;

    next_field(p, &value);
    (void)n;
    for (const uint8_t *q = value.data; q < value.data + value.n;) {
        q = next_field(q, &f);
        if (f.number == 1)
            snprintf(tag, sizeof tag, "%.*s", (int)f.n, (const char *)f.data);
        if (f.number == 2)
            memcpy(&v, &(uint32_t){(uint32_t)f.value}, sizeof v);
    }
    lt_buf_printf(out, "%" PRId64 " %s %a\n", step, tag, v);
}

static void event(const uint8_t *p, size_t n, bool purges, struct lt_buf *out)
{
    const uint8_t *end = p + n;
    int64_t step = 0;
    struct field f;

    while (p < end) {
        p = next_field(p, &f);
        if (f.number == 2)
            step = (int64_t)f.value;
        if (f.number == 5)
            scalar(f.data, f.n, step, out);
        if (f.number == 7 && purges)
            lt_buf_printf(out, "purge %" PRId64 "\n", step);
    }
}

static void one_file(const struct lt_buf *bytes, bool purges, struct lt_buf *out)
{
    const uint8_t *p = (const uint8_t *)bytes->data, *end = p + bytes->len;

    while (p < end) {
        uint64_t n = number(p, 8);

        assert_int_equal(number(p + 8, 4), lt_crc32c_masked(p, 8));
        assert_true(p + 16 + n <= end);
        assert_int_equal(number(p + 12 + n, 4), lt_crc32c_masked(p + 12, n));
        event(p + 12, n, purges, out);
        p += 16 + n;
    }
}

void rig_events(const struct rig *r, bool purges, struct lt_buf *out)
{
    LT_BUF_AUTO names = {0};
    char *save = NULL;

    rig_list(r, "tensorboard", &names);
    for (char *name = strtok_r(names.data, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
        LT_AUTO(lt_free) char *path = lt_format("tensorboard/%s", name);
        LT_BUF_AUTO bytes = {0};

        rig_read(r, path, &bytes);
        one_file(&bytes, purges, out);
    }
}
