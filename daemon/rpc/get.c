/* get.c - one job's status */
#include "daemon/rpc/common.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    lt_reply_status(call, ((Lt__V1__JobRequest *)m)->job_id);
}

const struct lt_rpc_method lt_method_get = {
    .path = "/lt.v1.Jobs/Get",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__job_request__descriptor,
    .out = &lt__v1__job_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
