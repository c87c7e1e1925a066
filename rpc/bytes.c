/* bytes.c - one copy at most: packing goes straight into a slice, fragments are joined once */
#include "rpc/bytes.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "proto/wire.h"

#include <errno.h>

#define ARENA_BASE (64u << 10)
#define ARENA_PER_BYTE 32u
#define ARENA_MAX (16u << 20)

grpc_byte_buffer *lt_bytes_encode(const ProtobufCMessage *m, size_t *len)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    grpc_slice slice = grpc_slice_malloc(n);
    grpc_byte_buffer *b;

    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    *len = n;
    return b;
}

size_t lt_bytes_len(grpc_byte_buffer *b)
{
    return grpc_byte_buffer_length(b);
}

int lt_bytes_decode(const ProtobufCMessageDescriptor *d, grpc_byte_buffer *b,
                    struct lt_arena *arena, ProtobufCMessage **out, struct lt_error *err)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;
    int rc;

    if (!grpc_byte_buffer_reader_init(&reader, b))
        return lt_error_set(err, -EPROTO, "the message can't be read");
    slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    rc = lt_wire_decode(d, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), arena, out, err);
    grpc_slice_unref(slice);
    return rc;
}

/* Small messages may unfold 32 times (protobuf-c's pointers and structs); a big one 3 times, which
 * a plan or a chunk of a file needs at most. */
size_t lt_bytes_arena_cap(size_t n)
{
    size_t grown = LT_MIN(ARENA_BASE + (size_t)ARENA_PER_BYTE * n, (size_t)ARENA_MAX);

    return LT_MAX(grown, ARENA_BASE + 3 * n);
}

void lt_bytes_text(grpc_slice s, char *out, size_t n)
{
    size_t len = LT_MIN(GRPC_SLICE_LENGTH(s), n - 1);

    memcpy(out, GRPC_SLICE_START_PTR(s), len);
    out[len] = '\0';
}
