/* nodes_list.c - the nodes that were seen since the start */
#include "base/arena.h"
#include "daemon/rpc/common.h"
#include "lt/v1/nodes.pb-c.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const struct lt_core *core = lt_call_core(call);
    Lt__V1__NodesListResponse r = LT__V1__NODES_LIST_RESPONSE__INIT;

    (void)m;
    if (!core)
        return;
    lt_core_nodes(core, &r, arena);
    lt_rpc_reply(call, &r.base);
}

const struct lt_rpc_method lt_method_nodes_list = {
    .path = "/lt.v1.Nodes/List",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__nodes_list_request__descriptor,
    .out = &lt__v1__nodes_list_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
