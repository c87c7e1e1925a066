/* list_checkpoints.c - a job's checkpoints, oldest first */
#include "base/arena.h"
#include "daemon/rpc/common.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const Lt__V1__JobFold *fold = lt_call_job(call, ((Lt__V1__JobRequest *)m)->job_id);
    Lt__V1__ListCheckpointsResponse r = LT__V1__LIST_CHECKPOINTS_RESPONSE__INIT;

    if (!fold)
        return;
    lt_core_checkpoints(fold, &r, arena);
    lt_rpc_reply(call, &r.base);
}

const struct lt_rpc_method lt_method_list_checkpoints = {
    .path = "/lt.v1.Jobs/ListCheckpoints",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__job_request__descriptor,
    .out = &lt__v1__list_checkpoints_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
