/* logs.c - what a rank wrote, byte for byte: attempts in order, .out and .err of an attempt side by
 * side
 *
 * Positions are offsets in the files, so a cursor says exactly what was given, whatever happened to
 * daemon or connection since. One read per file is in flight; the next one is asked for when all
 * bytes of the last one are in the outbox. While an attempt may still write, reads wait at the node
 * for bytes; once it is over, a read that brings nothing is the file's end. A read that waits when
 * the attempt ends is given up and asked again without waiting.
 */
#include <errno.h>
#include <string.h>
#include "base/auto.h"
#include "base/mem.h"
#include "daemon/rpc/common.h"
#include "daemon/rpc/tail.h"
#include "sys/clock.h"

#define FRAME (16u << 10)
#define READ_BYTES (192u << 10)
#define WAIT_MS 1000
#define HEARTBEAT_NS (5ull * 1000 * 1000 * 1000)
#define CURSOR_LEN 25
#define CURSOR_VERSION 1
#define STREAMS 2 /* enum Lt__V1__LogStream */

struct logs;
struct file {
    struct logs *logs;
    uint64_t pos;     /* of the next byte to give */
    uint64_t request; /* in flight; 0: none */
    bool final;       /* the read in flight was asked when nothing more could be written */
    bool ended;
    bool tailing;
    struct lt_tail tail;
    uint8_t *data; /* read, not yet given: [at, len) */
    size_t at, len;
};

struct logs {
    struct lt_coord_watch watch;
    struct lt_rpc_call *call;
    char *node, *run_dir;
    uint32_t attempt, rank; /* attempt 0: none was started when we looked */
    bool follow, over;
    uint64_t sent_ns;
    struct file files[STREAMS];
};

static void advance(struct logs *s);

static const Lt__V1__JobFold *fold_of(struct logs *s)
{
    const Lt__V1__JobFold *fold = lt_call_job(s->call, s->watch.job);

    if (!fold)
        s->over = true;
    return fold;
}

/* ---- frames ---- */

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* Sends one frame with the present cursor. Chunks are sent where there is room; what stands between them
 * must not be lost for want of it. */
static void send_frame(struct logs *s, Lt__V1__LogsResponse *r)
{
    uint8_t cursor[CURSOR_LEN];

    cursor[0] = CURSOR_VERSION;
    put_le(cursor + 1, s->attempt, 4);
    put_le(cursor + 5, s->rank, 4);
    put_le(cursor + 9, s->files[0].pos, 8);
    put_le(cursor + 17, s->files[1].pos, 8);
    r->has_cursor = true;
    r->cursor = (ProtobufCBinaryData){sizeof cursor, cursor};
    lt_rpc_send_always(s->call, &r->base);
    s->sent_ns = lt_clock_mono_ns();
}

static void send_chunk(struct logs *s, struct file *f, size_t n)
{
    Lt__V1__LogsResponse r = LT__V1__LOGS_RESPONSE__INIT;
    Lt__V1__LogChunk chunk = LT__V1__LOG_CHUNK__INIT;

    chunk.has_attempt = chunk.has_rank = chunk.has_stream = chunk.has_offset = chunk.has_data =
        true;
    chunk.attempt = s->attempt;
    chunk.rank = s->rank;
    chunk.stream = (Lt__V1__LogStream)(f - s->files);
    chunk.offset = f->pos;
    chunk.data = (ProtobufCBinaryData){n, f->data + f->at};
    r.frame_case = LT__V1__LOGS_RESPONSE__FRAME_CHUNK;
    r.chunk = &chunk;
    f->pos += n;
    f->at += n;
    send_frame(s, &r);
}

/* The bytes up to `to` are no longer there; or, when the file became shorter, those behind it. */
static void send_gap(struct logs *s, struct file *f, uint64_t to)
{
    Lt__V1__LogsResponse r = LT__V1__LOGS_RESPONSE__INIT;
    Lt__V1__Gap gap = LT__V1__GAP__INIT;

    gap.has_missing = true;
    gap.missing = f->pos > to ? f->pos - to : to - f->pos;
    f->pos = to;
    r.frame_case = LT__V1__LOGS_RESPONSE__FRAME_GAP;
    r.gap = &gap;
    send_frame(s, &r);
}

static void send_end(struct logs *s, const Lt__V1__JobFold *fold)
{
    Lt__V1__LogsResponse r = LT__V1__LOGS_RESPONSE__INIT;
    Lt__V1__End end;

    s->over = true;
    lt_end_of(fold, &end);
    r.frame_case = LT__V1__LOGS_RESPONSE__FRAME_END;
    r.end = &end;
    send_frame(s, &r);
    lt_rpc_finish(s->call, LT_RPC_OK, "%s", "");
}

