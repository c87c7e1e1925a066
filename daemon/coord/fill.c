/* fill.c - metrics of attempts that have ended, out of the journals in their run folders
 *
 * One job at a time, one read at a time, through the job's node. Each journal is read from where the
 * database ends, so that a fill which was cut short goes on there; a job whose node is away waits. An
 * attempt without a journal (an older version kept none, somebody removed it) is whole as it is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/coord/internal.h"
#include "daemon/core/query.h"
#include "daemon/store/metrics.h"
#include "proto/wire.h"
#include "sys/journal.h"
#include "sys/log.h"

#define CHUNK (64u << 10) /* some milliseconds of work */
#define FOLDER "journal"

struct journal {
    uint32_t attempt, rank;
};

struct lt_coord_fill {
    struct lt_coord *c;
    char *job, *run_dir, *node;
    uint32_t whole, ended;
    struct journal *journals; /* in order */
    size_t n, at, cap;
    uint64_t request;
    uint64_t offset; /* of the first byte in `bytes` */
    struct lt_buf bytes;
    bool failed;     /* something couldn't be read: whole it isn't */
};

void lt_coord_fill_drop(struct lt_coord *c)
{
    struct lt_coord_fill *f = c->fill;

    if (!f)
        return;
    c->fill = NULL;
    lt_coord_request_cancel(c, f->request);
    lt_buf_done(&f->bytes);
    lt_free(f->journals);
    lt_free(f->job);
    lt_free(f->run_dir);
    lt_free(f->node);
    lt_free(f);
}

/* ---- the end of a job's */

static void set_whole(struct lt_coord_fill *f)
{
    struct lt_metrics *m = f->c->metrics;
    int rc = 0;

    for (uint32_t a = f->whole + 1; rc == 0 && !f->failed && a <= f->ended; a++)
        rc = lt_metrics_set_whole(m, f->job, a, NULL);
    if (rc == 0)
        lt_metrics_flush(m, NULL);
}

static void finish(struct lt_coord_fill *f)
{
    struct lt_coord *c = f->c;
    LT_AUTO(lt_free) char *job = lt_strdup(f->job);
    struct lt_coord_behind *b = lt_map_get(c->behind, job);
    bool more = b && b->ended > f->ended;

    set_whole(f);
    lt_coord_fill_drop(c);
    if (lt_metrics_broken(c->metrics))
        return; /* all are looked at again when it is mended */
    if (b && !more)
        b->ended = 0;
    if (b && !more && !b->awaited)
        lt_map_remove(c->behind, job);
    lt_coord_tell(c, job, LT_CHANGED_METRICS);
    lt_coord_fill_next(c);
}

/* ---- one journal */

static void next_journal(struct lt_coord_fill *f);

static int take_record(struct lt_coord_fill *f, const void *payload, size_t n, uint64_t end)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const struct journal *j = &f->journals[f->at];
    const Lt__V1__JournalRecord *r;
    ProtobufCMessage *m;

    if (lt_wire_decode(&lt__v1__journal_record__descriptor, payload, n, arena, &m, NULL) < 0)
        return 0; /* as the agent does */
    r = (const Lt__V1__JournalRecord *)m;
    if (r->type_case != LT__V1__JOURNAL_RECORD__TYPE_METRICS)
        return 0;
    return lt_metrics_append(f->c->metrics, f->job, j->attempt, j->rank, end, r->metrics, NULL);
}

/* What is there of whole records. -EPROTO: damaged. */
static int take_bytes(struct lt_coord_fill *f, bool at_end)
{
    size_t used = 0, n, size;
    const void *payload;
    int rc;

    while ((rc = lt_journal_parse(f->bytes.data + used, f->bytes.len - used, at_end, &payload, &n,
                                  &size)) > 0) {
        used += size;
        rc = take_record(f, payload, n, f->offset + used);
        if (rc < 0)
            break;
    }
    memmove(f->bytes.data, f->bytes.data + used, f->bytes.len - used);
    f->bytes.len -= used;
    f->offset += used;
    return rc;
}

static void skip_journal(struct lt_coord_fill *f)
{
    f->at++;
    next_journal(f);
}

static void ask(struct lt_coord_fill *f, const char *path, uint64_t offset, lt_coord_read_fn *fn)
{
    const struct lt_coord_read q = {.node = f->node,
                                    .run_dir = f->run_dir,
                                    .path = path,
                                    .offset = offset,
                                    .max_bytes = CHUNK};

    f->request = lt_coord_read(f->c, &q, fn, f);
    if (!f->request)
        lt_coord_fill_drop(f->c); /* when its node is back */
}

static void on_bytes(void *arg, const Lt__V1__ReadReply *reply);

static void read_on(struct lt_coord_fill *f)
{
    const struct journal *j = &f->journals[f->at];
    char path[64];

    snprintf(path, sizeof path, FOLDER "/%u.%u", j->attempt, j->rank);
    ask(f, path, f->offset + f->bytes.len, on_bytes);
}

