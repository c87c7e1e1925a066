/* blobs_get.c - a blob's bytes, 64 KiB a message, as fast as they are taken */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"
#include "daemon/rpc/common.h"
#include "daemon/store/blobs.h"
#include "lt/v1/blobs.pb-c.h"
#include "sys/file.h"

#define CHUNK (64u << 10)

/* The open file's number + 1 is the call's own data. */
static int file_of(const struct lt_rpc_call *call)
{
    return (int)(intptr_t)lt_rpc_call_get(call) - 1;
}

static void pump(struct lt_rpc_call *call)
{
    Lt__V1__GetResponse r = LT__V1__GET_RESPONSE__INIT;
    uint8_t data[CHUNK];
    ssize_t n = 1;

    while (n > 0 && lt_rpc_room(call)) {
        n = read(file_of(call), data, sizeof data);
        r.has_data = n > 0;
        r.data = (ProtobufCBinaryData){n > 0 ? (size_t)n : 0, data};
        if (n > 0)
            lt_rpc_send(call, &r.base);
    }
    if (n == 0)
        lt_rpc_finish(call, LT_RPC_OK, "%s", "");
    else if (n < 0)
        lt_call_error(call, -errno, NULL);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const char *hash = ((Lt__V1__GetRequest *)m)->hash, *dir = lt_coord_blobs(lt_call_coord(call));
    LT_AUTO(lt_free) char *path = lt_blob_path(dir, hash ? hash : "");
    struct lt_error err = {0};
    uint64_t size;
    int fd = path ? lt_blob_stat_owned(dir, hash, lt_rpc_call_peer(call)->uid, &size, &err)
                  : -ENOENT;

    if (fd == 0)
        fd = lt_file_open(path, O_RDONLY, 0, &err);

    if (fd == -ENOENT) {
        lt_rpc_finish(call, LT_RPC_NOT_FOUND, "there is no blob %s", hash ? hash : "");
        return;
    }
    if (fd < 0) {
        lt_call_error(call, fd, err.text);
        return;
    }
    lt_rpc_call_set(call, (void *)(intptr_t)(fd + 1));
    pump(call);
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    (void)cancelled;
    if (file_of(call) >= 0)
        close(file_of(call));
}

const struct lt_rpc_method lt_method_blobs_get = {
    .path = "/lt.v1.Blobs/Get",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &lt__v1__get_request__descriptor,
    .out = &lt__v1__get_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
    .writable = pump,
    .closed = closed,
};
