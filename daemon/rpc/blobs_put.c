/* blobs_put.c - a file by its content: chunks in, hash out; durable when answered */
#include "base/error.h"
#include "daemon/rpc/common.h"
#include "daemon/store/blobs.h"
#include "lt/v1/blobs.pb-c.h"

#define BLOB_MAX (16ull << 30)

static void finish(struct lt_rpc_call *call, struct lt_blob_writer *w)
{
    Lt__V1__PutResponse r = LT__V1__PUT_RESPONSE__INIT;
    struct lt_error err = {0};
    char hash[65];
    uint64_t size;
    int rc;

    lt_rpc_call_set(call, NULL);
    rc = lt_blob_writer_finish(w, hash, &size, &err);
    if (rc < 0) {
        lt_call_error(call, rc, err.text);
        return;
    }
    r.hash = hash;
    r.has_size = true;
    r.size = size;
    lt_rpc_reply(call, &r.base);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    struct lt_blob_writer *w = lt_rpc_call_get(call);
    struct lt_error err = {0};
    int rc = 0;

    if (!w) {
        rc = lt_blob_writer_open(lt_coord_blobs(lt_call_coord(call)), BLOB_MAX, &w, &err);
        if (rc == 0)
            lt_rpc_call_set(call, w);
    }
    if (rc == 0 && m) {
        const ProtobufCBinaryData *data = &((Lt__V1__PutRequest *)m)->data;

        rc = lt_blob_writer_add(w, data->data, data->len, &err);
    }
    if (rc < 0)
        lt_call_error(call, rc, err.text);
    else if (!m)
        finish(call, w);
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    (void)cancelled;
    lt_blob_writer_close(lt_rpc_call_get(call));
}

const struct lt_rpc_method lt_method_blobs_put = {
    .path = "/lt.v1.Blobs/Put",
    .kind = LT_RPC_CLIENT_STREAM,
    .in = &lt__v1__put_request__descriptor,
    .out = &lt__v1__put_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_SUBMIT,
    .closed = closed,
    .max_request = 1u << 20,
};
