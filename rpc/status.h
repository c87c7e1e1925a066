/* status.h - how a call ended: a gRPC code, a sentence, and the problems it is about
 *
 * On the wire: status, message, and google.rpc.Status in the trailer grpc-status-details-bin, whose
 * details are lt.v1.Problem messages in google.protobuf.Any; at most LT_RPC_DETAILS_MAX bytes,
 * further problems are left out.
 */
#ifndef LT_RPC_STATUS_H
#define LT_RPC_STATUS_H

#include <stdarg.h>
#include <stddef.h>
#include "base/problem.h"

struct lt_buf;

#define LT_RPC_DETAILS_MAX 2048

/* gRPC's numbers. */
enum lt_rpc_code {
    LT_RPC_OK = 0,
    LT_RPC_CANCELLED = 1,
    LT_RPC_UNKNOWN = 2,
    LT_RPC_INVALID_ARGUMENT = 3,
    LT_RPC_DEADLINE_EXCEEDED = 4,
    LT_RPC_NOT_FOUND = 5,
    LT_RPC_ALREADY_EXISTS = 6,
    LT_RPC_PERMISSION_DENIED = 7,
    LT_RPC_RESOURCE_EXHAUSTED = 8,
    LT_RPC_FAILED_PRECONDITION = 9,
    LT_RPC_ABORTED = 10,
    LT_RPC_OUT_OF_RANGE = 11,
    LT_RPC_UNIMPLEMENTED = 12,
    LT_RPC_INTERNAL = 13,
    LT_RPC_UNAVAILABLE = 14,
    LT_RPC_DATA_LOSS = 15,
    LT_RPC_UNAUTHENTICATED = 16,
    LT_RPC_CODE_N
};

struct lt_rpc_status {
    enum lt_rpc_code code;
    char text[512];
    struct lt_problems problems;
};

/* Zero-initialised is OK without text. */
void lt_rpc_status_done(struct lt_rpc_status *s); /* frees the problems; s is OK again */
const char *lt_rpc_code_name(enum lt_rpc_code c); /* "NOT_FOUND" */
/* -errno that stands for a code (0 for OK): NOT_FOUND -ENOENT, UNAVAILABLE -ECONNREFUSED, … */
int lt_rpc_code_errno(enum lt_rpc_code c);
/* The code that tells of an -errno: -ENOENT NOT_FOUND, -EINVAL INVALID_ARGUMENT, … INTERNAL for the
 * rest. */
enum lt_rpc_code lt_rpc_code_of_errno(int rc);

/* google.rpc.Status bytes. */
void lt_rpc_status_pack(const struct lt_rpc_status *s, struct lt_buf *out);
/* Reads them; garbage is left alone. Adds to s->problems. */
void lt_rpc_status_unpack(struct lt_rpc_status *s, const void *data, size_t n);

#endif
