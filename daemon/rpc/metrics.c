/* metrics.c - a job's metric values, in order of arrival
 *
 * Read to its end, values that a later attempt computed again are left out; followed, they are
 * there and a `rewound` says from which step on the next ones count. The cursor is the last row and
 * its attempt, 8 + 4 bytes little endian: a place in the ranks' journals, so that it outlives the
 * database. While that is being filled again, nothing is shown.
 */
#include <errno.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/rpc/common.h"
#include "daemon/store/metrics.h"
#include "sys/clock.h"

#define BATCH 512
#define CURSOR_LEN 12
#define PATIENCE_NS UINT64_C(3000000000)

struct metrics {
    struct lt_coord_watch watch;
    struct lt_rpc_call *call;
    const Lt__V1__MetricsRequest *request; /* lives as long as the call */
    uint64_t row;
    uint32_t attempt; /* of the last point, whose row it is */
    bool over;
    uint64_t began_ns;
    /* while a batch is read */
    struct lt_arena *arena;
    Lt__V1__MetricPoint *points[BATCH];
    size_t n, seen;
    uint32_t next_attempt; /* != 0: the batch ended because this attempt begins, */
    uint64_t next_step;    /* with a value of this step */
};

static bool wanted(const struct metrics *s, const char *name)
{
    for (size_t i = 0; i < s->request->n_names; i++)
        if (lt_str_eq(s->request->names[i], name))
            return true;
    return s->request->n_names == 0;
}

static int add_point(void *arg, const struct lt_metric_point *p)
{
    struct metrics *s = arg;
    Lt__V1__MetricPoint *m;

    if (s->attempt && p->attempt != s->attempt) {
        s->next_attempt = p->attempt;
        s->next_step = p->step;
        return 1;
    }
    s->attempt = p->attempt; /* 0 before the first one */
    s->row = p->row;
    s->seen++;
    if (!wanted(s, p->name))
        return 0;
    m = lt_arena_alloc(s->arena, sizeof *m);
    lt__v1__metric_point__init(m);
    m->has_attempt = m->has_step = m->has_epoch = m->has_value = true;
    m->attempt = p->attempt;
    m->step = p->step;
    m->epoch = p->epoch;
    m->name = lt_arena_strdup(s->arena, p->name);
    m->value = p->value;
    s->points[s->n++] = m;
    return 0;
}

/* Whatever a client got last, it can go on from there. */
static void send_with_cursor(struct metrics *s, Lt__V1__MetricsResponse *r)
{
    uint8_t cursor[CURSOR_LEN];

    for (size_t i = 0; i < 8; i++)
        cursor[i] = (uint8_t)(s->row >> (8 * i));
    for (size_t i = 0; i < 4; i++)
        cursor[8 + i] = (uint8_t)(s->attempt >> (8 * i));
    r->has_cursor = true;
    r->cursor = (ProtobufCBinaryData){sizeof cursor, cursor};
    lt_rpc_send_always(s->call, &r->base);
}

static void send_points(struct metrics *s)
{
    Lt__V1__MetricsResponse r = LT__V1__METRICS_RESPONSE__INIT;

    r.points = s->points;
    r.n_points = s->n;
    send_with_cursor(s, &r);
}

/* The step that the present attempt began at; earlier attempts' are known to nobody who follows
 * now. */
static void send_rewound(struct metrics *s)
{
    Lt__V1__MetricsResponse r = LT__V1__METRICS_RESPONSE__INIT;
    Lt__V1__Rewound rewound = LT__V1__REWOUND__INIT;
    const Lt__V1__JobFold *fold = lt_call_job(s->call, s->watch.job);

    if (!fold || fold->attempt != s->next_attempt)
        return;
    rewound.has_to_step = true;
    rewound.to_step = fold->spec && fold->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND
                          ? s->next_step /* nobody else knows where its attempts begin */
                          : fold->from_step;
    r.rewound = &rewound;
    send_with_cursor(s, &r);
}