/* Where a command goes on from isn't known: it isn't said. */
static void send_rewound(struct logs *s, const Lt__V1__JobFold *fold)
{
    Lt__V1__LogsResponse r = LT__V1__LOGS_RESPONSE__INIT;
    Lt__V1__Rewound rewound = LT__V1__REWOUND__INIT;

    rewound.has_to_step = !fold->spec || fold->spec->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND;
    rewound.to_step = rewound.has_to_step ? fold->from_step : 0;
    r.frame_case = LT__V1__LOGS_RESPONSE__FRAME_REWOUND;
    r.rewound = &rewound;
    send_frame(s, &r);
}

/* ---- reading ---- */

/* true: the tail was found, at f->tail.offset. */
static bool tail_step(struct file *f, const Lt__V1__ReadReply *reply)
{
    bool cut = f->tail.sized && reply->start > f->tail.offset, found;

    if (cut)
        f->tail.offset = LT_MIN(reply->start, f->tail.end);
    found = lt_tail_step(&f->tail, reply->data.data, reply->data.len, reply->size);
    if (cut && !found)
        f->tail.offset = reply->start; /* all lines that there are */
    return cut || found;
}

static void got(void *arg, const Lt__V1__ReadReply *reply)
{
    static const Lt__V1__ReadReply nothing = LT__V1__READ_REPLY__INIT;
    struct file *f = arg;
    struct logs *s = f->logs;

    f->request = 0;
    if (!reply) /* the node went away; asked again at the next tick */
        return;
    if (reply->error == ENOENT) /* not written yet, or never */
        reply = &nothing;
    if (reply->error) {
        s->over = true;
        lt_rpc_finish(s->call, LT_RPC_INTERNAL, "the log of attempt %u can't be read: %s",
                      s->attempt, strerror((int)reply->error));
        return;
    }
    if (f->tailing) {
        f->tailing = !tail_step(f, reply);
        f->pos = f->tail.offset;
    } else if (reply->size < f->pos) {
        send_gap(s, f, reply->size);
    } else if (reply->start > f->pos && reply->data.len == 0) {
        send_gap(s, f, reply->start);
    } else if (reply->data.len == 0) {
        f->ended = f->final;
    } else {
        if (reply->start > f->pos)
            send_gap(s, f, reply->start);
        f->data = lt_realloc(f->data, reply->data.len, 1);
        memcpy(f->data, reply->data.data, reply->data.len);
        f->at = 0;
        f->len = reply->data.len;
    }
    advance(s);
}

static void ask(struct logs *s, struct file *f, bool final)
{
    static const char *const suffix[STREAMS] = {"out", "err"};
    LT_AUTO(lt_free)
    char *path = lt_format("logs/%u/%u.%s", s->attempt, s->rank, suffix[f - s->files]);
    struct lt_coord_read r = {
        .node = s->node, .run_dir = s->run_dir, .path = path, .offset = f->pos};

    if (f->tailing) {
        r.offset = f->tail.offset;
        r.max_bytes = LT_TAIL_BLOCK;
    } else {
        r.max_bytes = READ_BYTES;
        r.wait_ms = final ? 0 : WAIT_MS;
    }
    f->final = final;
    f->request = lt_coord_read(lt_call_coord(s->call), &r, got, f);
    if (!f->request && !s->follow && !s->over) { /* a follower waits for the node */
        s->over = true;
        lt_rpc_finish(s->call, LT_RPC_UNAVAILABLE,
                      "the node that has the logs isn't connected; try again");
    }
}

/* ---- from one state to the next ---- */

static void begin_attempt(struct logs *s, uint32_t attempt)
{
    s->attempt = attempt;
    for (int i = 0; i < STREAMS; i++) {
        s->files[i].pos = 0;
        s->files[i].ended = false;
    }
}

/* Nothing more will be written to this attempt's files, or nobody wants to wait for it. */
static bool attempt_over(const struct logs *s, const Lt__V1__JobFold *fold)
{
    return !s->follow || s->attempt < fold->attempt || fold->state == LT__V1__JOB_STATE__DONE;
}

/* Gives what was read. false: the outbox is full. */
static bool drain(struct logs *s, struct file *f)
{
    while (f->at < f->len) {
        if (!lt_rpc_room(s->call))
            return false;
        send_chunk(s, f, LT_MIN(f->len - f->at, (size_t)FRAME));
    }
    f->at = f->len = 0;
    return true;
}

/* Both files are at their end. true: a further attempt began. */
static bool next_attempt(struct logs *s, const Lt__V1__JobFold *fold)
{
    if (s->attempt < fold->attempt) {
        begin_attempt(s, s->attempt + 1);
        if (s->attempt > 1 && s->attempt == fold->attempt)
            send_rewound(s, fold);
        return true;
    }
    if (!s->follow || fold->state == LT__V1__JOB_STATE__DONE)
        send_end(s, fold);
    return false;
}

/* Does for one file what can be done now. */
static void advance_file(struct logs *s, struct file *f, bool over)
{
    if (!drain(s, f) || f->ended)
        return;
    if (f->request && over && !f->final) {
        lt_coord_request_cancel(lt_call_coord(s->call), f->request);
        f->request = 0;
    }
    if (!f->request)
        ask(s, f, over);
}

