/* nodes_get.c - one node */
#include "base/arena.h"
#include "daemon/rpc/common.h"
#include "lt/v1/nodes.pb-c.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const Lt__V1__NodeStatus *node = lt_call_node(call, ((Lt__V1__NodeRequest *)m)->node, arena);

    if (node)
        lt_rpc_reply(call, &node->base);
}

const struct lt_rpc_method lt_method_nodes_get = {
    .path = "/lt.v1.Nodes/Get",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__node_request__descriptor,
    .out = &lt__v1__node_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