/* Points read (whether wanted or not), or <0: the database is in need of help. */
static int send_batch(struct metrics *s)
{
    struct lt_metrics *db = lt_coord_metrics(lt_call_coord(s->call));
    uint32_t attempt = s->attempt;
    uint64_t row = s->row;
    int rc;

    s->n = s->seen = 0;
    s->next_attempt = 0;
    s->arena = lt_arena_new(0);
    rc = lt_metrics_read(db, s->watch.job, s->attempt, s->row, !s->request->follow, BATCH,
                         add_point, s, NULL);
    if (rc < 0) {
        s->attempt = attempt;
        s->row = row;
    } else if (s->n > 0) {
        send_points(s);
    }
    if (rc >= 0 && s->next_attempt) {
        s->attempt = s->next_attempt;
        s->row = 0;
        s->seen++;
        send_rewound(s);
    }
    lt_arena_free(s->arena);
    s->arena = NULL;
    return rc < 0 ? rc : (int)s->seen;
}

/* Whoever follows waits; others are told when it can take long. A node that isn't there may be about to
 * come. */
static bool ready(struct metrics *s)
{
    struct lt_error err = {0};
    int rc = lt_coord_metrics_ready(lt_call_coord(s->call), s->watch.job, &err);

    if (rc < 0 && !s->request->follow && lt_clock_mono_ns() - s->began_ns > PATIENCE_NS) {
        s->over = true;
        lt_rpc_finish(s->call, LT_RPC_UNAVAILABLE, "%s", err.text);
    }
    return rc > 0;
}

static void end(struct metrics *s, const Lt__V1__JobFold *fold)
{
    Lt__V1__MetricsResponse r = LT__V1__METRICS_RESPONSE__INIT;
    Lt__V1__End over;

    s->over = true;
    lt_end_of(fold, &over);
    r.end = &over;
    send_with_cursor(s, &r);
    lt_rpc_finish(s->call, LT_RPC_OK, "%s", "");
}

static void pump(struct metrics *s)
{
    const Lt__V1__JobFold *fold;
    int rc = 1;

    if (!s->over && !lt_call_core(s->call))
        s->over = true;
    if (s->over || !ready(s))
        return;
    while (!s->over && rc > 0 && lt_rpc_room(s->call))
        rc = send_batch(s);
    if (s->over || rc != 0)
        return;
    fold = lt_call_job(s->call, s->watch.job);
    if (!fold)
        s->over = true;
    else if (!s->request->follow || fold->state == LT__V1__JOB_STATE__DONE)
        end(s, fold);
}

static void changed(struct lt_coord_watch *watch, unsigned what)
{
    struct metrics *s = LT_CONTAINER_OF(watch, struct metrics, watch);

    if (what & (LT_CHANGED_METRICS | LT_CHANGED_STATUS) ||
        (what & LT_CHANGED_TICK && !s->request->follow)) /* the node may have gone */
        pump(s);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__MetricsRequest *q = (const Lt__V1__MetricsRequest *)m;
    const Lt__V1__JobFold *fold = lt_call_job(call, q->job_id);
    struct metrics *s;

    if (!fold)
        return;
    if (q->cursor.len != 0 && q->cursor.len != CURSOR_LEN) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT, "this cursor wasn't given by Metrics");
        return;
    }
    s = lt_calloc(1, sizeof *s);
    s->call = call;
    s->request = q;
    s->began_ns = lt_clock_mono_ns();
    for (size_t i = 0; q->cursor.len && i < 8; i++)
        s->row |= (uint64_t)q->cursor.data[i] << (8 * i);
    for (size_t i = 0; q->cursor.len && i < 4; i++)
        s->attempt |= (uint32_t)q->cursor.data[8 + i] << (8 * i);
    lt_rpc_call_set(call, s);
    lt_coord_watch_add(lt_call_coord(call), &s->watch, fold->id, changed);
    pump(s);
}

static void writable(struct lt_rpc_call *call)
{
    pump(lt_rpc_call_get(call));
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct metrics *s = lt_rpc_call_get(call);

    (void)cancelled;
    if (!s)
        return;
    lt_coord_watch_remove(&s->watch);
    lt_free(s);
}

const struct lt_rpc_method lt_method_metrics = {
    .path = "/lt.v1.Jobs/Metrics",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &lt__v1__metrics_request__descriptor,
    .out = &lt__v1__metrics_response__descriptor,
    .msg = handle,
    .writable = writable,
    .closed = closed,
    .need = LT_RIGHT_READ,
};
