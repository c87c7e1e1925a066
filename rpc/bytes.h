/* bytes.h - messages to and from gRPC's byte buffers */
#ifndef LT_RPC_BYTES_H
#define LT_RPC_BYTES_H

#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct lt_arena;
struct lt_error;

/* *len: packed bytes. The caller destroys the buffer. */
grpc_byte_buffer *lt_bytes_encode(const ProtobufCMessage *m, size_t *len);
size_t lt_bytes_len(grpc_byte_buffer *b);
/* As lt_wire_decode(): the message lives in the arena. */
int lt_bytes_decode(const ProtobufCMessageDescriptor *d, grpc_byte_buffer *b,
                    struct lt_arena *arena, ProtobufCMessage **out, struct lt_error *err);
/* What an arena may hand out for a message of n bytes. */
size_t lt_bytes_arena_cap(size_t n);
/* Copies a slice as text, cut to n - 1 bytes. */
void lt_bytes_text(grpc_slice s, char *out, size_t n);

#endif
