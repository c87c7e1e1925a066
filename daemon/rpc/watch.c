/* watch.c - a job's status, now and after every change, until it is done */
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "daemon/rpc/common.h"

struct watch {
    struct lt_coord_watch watch;
    struct lt_rpc_call *call;
    struct lt_buf last; /* what was sent last, packed: equal ones aren't sent again */
    bool over;
};

static bool same_as_last(struct watch *w, const Lt__V1__JobStatus *status)
{
    size_t n = lt__v1__job_status__get_packed_size(status);
    char *packed = lt_malloc(n);
    bool same;

    lt__v1__job_status__pack(status, (uint8_t *)packed);
    same = w->last.data && n == w->last.len && memcmp(packed, w->last.data, n) == 0;
    w->last.len = 0;
    lt_buf_append(&w->last, packed, n);
    lt_free(packed);
    return same;
}

static void pump(struct watch *w)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = NULL;
    Lt__V1__WatchResponse r = LT__V1__WATCH_RESPONSE__INIT;
    Lt__V1__JobStatus status;
    const Lt__V1__JobFold *fold;

    if (w->over || !lt_rpc_room(w->call))
        return;
    fold = lt_call_job(w->call, w->watch.job);
    if (!fold) {
        w->over = true;
        return;
    }
    arena = lt_arena_new(0);
    lt_job_status(lt_call_coord(w->call), fold, &status, arena);
    w->over = fold->state == LT__V1__JOB_STATE__DONE;
    if (same_as_last(w, &status) && !w->over)
        return;
    r.status = &status;
    r.has_end = true;
    r.end = w->over;
    lt_rpc_send(w->call, &r.base);
    if (w->over)
        lt_rpc_finish(w->call, LT_RPC_OK, "%s", "");
}

static void changed(struct lt_coord_watch *watch, unsigned what)
{
    if (what & (LT_CHANGED_STATUS | LT_CHANGED_METRICS | LT_CHANGED_TICK))
        pump(LT_CONTAINER_OF(watch, struct watch, watch));
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, ((Lt__V1__WatchRequest *)m)->job_id);
    struct watch *w;

    if (!fold)
        return;
    w = lt_calloc(1, sizeof *w);
    w->call = call;
    lt_rpc_call_set(call, w);
    lt_coord_watch_add(lt_call_coord(call), &w->watch, fold->id, changed);
    pump(w);
}

static void writable(struct lt_rpc_call *call)
{
    pump(lt_rpc_call_get(call));
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct watch *w = lt_rpc_call_get(call);

    (void)cancelled;
    if (!w)
        return;
    lt_coord_watch_remove(&w->watch);
    lt_buf_done(&w->last);
    lt_free(w);
}

const struct lt_rpc_method lt_method_watch = {
    .path = "/lt.v1.Jobs/Watch",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &lt__v1__watch_request__descriptor,
    .out = &lt__v1__watch_response__descriptor,
    .msg = handle,
    .writable = writable,
    .closed = closed,
    .need = LT_RIGHT_READ,
};
