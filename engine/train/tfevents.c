/* tfevents.c - events as protobuf by hand, framed as TFRecords */
#include "engine/train/tfevents.h"

#include <string.h>

#include "base/buf.h"
#include "base/crc32c.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
#define SESSION_START 1

static void varint(struct lt_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        lt_buf_char(b, (char)(v | 0x80));
    lt_buf_char(b, (char)v);
}

static void key(struct lt_buf *b, int field, int type)
{
    varint(b, (uint64_t)field << 3 | (uint64_t)type);
}

static void bytes_field(struct lt_buf *b, int field, const void *data, size_t n)
{
    key(b, field, BYTES);
    varint(b, n);
    lt_buf_append(b, data, n);
}

static void event_head(struct lt_buf *b, double wall_time, int64_t step)
{
    uint64_t bits;

    memcpy(&bits, &wall_time, sizeof bits);
    key(b, 1, FIXED64);
    lt_buf_u64(b, bits);
    if (step) {
        key(b, 2, VARINT);
        varint(b, (uint64_t)step);
    }
}

static void record(const struct lt_buf *event, struct lt_buf *out)
{
    LT_BUF_AUTO length = {0};

    lt_buf_u64(&length, event->len);
    lt_buf_append(out, length.data, length.len);
    lt_buf_u32(out, lt_crc32c_masked(length.data, length.len));
    lt_buf_append(out, event->data, event->len);
    lt_buf_u32(out, lt_crc32c_masked(event->data, event->len));
}

void lt_tfevents_version(double wall_time, struct lt_buf *out)
{
    static const char version[] = "brain.Event:2";
    LT_BUF_AUTO event = {0};

    event_head(&event, wall_time, 0);
    bytes_field(&event, 3, version, sizeof version - 1);
    record(&event, out);
}

void lt_tfevents_purge(double wall_time, int64_t step, struct lt_buf *out)
{
    LT_BUF_AUTO event = {0};
    LT_BUF_AUTO log = {0};

    event_head(&event, wall_time, step);
    key(&log, 1, VARINT);
    varint(&log, SESSION_START);
    bytes_field(&event, 7, log.data, log.len);
    record(&event, out);
}

void lt_tfevents_scalar(double wall_time, int64_t step, const char *tag, float value,
                        struct lt_buf *out)
{
    LT_BUF_AUTO event = {0};
    LT_BUF_AUTO summary = {0};
    LT_BUF_AUTO one = {0};
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    bytes_field(&one, 1, tag, strlen(tag));
    key(&one, 2, FIXED32);
    lt_buf_u32(&one, bits);
    bytes_field(&summary, 1, one.data, one.len);
    event_head(&event, wall_time, step);
    bytes_field(&event, 5, summary.data, summary.len);
    record(&event, out);
}
