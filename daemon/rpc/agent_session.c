/* agent_session.c - a node's session: every message goes to the coordinator, in order */
#include "daemon/rpc/common.h"
#include "lt/v1/agent.pb-c.h"

/* The session's number is the call's own data. */
static uint64_t session_of(const struct lt_rpc_call *call)
{
    return (uint64_t)(uintptr_t)lt_rpc_call_get(call);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    struct lt_coord *c = lt_call_coord(call);
    uint64_t session = session_of(call);

    if (!m) {
        lt_rpc_finish(call, LT_RPC_OK, "%s", "");
        return;
    }
    if (!session) {
        session = lt_coord_agent_open(c, call);
        if (!session) {
            lt_rpc_finish(call, LT_RPC_UNAVAILABLE, "the coordinator can't store anything: %s",
                          lt_coord_broken(c));
            return;
        }
        lt_rpc_call_set(call, (void *)(uintptr_t)session);
    }
    lt_coord_agent_message(c, session, (const Lt__V1__AgentMessage *)m);
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    (void)cancelled;
    if (session_of(call))
        lt_coord_agent_closed(lt_call_coord(call), session_of(call));
}

const struct lt_rpc_method lt_method_agent_session = {
    .path = "/lt.v1.Agent/Session",
    .kind = LT_RPC_BIDI,
    .in = &lt__v1__agent_message__descriptor,
    .out = &lt__v1__coordinator_message__descriptor,
    .msg = handle,
    .need = LT_RIGHT_AGENT,
    .closed = closed,
    .max_request = 5u << 20,
    .early = true,
};
