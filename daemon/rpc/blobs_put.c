/* blobs_put.c - a file by its content: chunks in, hash out; durable when answered
 *
 * The sync at the end may take long: it isn't the loop's (lt_coord_blob_finish). A call that ends
 * meanwhile leaves a blob that nobody refers to.
 */
#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "daemon/rpc/common.h"
#include "daemon/store/blobs.h"
#include "lt/v1/blobs.pb-c.h"

#define BLOB_MAX (16ull << 30)

struct put {
    struct lt_rpc_call *call; /* NULL: it is over */
    struct lt_blob_writer *w; /* NULL: being finished */
    char expected[65];        /* "": not said */
    bool finishing;
};

static void finished(void *arg, int rc, const char *hash, uint64_t size, const char *why)
{
    Lt__V1__PutResponse r = LT__V1__PUT_RESPONSE__INIT;
    struct put *p = arg;

    p->finishing = false;
    if (!p->call) {
        lt_free(p);
        return;
    }
    if (rc < 0) {
        lt_call_error(p->call, rc, why);
        return;
    }
    r.hash = (char *)hash;
    r.has_size = true;
    r.size = size;
    lt_rpc_reply(p->call, &r.base);
}

static void finish(struct put *p)
{
    struct lt_blob_writer *w = p->w;

    p->w = NULL;
    p->finishing = true;
    lt_coord_blob_finish(lt_call_coord(p->call), w, p->expected, lt_rpc_call_peer(p->call)->uid,
                         finished, p);
}

static int begin(struct lt_rpc_call *call, const Lt__V1__PutRequest *first, struct put **out,
                 struct lt_error *err)
{
    const char *hash = first && first->hash ? first->hash : "";
    const char *dir = lt_coord_blobs(lt_call_coord(call));
    LT_AUTO(lt_free) char *path = hash[0] ? lt_blob_path(dir, hash) : NULL;
    struct put *p;
    int rc;

    if (hash[0] && !path)
        return lt_error_set(err, -EINVAL, "hash: %.80s is not a SHA-256 in hexadecimal", hash);
    p = lt_calloc(1, sizeof *p);
    rc = lt_blob_writer_open(dir, BLOB_MAX, &p->w, err);
    if (rc < 0) {
        lt_free(p);
        return rc;
    }
    p->call = call;
    strcpy(p->expected, hash);
    lt_rpc_call_set(call, p);
    *out = p;
    return 0;
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__PutRequest *q = (const Lt__V1__PutRequest *)m;
    struct put *p = lt_rpc_call_get(call);
    struct lt_error err = {0};
    int rc = p ? 0 : begin(call, q, &p, &err);

    if (rc == 0 && q)
        rc = lt_blob_writer_add(p->w, q->data.data, q->data.len, &err);
    if (rc < 0)
        lt_call_error(call, rc, err.text);
    else if (!q)
        finish(p);
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct put *p = lt_rpc_call_get(call);

    (void)cancelled;
    if (!p)
        return;
    lt_blob_writer_close(p->w);
    p->w = NULL;
    p->call = NULL;
    if (!p->finishing)
        lt_free(p);
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
