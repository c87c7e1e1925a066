/* stop.c - finish the step, save a checkpoint, end */
#include "daemon/rpc/common.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    lt_ask_control(call, m, LT_IN_STOP);
}

const struct lt_rpc_method lt_method_stop = {
    .path = "/lt.v1.Jobs/Stop",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__job_request__descriptor,
    .out = &lt__v1__job_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_CONTROL,
    .closed = lt_ask_closed,
};
