/* nodes_undrain.c - a node takes work again */
#include "daemon/rpc/common.h"
#include "lt/v1/nodes.pb-c.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    lt_ask_node(call, ((Lt__V1__NodeRequest *)m)->node, LT_IN_UNDRAIN);
}

const struct lt_rpc_method lt_method_nodes_undrain = {
    .path = "/lt.v1.Nodes/Undrain",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__node_request__descriptor,
    .out = &lt__v1__node_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_NODES,
    .closed = lt_ask_closed,
};
