/* source.c - see source.h
 *
 * The cursor of the last message is where a broken stream goes on; positions per attempt and stream
 * are kept beside it, so that even a server which repeats a piece can't make us write a byte twice.
 */
#include "client/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/lines.h"
#include "client/progress.h"
#include "proto/plan.h"
#include "rpc/client.h"

#define FRAMES 16 /* of 16 KiB, before another rank has its turn */
#define STREAMS 2

struct position {
    uint32_t attempt;
    uint64_t next[STREAMS];
    bool seen[STREAMS];
};

struct lt_source {
    struct lt_sources *all;
    uint32_t rank;
    struct lt_client_stream *logs;
    struct lt_lines *lines[STREAMS]; /* NULL without paper */
    struct lt_buf cursor;
    struct position *positions;
    size_t n, cap;
    uint32_t attempt; /* of the last bytes */
    unsigned rewound;
    Lt__V1__End *end; /* in the call's arena */
};

struct lt_source *lt_source_new(struct lt_sources *all, uint32_t rank)
{
    struct lt_source *s = lt_calloc(1, sizeof *s);

    s->all = all;
    s->rank = rank;
    for (int i = 0; i < STREAMS && all->paper; i++)
        s->lines[i] = lt_lines_new(all->paper, rank, i);
    return s;
}

void lt_source_close(struct lt_source *s)
{
    lt_client_stream_close(s->logs);
    s->logs = NULL;
}

void lt_source_free(struct lt_source *s)
{
    lt_source_close(s);
    for (int i = 0; i < STREAMS; i++)
        lt_lines_free(s->lines[i]);
    lt_buf_done(&s->cursor);
    lt_free(s->positions);
    lt_free(s);
}

void lt_sources_pause(struct lt_sources *all)
{
    lt_progress_hide(all->progress);
    if (all->paper)
        lt_lines_settle(all->paper);
}

bool lt_sources_within_line(const struct lt_sources *all)
{
    return all->paper ? lt_lines_painted(all->paper) : all->within_line;
}

const Lt__V1__End *lt_source_end(const struct lt_source *s)
{
    return s->end;
}

int lt_source_open(struct lt_source *s, bool *lost)
{
    Lt__V1__LogsRequest q = LT__V1__LOGS_REQUEST__INIT;
    struct lt_rpc_status status = {0};
    int rc, result = LT_GO_ON;

    if (s->logs || s->end)
        return LT_GO_ON;
    q.job_id = (char *)s->all->job;
    q.has_follow = q.has_rank = true;
    q.follow = s->all->follow;
    q.rank = s->rank;
    q.has_cursor = s->cursor.len > 0;
    q.cursor.data = (uint8_t *)s->cursor.data;
    q.cursor.len = s->cursor.len;
    q.has_tail = s->all->has_tail && !q.has_cursor;
    q.tail = s->all->tail;
    rc = lt_client_stream_open(s->all->ctl->client, "/lt.v1.Jobs/Logs", &q.base,
                               &lt__v1__logs_response__descriptor, 0, &s->logs, &status);
    if (rc < 0 && status.code == LT_RPC_UNAVAILABLE)
        *lost = true;
    else if (rc < 0)
        result = lt_ctl_fail_status(s->all->ctl, &status);
    lt_rpc_status_done(&status);
    return result;
}

/* ---- what comes */

static int failed(const struct lt_source *s, int rc)
{
    return rc < 0 ? lt_ctl_fail(s->all->ctl, LT_EXIT_ERROR, "writing the output: %s", strerror(-rc))
                  : LT_GO_ON;
}

int lt_source_flush(struct lt_source *s)
{
    int rc = 0;

    lt_progress_hide(s->all->progress);
    for (int i = 0; i < STREAMS && rc == 0; i++)
        if (s->lines[i])
            rc = lt_lines_end(s->lines[i]);
    return failed(s, rc);
}

static struct position *position_of(struct lt_source *s, uint32_t attempt)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->positions[i].attempt == attempt)
            return &s->positions[i];
    }
    LT_GROW(s->positions, s->n, s->cap);
    s->positions[s->n] = (struct position){.attempt = attempt};
    return &s->positions[s->n++];
}

