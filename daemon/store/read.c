/* read.c - the log read back, each row checked against its crc and its neighbour */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "daemon/store/row.h"
#include "daemon/store/sql.h"
#include "daemon/store/store_impl.h"

uint32_t lt_row_crc(uint32_t before, uint64_t seq, const char *job, const void *payload, size_t len)
{
    LT_BUF_AUTO head = {0};
    uint32_t crc;

    lt_buf_u32(&head, before);
    lt_buf_u64(&head, seq);
    lt_buf_append(&head, job, strlen(job) + 1);
    crc = lt_crc32c(0, head.data, head.len);
    return lt_crc32c(crc, payload, len);
}

static int damaged(const struct lt_store *s, uint64_t seq, const char *how, struct lt_error *err)
{
    return lt_error_set(err, -EBADMSG,
                        "%s: table events, row seq=%llu %s. Nothing was changed. Restore the file "
                        "from a backup; or, to "
                        "give up all jobs' history, move it away and start again",
                        s->path, (unsigned long long)seq, how);
}

/* What stands for an event of a removed job: lt.v1.Event with a seq and nothing else (tag 1,
 * varint). */
static size_t blank_event(uint8_t out[11], uint64_t seq)
{
    size_t n = 0;

    out[n++] = 0x08;
    for (; seq >= 0x80; seq >>= 7)
        out[n++] = (uint8_t)(seq | 0x80);
    out[n++] = (uint8_t)seq;
    return n;
}

/* Columns: seq, job, crc, payload, gone, crc of the row before (NULL: none). */
static int check_row(const struct lt_store *s, sqlite3_stmt *q, struct lt_store_event *e,
                     uint8_t blank[11], struct lt_error *err)
{
    uint32_t before = (uint32_t)sqlite3_column_int64(q, 5);

    e->seq = (uint64_t)sqlite3_column_int64(q, 0);
    e->job = (const char *)sqlite3_column_text(q, 1);
    e->data = sqlite3_column_blob(q, 3);
    e->len = (size_t)sqlite3_column_bytes(q, 3);
    if (!e->job)
        return damaged(s, e->seq, "has no job", err);
    if (e->seq > 1 && sqlite3_column_type(q, 5) == SQLITE_NULL)
        return damaged(s, e->seq - 1, "is missing", err);
    if (sqlite3_column_int(q, 4)) {
        e->data = blank;
        e->len = blank_event(blank, e->seq);
        return 0;
    }
    if (lt_row_crc(before, e->seq, e->job, e->data, e->len) != (uint32_t)sqlite3_column_int64(q, 2))
        return damaged(s, e->seq, "does not match its checksum", err);
    return 0;
}

#define COLUMNS                                                                                    \
    "SELECT e.seq, e.job, e.crc, e.payload, e.gone, (SELECT p.crc FROM events p WHERE p.seq = "    \
    "e.seq - 1)"                                                                                   \
    " FROM events e WHERE e.seq > ?1 "

int lt_store_read(struct lt_store *s, uint64_t from, const char *job, size_t max,
                  lt_store_read_fn *fn, void *arg, struct lt_error *err)
{
    static const char all[] = COLUMNS "ORDER BY e.seq",
                      of_job[] = COLUMNS "AND e.job = ?2 AND e.gone = 0 ORDER BY e.seq";
    LT_STMT_AUTO *q = NULL;
    uint64_t next = from + 1;
    uint8_t blank[11];
    size_t n = 0;
    int rc = lt_store_readable(s, err), step = SQLITE_DONE;

    if (rc == 0)
        rc = lt_sql_prepare(s->db, s->path, job ? of_job : all, &q, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(q, 1, (sqlite3_int64)from);
    if (job)
        sqlite3_bind_text(q, 2, job, -1, SQLITE_STATIC);
    while ((!max || n < max) && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct lt_store_event e = {0};

        rc = check_row(s, q, &e, blank, err);
        if (rc == 0 && !job && e.seq != next)
            rc = damaged(s, next, "is missing", err);
        if (rc < 0)
            return rc;
        rc = fn(arg, &e);
        if (rc != 0)
            return rc;
        next = e.seq + 1;
        n++;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return lt_sql_fail(s->db, step, s->path, "read", err);
    if (!job && step == SQLITE_DONE && (!max || n < max) && next != s->last_seq + 1 &&
        from < s->last_seq)
        return damaged(s, next, "is missing", err);
    return 0;
}
