/* remove.c - an ended job leaves the list; the answer names it */
#include "daemon/rpc/common.h"

/* The job is gone when this runs. */
static void reply(struct lt_rpc_call *call, const char *job)
{
    Lt__V1__JobStatus status = LT__V1__JOB_STATUS__INIT;

    status.id = (char *)job;
    status.has_state = true;
    status.state = LT__V1__JOB_STATE__DONE;
    lt_rpc_reply(call, &status.base);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, ((Lt__V1__JobRequest *)m)->job_id);
    struct lt_core_input in = {.kind = LT_IN_REMOVE};

    if (!fold)
        return;
    in.job = fold->id;
    lt_ask(call, &in, reply);
}

const struct lt_rpc_method lt_method_remove = {
    .path = "/lt.v1.Jobs/Remove",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__job_request__descriptor,
    .out = &lt__v1__job_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_CONTROL,
    .closed = lt_ask_closed,
};