static int on_chunk(struct lt_source *s, const Lt__V1__LogChunk *c)
{
    unsigned stream = c->stream == LT__V1__LOG_STREAM__ERR;
    struct position *p = position_of(s, c->attempt);
    size_t skip = 0, n;
    int rc = LT_GO_ON;

    if (p->seen[stream] && c->offset < p->next[stream])
        skip = LT_MIN((size_t)(p->next[stream] - c->offset), c->data.len);
    n = c->data.len - skip;
    if (n)
        lt_progress_hide(s->all->progress);
    if (c->attempt != s->attempt)
        rc = lt_source_flush(s);
    s->attempt = c->attempt;
    p->seen[stream] = true;
    p->next[stream] = c->offset + c->data.len;
    if (rc != LT_GO_ON || n == 0)
        return rc;
    s->all->within_line = c->data.data[c->data.len - 1] != '\n';
    return failed(s, s->lines[stream] ? lt_lines_add(s->lines[stream], c->data.data + skip, n)
                                      : lt_write_all(stream ? 2 : 1, c->data.data + skip, n));
}

static int on_gap(struct lt_source *s, const Lt__V1__Gap *gap)
{
    char who[32] = "";
    int rc = lt_source_flush(s);

    lt_sources_pause(s->all);
    if (s->all->paper)
        snprintf(who, sizeof who, "rank %u: ", s->rank);
    lt_ctl_fail(s->all->ctl, 0, "%s%llu bytes are no longer there", who,
                (unsigned long long)gap->missing);
    return rc;
}

/* Every rank begins again; it is said once. */
static int on_rewound(struct lt_source *s, const Lt__V1__Rewound *r)
{
    int rc = lt_source_flush(s);

    if (++s->rewound <= s->all->rewound)
        return rc;
    s->all->rewound = s->rewound;
    lt_sources_pause(s->all);
    if (s->all->progress && !r->has_to_step)
        lt_ctl_note("the job begins again in a new attempt");
    else if (s->all->progress)
        lt_ctl_note("the job goes on from step %llu in a new attempt",
                    (unsigned long long)r->to_step);
    return rc;
}

static int on_end(struct lt_source *s, const Lt__V1__End *e)
{
    lt_progress_hide(s->all->progress);
    s->end = (Lt__V1__End *)lt_message_copy(&e->base, s->all->ctl->arena);
    return lt_source_flush(s);
}

static int on_frame(struct lt_source *s, const Lt__V1__LogsResponse *r)
{
    int rc = LT_GO_ON;

    if (r->frame_case == LT__V1__LOGS_RESPONSE__FRAME_CHUNK)
        rc = on_chunk(s, r->chunk);
    else if (r->frame_case == LT__V1__LOGS_RESPONSE__FRAME_GAP)
        rc = on_gap(s, r->gap);
    else if (r->frame_case == LT__V1__LOGS_RESPONSE__FRAME_REWOUND)
        rc = on_rewound(s, r->rewound);
    else if (r->frame_case == LT__V1__LOGS_RESPONSE__FRAME_END)
        rc = on_end(s, r->end);
    if (r->has_cursor) {
        s->cursor.len = 0;
        lt_buf_append(&s->cursor, r->cursor.data, r->cursor.len);
    }
    return rc;
}

int lt_source_read(struct lt_source *s, bool *lost)
{
    struct lt_rpc_status status = {0};
    ProtobufCMessage *m;
    int rc = -EAGAIN, result = LT_GO_ON;

    if (!s->logs)
        return LT_GO_ON;
    for (int i = 0; i < FRAMES && result == LT_GO_ON && !s->end; i++) {
        rc = lt_client_stream_read(s->logs, 0, &m, &status);
        lt_lost_read(&s->all->lost, s->all->ctl->client, rc);
        if (rc != 1)
            break;
        result = on_frame(s, (const Lt__V1__LogsResponse *)m);
    }
    if (s->end)
        lt_source_close(s);
    else if (rc == 0 || status.code == LT_RPC_UNAVAILABLE)
        *lost = true;
    else if (rc < 0 && rc != -EAGAIN)
        result = lt_ctl_fail_status(s->all->ctl, &status);
    lt_rpc_status_done(&status);
    return result;
}
