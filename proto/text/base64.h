/* base64.h - bytes in text (RFC 4648, padded) */
#ifndef LT_PROTO_TEXT_BASE64_H
#define LT_PROTO_TEXT_BASE64_H

#include <protobuf-c/protobuf-c.h>

struct lt_arena;
struct lt_buf;

void lt_base64_print(const ProtobufCBinaryData *bytes, struct lt_buf *out);
/* 0, -EINVAL or -ENOMEM; the bytes are the arena's. */
int lt_base64_read(const char *text, struct lt_arena *arena, ProtobufCBinaryData *out);

#endif
