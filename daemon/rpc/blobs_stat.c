/* blobs_stat.c - is a blob there? */
#include <errno.h>
#include "base/error.h"
#include "daemon/rpc/common.h"
#include "daemon/store/blobs.h"
#include "lt/v1/blobs.pb-c.h"

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    Lt__V1__StatResponse r = LT__V1__STAT_RESPONSE__INIT;
    const char *hash = ((Lt__V1__StatRequest *)m)->hash;
    struct lt_error err = {0};
    uint64_t size = 0;
    int rc = lt_blob_stat(lt_coord_blobs(lt_call_coord(call)), hash ? hash : "", &size, &err);

    if (rc < 0 && rc != -ENOENT) {
        lt_call_error(call, rc, err.text);
        return;
    }
    r.has_exists = r.has_size = true;
    r.exists = rc == 0;
    r.size = size;
    lt_rpc_reply(call, &r.base);
}

const struct lt_rpc_method lt_method_blobs_stat = {
    .path = "/lt.v1.Blobs/Stat",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__stat_request__descriptor,
    .out = &lt__v1__stat_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
