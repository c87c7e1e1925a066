/* download.c - a checkpoint's files, or one of the run's folder, read through the job's node
 *
 * First a checkpoint's folder is listed, then every file is read to its end, at most one request in flight and
 * none while the reader is slow.
 */
#include <errno.h>
#include <string.h>
#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/rpc/common.h"

#define CHUNK (64u << 10)

struct download {
    struct lt_rpc_call *call;
    char *node, *run_dir, *folder; /* folder: of the checkpoint, relative to run_dir; or NULL */
    char **files;
    size_t n_files, at; /* at: the file that is being read */
    uint64_t offset;
    uint64_t request; /* in flight; 0: none */
    bool listed, begun, over;
};

static void got(void *arg, const Lt__V1__ReadReply *reply);

static void fail(struct download *d, enum lt_rpc_code code, const char *why)
{
    d->over = true;
    lt_rpc_finish(d->call, code, "%s/%s: %s", d->run_dir, d->listed ? d->files[d->at] : d->folder,
                  why);
}

static void finish(struct download *d)
{
    Lt__V1__DownloadResponse r = LT__V1__DOWNLOAD_RESPONSE__INIT;

    d->over = true;
    r.has_end = r.end = true;
    lt_rpc_send_always(d->call, &r.base);
    lt_rpc_finish(d->call, LT_RPC_OK, "%s", "");
}

static void ask(struct download *d)
{
    LT_AUTO(lt_free) char *path = NULL;
    struct lt_coord_read r = {
        .node = d->node, .run_dir = d->run_dir, .max_bytes = CHUNK, .offset = d->offset};

    if (d->over || d->request || !lt_rpc_room(d->call))
        return;
    if (d->listed && d->at == d->n_files) {
        finish(d);
        return;
    }
    path = d->listed && d->folder ? lt_format("%s/%s", d->folder, d->files[d->at]) : NULL;
    r.path = path ? path : d->listed ? d->files[d->at] : d->folder;
    d->request = lt_coord_read(lt_call_coord(d->call), &r, got, d);
    if (!d->request)
        fail(d, LT_RPC_UNAVAILABLE, "the node that has the files isn't connected");
}

/* Plain files; a checkpoint has no folders inside. */
static void take_list(struct download *d, const Lt__V1__ReadReply *reply)
{
    d->listed = true;
    d->files = lt_calloc(reply->n_entries + 1, sizeof *d->files);
    for (size_t i = 0; i < reply->n_entries; i++)
        if (!lt_str_ends(reply->entries[i], "/"))
            d->files[d->n_files++] = lt_strdup(reply->entries[i]);
}

static void take_bytes(struct download *d, const Lt__V1__ReadReply *reply)
{
    Lt__V1__DownloadResponse r = LT__V1__DOWNLOAD_RESPONSE__INIT;

    r.file = d->begun ? NULL : d->files[d->at];
    r.has_size = !d->begun;
    r.size = reply->size;
    r.has_data = reply->data.len > 0;
    r.data = reply->data;
    if (!d->begun || reply->data.len > 0)
        lt_rpc_send_always(d->call, &r.base);
    d->begun = true;
    d->offset += reply->data.len;
    if (d->offset >= reply->size || reply->data.len == 0) {
        d->at++;
        d->offset = 0;
        d->begun = false;
    }
}

static void got(void *arg, const Lt__V1__ReadReply *reply)
{
    struct download *d = arg;

    d->request = 0;
    if (!reply)
        fail(d, LT_RPC_UNAVAILABLE, "the node that has the files went away; try again");
    else if (reply->error == ENOENT)
        fail(d, LT_RPC_NOT_FOUND, d->folder ? "the checkpoint is no longer there" : "isn't there");
    else if (reply->error == EXDEV)
        fail(d, LT_RPC_INVALID_ARGUMENT, "leads out of the run's folder");
    else if (reply->error)
        fail(d, LT_RPC_INTERNAL, strerror((int)reply->error));
    else if (!d->listed)
        take_list(d, reply);
    else
        take_bytes(d, reply);
    ask(d);
}

/* Of the run's folder, the checkpoint's; NULL when the call has been answered. */
static const char *checkpoint_folder(struct lt_rpc_call *call, const Lt__V1__JobFold *fold,
                                     const char *name)
{
    const char *path = lt_call_checkpoint(call, fold, name, NULL);
    size_t run_len = strlen(fold->run_dir);

    if (path && (strncmp(path, fold->run_dir, run_len) != 0 || path[run_len] != '/')) {
        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION,
                      "%s lies outside the run's folder: copy it from there", path);
        return NULL;
    }
    return path ? path + run_len + 1 : NULL;
}

static struct download *begin(struct lt_rpc_call *call, const Lt__V1__JobFold *fold)
{
    const char *node = lt_core_job_node(lt_coord_core(lt_call_coord(call)), fold);
    struct download *d = lt_calloc(1, sizeof *d);

    d->call = call;
    d->node = node ? lt_strdup(node) : NULL;
    d->run_dir = lt_strdup(fold->run_dir);
    lt_rpc_call_set(call, d);
    return d;
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__DownloadRequest *q = (const Lt__V1__DownloadRequest *)m;
    const Lt__V1__JobFold *fold = lt_call_job(call, q->job_id);
    const char *folder = fold && !q->file ? checkpoint_folder(call, fold, q->checkpoint) : NULL;
    struct download *d;

    if (!fold || (!folder && !q->file))
        return;
    d = begin(call, fold);
    if (folder) {
        d->folder = lt_strdup(folder);
    } else {
        d->listed = true;
        d->files = lt_calloc(1, sizeof *d->files);
        d->files[d->n_files++] = lt_strdup(q->file);
    }
    ask(d);
}

static void writable(struct lt_rpc_call *call)
{
    ask(lt_rpc_call_get(call));
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct download *d = lt_rpc_call_get(call);

    (void)cancelled;
    if (!d)
        return;
    lt_coord_request_cancel(lt_call_coord(call), d->request);
    for (size_t i = 0; i < d->n_files; i++)
        lt_free(d->files[i]);
    lt_free(d->files);
    lt_free(d->node);
    lt_free(d->run_dir);
    lt_free(d->folder);
    lt_free(d);
}

const struct lt_rpc_method lt_method_download = {
    .path = "/lt.v1.Jobs/Download",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &lt__v1__download_request__descriptor,
    .out = &lt__v1__download_response__descriptor,
    .msg = handle,
    .writable = writable,
    .closed = closed,
    .need = LT_RIGHT_READ,
};
