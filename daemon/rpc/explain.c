/* explain.c - the first unmet need */
#include "base/buf.h"
#include "daemon/rpc/common.h"
#include "sys/clock.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, ((Lt__V1__JobRequest *)m)->job_id);
    Lt__V1__ExplainResponse r = LT__V1__EXPLAIN_RESPONSE__INIT;
    LT_BUF_AUTO text = {0};

    if (!fold)
        return;
    lt_core_explain(lt_coord_core(lt_call_coord(call)), fold, lt_clock_mono_ns(), &text);
    r.text = text.data;
    lt_rpc_reply(call, &r.base);
}

const struct lt_rpc_method lt_method_explain = {
    .path = "/lt.v1.Jobs/Explain",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__job_request__descriptor,
    .out = &lt__v1__explain_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
