/* methods.c - the table, and who has which rights */
#include "daemon/rpc/methods.h"

#include <stddef.h>
#include "daemon/rpc/rpc_list.h"

#define X(name) extern const struct lt_rpc_method lt_method_##name;
LT_METHODS
#undef X

#define X(name) &lt_method_##name,
const struct lt_rpc_method *const lt_methods[] = {
    LT_METHODS & lt_rpc_health_check,
    &lt_rpc_health_watch,
    &lt_rpc_reflection,
    &lt_rpc_reflection_v1alpha,
    NULL,
};
#undef X

unsigned lt_service_rights(void *service, const struct lt_rpc_peer *peer)
{
    const struct lt_service *s = service;
    unsigned all = peer->by_token ? ~(unsigned)LT_RIGHT_AGENT : ~0u;

    return peer->uid == s->owner || peer->uid == 0 ? all : 0;
}
