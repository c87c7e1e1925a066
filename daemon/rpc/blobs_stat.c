/* blobs_stat.c - is a blob of the caller's there? */
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
    const char *dir = lt_coord_blobs(lt_call_coord(call));
    int rc = lt_blob_stat_owned(dir, hash ? hash : "", lt_rpc_call_peer(call)->uid, &size, &err);

    if (rc < 0 && rc != -ENOENT) {
        lt_call_error(call, rc, err.text);
        return;
    }
    if (rc == 0)
        lt_blob_touch(dir, hash); /* who asks means to refer to it */
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