static void advance(struct logs *s)
{
    const Lt__V1__JobFold *fold = s->over ? NULL : fold_of(s);
    bool over;

    if (!fold || !lt_rpc_room(s->call))
        return;
    do {
        over = attempt_over(s, fold);
        for (int i = 0; i < STREAMS && s->attempt > 0; i++)
            advance_file(s, &s->files[i], over);
    } while (!s->over && (s->attempt == 0 || (s->files[0].ended && s->files[1].ended)) &&
             next_attempt(s, fold));
}

static void changed(struct lt_coord_watch *watch, unsigned what)
{
    struct logs *s = LT_CONTAINER_OF(watch, struct logs, watch);
    Lt__V1__LogsResponse r = LT__V1__LOGS_RESPONSE__INIT;
    Lt__V1__Heartbeat beat = LT__V1__HEARTBEAT__INIT;

    if (s->over || !(what & (LT_CHANGED_STATUS | LT_CHANGED_TICK)))
        return;
    advance(s);
    if (s->over || !(what & LT_CHANGED_TICK) || lt_clock_mono_ns() - s->sent_ns < HEARTBEAT_NS ||
        !lt_rpc_room(s->call))
        return;
    r.frame_case = LT__V1__LOGS_RESPONSE__FRAME_HEARTBEAT;
    r.heartbeat = &beat;
    send_frame(s, &r);
}

/* ---- begin and end ---- */

static int take_cursor(struct logs *s, const ProtobufCBinaryData *cursor)
{
    if (cursor->len != CURSOR_LEN || cursor->data[0] != CURSOR_VERSION)
        return -EINVAL;
    begin_attempt(s, (uint32_t)get_le(cursor->data + 1, 4));
    s->rank = (uint32_t)get_le(cursor->data + 5, 4);
    s->files[0].pos = get_le(cursor->data + 9, 8);
    s->files[1].pos = get_le(cursor->data + 17, 8);
    return 0;
}

static void begin_tail(struct logs *s, const Lt__V1__JobFold *fold, uint64_t lines)
{
    begin_attempt(s, fold->attempt);
    for (int i = 0; i < STREAMS && s->attempt > 0; i++) {
        s->files[i].tailing = true;
        lt_tail_init(&s->files[i].tail, lines);
    }
}

static void refuse_rank(struct lt_rpc_call *call, const Lt__V1__JobFold *fold, uint32_t rank)
{
    uint32_t world = lt_core_job_world(fold);

    if (world == 1)
        lt_rpc_finish(call, LT_RPC_NOT_FOUND, "job %s has no rank %u; it has rank 0 alone",
                      fold->id, rank);
    else
        lt_rpc_finish(call, LT_RPC_NOT_FOUND, "job %s has no rank %u; its ranks are 0 to %u",
                      fold->id, rank, world - 1);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__LogsRequest *q = (const Lt__V1__LogsRequest *)m;
    const Lt__V1__JobFold *fold = lt_call_job(call, q->job_id);
    const char *node;
    struct logs *s;

    if (!fold)
        return;
    if (q->rank >= lt_core_job_world(fold)) {
        refuse_rank(call, fold, q->rank);
        return;
    }
    s = lt_calloc(1, sizeof *s);
    s->call = call;
    s->follow = q->follow;
    s->rank = q->rank;
    s->files[0].logs = s->files[1].logs = s;
    s->sent_ns = lt_clock_mono_ns();
    s->run_dir = lt_strdup(fold->run_dir);
    node = lt_core_job_node(lt_coord_core(lt_call_coord(call)), fold);
    s->node = node ? lt_strdup(node) : NULL;
    lt_rpc_call_set(call, s);
    lt_coord_watch_add(lt_call_coord(call), &s->watch, fold->id, changed);
    if (q->cursor.len > 0 && take_cursor(s, &q->cursor) < 0) {
        s->over = true;
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT, "this cursor wasn't given by Logs");
        return;
    }
    if (q->cursor.len == 0 && q->has_tail)
        begin_tail(s, fold, q->tail);
    advance(s);
}

static void writable(struct lt_rpc_call *call)
{
    advance(lt_rpc_call_get(call));
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct logs *s = lt_rpc_call_get(call);

    (void)cancelled;
    if (!s)
        return;
    lt_coord_watch_remove(&s->watch);
    for (int i = 0; i < STREAMS; i++) {
        lt_coord_request_cancel(lt_call_coord(call), s->files[i].request);
        lt_free(s->files[i].data);
    }
    lt_free(s->node);
    lt_free(s->run_dir);
    lt_free(s);
}

const struct lt_rpc_method lt_method_logs = {
    .path = "/lt.v1.Jobs/Logs",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &lt__v1__logs_request__descriptor,
    .out = &lt__v1__logs_response__descriptor,
    .msg = handle,
    .writable = writable,
    .closed = closed,
    .need = LT_RIGHT_READ,
};
