/* fuzz_metric_lines.c - any bytes in LTD_METRICS_FD, in any pieces: the same values, none of them beyond its bounds */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "base/auto.h"
#include "engine/train/metric_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t n, hash;
};

static void take(void *arg, const struct lt_metric_value *v)
{
    struct sum *s = arg;
    uint64_t bits;

    assert(lt_metric_name_valid(v->name, strlen(v->name)));
    memcpy(&bits, &v->value, sizeof bits);
    s->n++;
    s->hash = s->hash * 31 + strlen(v->name) + bits + v->step;
}

static struct sum read_in(const uint8_t *data, size_t size, size_t piece, uint64_t *garbage)
{
    struct lt_metric_lines m = {0};
    struct sum s = {0};

    for (size_t at = 0; at < size; at += piece)
        lt_metric_lines_take(&m, (const char *)data + at, LT_MIN(piece, size - at), 1, take, &s);
    lt_metric_lines_end(&m, take, &s);
    assert(strlen(m.example) < sizeof m.example && (m.garbage > 0 || !m.example[0]));
    *garbage = m.garbage;
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t garbage[2];
    struct sum whole, pieces;

    if (size == 0)
        return 0;
    whole = read_in(data, size, size, &garbage[0]);
    pieces = read_in(data, size, 1 + data[0] % 7, &garbage[1]);
    assert(whole.n == pieces.n && whole.hash == pieces.hash && garbage[0] == garbage[1]);
    return 0;
}
