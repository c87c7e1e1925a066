/* release.c - let a held job into the queue */
#include "daemon/rpc/common.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    lt_ask_control(call, m, LT_IN_RELEASE);
}

const struct lt_rpc_method lt_method_release = {
    .path = "/lt.v1.Jobs/Release",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__job_request__descriptor,
    .out = &lt__v1__job_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_CONTROL,
    .closed = lt_ask_closed,
};