/* The answer's beginning is alike for both kinds. False: it was dealt with. */
static bool usable(struct lt_coord_fill *f, const Lt__V1__ReadReply *reply)
{
    const Lt__V1__JobFold *fold;

    f->request = 0;
    if (!reply || !f->c->core) {
        lt_coord_fill_drop(f->c);
        return false;
    }
    if (lt_core_find(f->c->core, f->job, &fold, NULL) < 0) { /* removed meanwhile */
        lt_metrics_forget(f->c->metrics, f->job, NULL);
        f->failed = true;
        finish(f);
        return false;
    }
    return true;
}

static void on_bytes(void *arg, const Lt__V1__ReadReply *reply)
{
    struct lt_coord_fill *f = arg;
    int rc;

    if (!usable(f, reply))
        return;
    if (reply->error) {
        lt_warning("metrics of job %s: a journal can't be read: %s", f->job,
                   strerror((int)reply->error));
        f->failed = f->failed || reply->error != ENOENT;
        skip_journal(f);
        return;
    }
    if (reply->data.len == 0) {
        skip_journal(f);
        return;
    }
    lt_buf_append(&f->bytes, reply->data.data, reply->data.len);
    rc = take_bytes(f, f->offset + f->bytes.len >= reply->size);
    if (rc == 0)
        rc = lt_metrics_flush(f->c->metrics, NULL);
    if (lt_metrics_broken(f->c->metrics)) {
        lt_coord_fill_drop(f->c);
    } else if (rc < 0) {
        lt_warning("metrics of job %s: the journal of attempt %u is damaged at byte %llu", f->job,
                   f->journals[f->at].attempt, (unsigned long long)f->offset);
        skip_journal(f);
    } else {
        read_on(f);
    }
}

static void next_journal(struct lt_coord_fill *f)
{
    const struct journal *j = &f->journals[f->at];

    lt_buf_done(&f->bytes);
    if (f->at == f->n) {
        finish(f);
        return;
    }
    if (lt_metrics_offset(f->c->metrics, f->job, j->attempt, j->rank, &f->offset, NULL) < 0) {
        lt_coord_fill_drop(f->c);
        return;
    }
    f->offset = LT_MAX(f->offset, (uint64_t)LT_JOURNAL_HEADER);
    read_on(f);
}

/* ---- which journals there are */

static int in_order(const void *a, const void *b)
{
    const struct journal *x = a, *y = b;

    if (x->attempt != y->attempt)
        return x->attempt < y->attempt ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static void add_journal(struct lt_coord_fill *f, const char *name)
{
    struct journal j;
    char rest;

    if (sscanf(name, "%u.%u%c", &j.attempt, &j.rank, &rest) != 2 || j.attempt <= f->whole ||
        j.attempt > f->ended || j.rank != 0) /* which speaks for the job */
        return;
    LT_GROW(f->journals, f->n, f->cap);
    f->journals[f->n++] = j;
}

static void on_entries(void *arg, const Lt__V1__ReadReply *reply)
{
    struct lt_coord_fill *f = arg;

    if (!usable(f, reply))
        return;
    for (size_t i = 0; i < reply->n_entries; i++)
        add_journal(f, reply->entries[i]);
    if (f->n)
        qsort(f->journals, f->n, sizeof *f->journals, in_order);
    if (reply->error && reply->error != ENOENT) {
        lt_warning("metrics of job %s: its journals can't be listed: %s", f->job,
                   strerror((int)reply->error));
        f->failed = true;
    }
    next_journal(f);
}

/* ---- which job */

static bool begin(struct lt_coord *c, const char *job, const struct lt_coord_behind *b)
{
    const Lt__V1__JobFold *fold;
    const char *node;
    uint32_t whole;
    struct lt_coord_fill *f;

    if (!b->ended || lt_core_find(c->core, job, &fold, NULL) < 0)
        return false;
    node = lt_core_job_node(c->core, fold);
    if (!node || !lt_core_session(c->core, node) ||
        lt_metrics_whole(c->metrics, job, &whole, NULL) < 0)
        return false;
    f = c->fill = lt_calloc(1, sizeof *f);
    f->c = c;
    f->job = lt_strdup(job);
    f->run_dir = lt_strdup(fold->run_dir ? fold->run_dir : "");
    f->node = lt_strdup(node);
    f->whole = whole;
    f->ended = b->ended;
    ask(f, FOLDER, 0, on_entries);
    return c->fill != NULL;
}

void lt_coord_fill_next(struct lt_coord *c)
{
    const char *job;
    void *b;

    for (size_t i = 0; !c->fill && c->core && lt_map_next(c->behind, &i, &job, &b);)
        if (begin(c, job, b))
            return;
}
