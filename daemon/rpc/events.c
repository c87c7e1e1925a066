/* events.c - the log itself, of one job or of all, from a cursor on
 *
 * The cursor is the sequence number of the last event that was given, 8 bytes little endian. Events
 * lie packed in the log and go out as they are: field 1 of EventsResponse, length first.
 */
#include <errno.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/rpc/common.h"
#include "daemon/store/store.h"

#define BATCH_BYTES (32u << 10)
#define BATCH_EVENTS 256
#define TAG_EVENTS 0x0a /* field 1, bytes */
#define TAG_CURSOR 0x12 /* field 2, bytes */

struct events {
    struct lt_coord_watch watch;
    struct lt_rpc_call *call;
    uint64_t seq; /* last one given */
    bool follow, over;
    struct lt_buf batch;
};

static void put_varint(struct lt_buf *b, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        lt_buf_char(b, (char)(v | 128));
    lt_buf_char(b, (char)v);
}

/* Events of all jobs aren't asked for by job, so one beyond the batch's size ends the read. */
static int add_event(void *arg, const struct lt_store_event *e)
{
    struct events *s = arg;

    if (e->len > 0) { /* those of removed jobs are empty */
        lt_buf_char(&s->batch, TAG_EVENTS);
        put_varint(&s->batch, e->len);
        lt_buf_append(&s->batch, e->data, e->len);
    }
    s->seq = e->seq;
    return s->batch.len >= BATCH_BYTES ? 1 : 0;
}

/* 1: sent something; 0: there is nothing more now; <0: the call is ended. */
static int send_batch(struct events *s)
{
    struct lt_store *store = lt_coord_store(lt_call_coord(s->call));
    struct lt_error err = {0};
    uint64_t before = s->seq;
    int rc;

    s->batch.len = 0;
    rc = lt_store_read(store, s->seq, s->watch.job, BATCH_EVENTS, add_event, s, &err);
    if (rc < 0) {
        s->over = true;
        lt_call_error(s->call, rc, err.text);
        return rc;
    }
    if (s->batch.len == 0)
        return s->seq > before;
    lt_buf_char(&s->batch, TAG_CURSOR);
    put_varint(&s->batch, sizeof s->seq);
    lt_buf_u64(&s->batch, s->seq);
    lt_rpc_send_packed(s->call, s->batch.data, s->batch.len);
    return 1;
}

static void end(struct events *s, const Lt__V1__JobFold *fold)
{
    Lt__V1__EventsResponse r = LT__V1__EVENTS_RESPONSE__INIT;
    Lt__V1__End over;
    uint8_t cursor[sizeof s->seq];

    s->over = true;
    lt_end_of(fold, &over);
    r.end = &over;
    for (size_t i = 0; i < sizeof cursor; i++)
        cursor[i] = (uint8_t)(s->seq >> (8 * i));
    r.has_cursor = true;
    r.cursor = (ProtobufCBinaryData){sizeof cursor, cursor};
    lt_rpc_send_always(s->call, &r.base);
    lt_rpc_finish(s->call, LT_RPC_OK, "%s", "");
}

static void pump(struct events *s)
{
    const Lt__V1__JobFold *fold = NULL;
    int rc = 1;

    while (!s->over && rc == 1 && lt_rpc_room(s->call))
        rc = send_batch(s);
    if (s->over || rc != 0)
        return;
    if (s->watch.job && !(fold = lt_call_job(s->call, s->watch.job)))
        s->over = true;
    else if (!s->follow || (fold && fold->state == LT__V1__JOB_STATE__DONE))
        end(s, fold);
}

static void changed(struct lt_coord_watch *watch, unsigned what)
{
    if (what & (LT_CHANGED_EVENTS | LT_CHANGED_STATUS))
        pump(LT_CONTAINER_OF(watch, struct events, watch));
}

/* A cursor of a log that isn't ours (any more): what is missing can't be known. */
static void check_cursor(struct events *s)
{
    Lt__V1__EventsResponse r = LT__V1__EVENTS_RESPONSE__INIT;
    Lt__V1__Gap gap = LT__V1__GAP__INIT;
    uint64_t last = lt_store_last_seq(lt_coord_store(lt_call_coord(s->call)));

    if (s->seq <= last)
        return;
    gap.has_missing = true;
    gap.missing = s->seq - last;
    r.gap = &gap;
    s->seq = 0;
    lt_rpc_send_always(s->call, &r.base);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__EventsRequest *q = (const Lt__V1__EventsRequest *)m;
    const Lt__V1__JobFold *fold = NULL;
    struct events *s;

    if (q->job_id && q->job_id[0] && !(fold = lt_call_job(call, q->job_id)))
        return;
    if (q->has_cursor && q->cursor.len != 0 && q->cursor.len != sizeof s->seq) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT, "this cursor wasn't given by Events");
        return;
    }
    s = lt_calloc(1, sizeof *s);
    s->call = call;
    s->follow = q->follow;
    for (size_t i = 0; i < q->cursor.len; i++)
        s->seq |= (uint64_t)q->cursor.data[i] << (8 * i);
    lt_rpc_call_set(call, s);
    lt_coord_watch_add(lt_call_coord(call), &s->watch, fold ? fold->id : NULL, changed);
    check_cursor(s);
    pump(s);
}

static void writable(struct lt_rpc_call *call)
{
    pump(lt_rpc_call_get(call));
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct events *s = lt_rpc_call_get(call);

    (void)cancelled;
    if (!s)
        return;
    lt_coord_watch_remove(&s->watch);
    lt_buf_done(&s->batch);
    lt_free(s);
}

const struct lt_rpc_method lt_method_events = {
    .path = "/lt.v1.Jobs/Events",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &lt__v1__events_request__descriptor,
    .out = &lt__v1__events_response__descriptor,
    .msg = handle,
    .writable = writable,
    .closed = closed,
    .need = LT_RIGHT_READ,
};
