/* store.c - the event log in SQLite: append, probe, snapshots
 *
 * After a commit has failed nobody knows what of it lies in the WAL: the transaction is rolled back
 * in memory, but a crash could still bring it back. So after a failed write the file is closed and
 * opened again: what is read from then on is what a restarted daemon would read. Writes are refused
 * until lt_store_probe() succeeds.
 */
#include "daemon/store/store.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/store/row.h"
#include "daemon/store/sql.h"
#include "daemon/store/store_impl.h"
#include "daemon/store/wal.h"
#include "sys/paths.h"

#define SNAPSHOTS_KEPT "2"

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, job TEXT NOT NULL,"
    " crc INTEGER NOT NULL,"
    " gone INTEGER NOT NULL DEFAULT 0, payload BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS events_of_job ON events (job, seq);"
    "CREATE TABLE IF NOT EXISTS snapshots (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL,"
    " data BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS forgotten (job TEXT PRIMARY KEY, seq INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES ('version', 1);";

static int64_t query_number(struct lt_store *s, const char *sql, int64_t otherwise, int *rc,
                            struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int step;

    *rc = lt_sql_prepare(s->db, s->path, sql, &q, err);
    if (*rc < 0)
        return otherwise;
    step = sqlite3_step(q);
    if (step == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL)
        return sqlite3_column_int64(q, 0);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        *rc = lt_sql_fail(s->db, step, s->path, "read", err);
    return otherwise;
}

static int check_version(struct lt_store *s, struct lt_error *err)
{
    int rc;
    int64_t version = query_number(s, "SELECT value FROM meta WHERE key = 'version'", 0, &rc, err);

    if (rc < 0)
        return rc;
    if (version != LT_STORE_SCHEMA_VERSION)
        return lt_error_set(err, -ENOTSUP,
                            "%s: its version is %lld, this program knows %d: run the newer program",
                            s->path, (long long)version, LT_STORE_SCHEMA_VERSION);
    return 0;
}

static int load_end(struct lt_store *s, struct lt_error *err)
{
    int rc;

    s->last_seq = (uint64_t)query_number(s, "SELECT max(seq) FROM events", 0, &rc, err);
    if (rc == 0)
        s->last_crc = (uint32_t)query_number(s, "SELECT crc FROM events ORDER BY seq DESC LIMIT 1",
                                             0, &rc, err);
    if (rc == 0)
        s->snapshot_seq = (uint64_t)query_number(s, "SELECT max(seq) FROM snapshots", 0, &rc, err);
    if (rc == 0 && s->snapshot_seq > s->last_seq)
        return lt_error_set(
            err, -EBADMSG,
            "%s: the log ends at event %llu, but a snapshot is of event %llu: its end is "
            "lost. Restore the file from a backup, or move it away to begin anew",
            s->path, (unsigned long long)s->last_seq, (unsigned long long)s->snapshot_seq);
    return rc;
}

static int prepare_all(struct lt_store *s, struct lt_error *err)
{
    return lt_sql_prepare(s->db, s->path,
                          "INSERT INTO events (seq, job, crc, payload) VALUES (?, ?, ?, ?)",
                          &s->insert, err);
}

static void disconnect(struct lt_store *s)
{
    sqlite3_finalize(s->insert);
    s->insert = NULL;
    if (s->db)
        sqlite3_close(s->db);
    s->db = NULL;
}

static int connect_store(struct lt_store *s, struct lt_error *err)
{
    int rc = s->vfs ? 0 : lt_wal_check(s->path, err);

    if (rc == 0)
        rc = lt_sql_open(s->path, s->vfs, "FULL", &s->db, err);
    if (rc == 0)
        rc = lt_sql_exec(s->db, s->path, "BEGIN IMMEDIATE", err);
    if (rc == 0)
        rc = lt_sql_exec(s->db, s->path, schema, err);
    if (rc == 0)
        rc = lt_sql_exec(s->db, s->path, "COMMIT", err);
    if (rc == 0)
        rc = check_version(s, err);
    if (rc == 0)
        rc = load_end(s, err);
    if (rc == 0)
        rc = prepare_all(s, err);
    if (rc < 0)
        disconnect(s);
    return rc;
}

int lt_store_open(const char *dir, const struct lt_store_options *options, struct lt_store **out,
                  struct lt_error *err)
{
    LT_AUTO(lt_store_close) struct lt_store *s = lt_calloc(1, sizeof *s);
    int rc;

    s->path = lt_path_join(dir, "events.db");
    s->vfs = options && options->vfs ? lt_strdup(options->vfs) : NULL;
    rc = connect_store(s, err);
    if (rc < 0)
        return rc;
    *out = LT_TAKE(s);
    return 0;
}

void lt_store_close(struct lt_store *s)
{
    if (!s)
        return;
    disconnect(s);
    lt_free(s->path);
    lt_free(s->vfs);
    lt_free(s);
}

int lt_store_readable(const struct lt_store *s, struct lt_error *err)
{
    return s->db ? 0
                 : lt_error_set(err, -EIO,
                                "%s: can't be opened after a failed write, until a probe succeeds",
                                s->path);
}

static int writable(const struct lt_store *s, struct lt_error *err)
{
    if (s->suspect)
        return lt_error_set(err, -EIO, "%s: a write has failed; no other until a probe succeeds",
                            s->path);
    return lt_store_readable(s, err);
}

/* ---- append */

static int insert_events(struct lt_store *s, const struct lt_store_event *events, size_t n,
                         uint32_t *crc, struct lt_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *job = events[i].job ? events[i].job : "";
        int rc;

        *crc = lt_row_crc(*crc, events[i].seq, job, events[i].data, events[i].len);
        sqlite3_bind_int64(s->insert, 1, (sqlite3_int64)events[i].seq);
        sqlite3_bind_text(s->insert, 2, job, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s->insert, 3, *crc);
        sqlite3_bind_blob64(s->insert, 4, events[i].len ? events[i].data : "", events[i].len,
                            SQLITE_STATIC);
        rc = sqlite3_step(s->insert);
        if (rc != SQLITE_DONE)
            rc = lt_sql_fail(s->db, rc, s->path, "append", err);
        else
            rc = 0;
        sqlite3_reset(s->insert);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Between BEGIN and COMMIT. */
static int transact(struct lt_store *s, int (*body)(struct lt_store *, void *, struct lt_error *),
                    void *arg, struct lt_error *err)
{
    int rc = lt_sql_exec(s->db, s->path, "BEGIN IMMEDIATE", err);

    if (rc == 0)
        rc = body(s, arg, err);
    if (rc == 0)
        rc = lt_sql_exec(s->db, s->path, "COMMIT", err);
    if (rc < 0) {
        disconnect(s);
        s->suspect = true;
        connect_store(s, NULL);
    }
    return rc;
}

struct batch {
    const struct lt_store_event *events;
    size_t n;
    uint32_t crc;
};

static int append_body(struct lt_store *s, void *arg, struct lt_error *err)
{
    struct batch *b = arg;

    return insert_events(s, b->events, b->n, &b->crc, err);
}

int lt_store_append(struct lt_store *s, const struct lt_store_event *events, size_t n,
                    struct lt_error *err)
{
    struct batch b = {events, n, s->last_crc};
    int rc = writable(s, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        if (events[i].seq != s->last_seq + 1 + i)
            rc = lt_error_set(err, -ESTALE, "%s: event %llu can't follow event %llu", s->path,
                              (unsigned long long)events[i].seq,
                              (unsigned long long)(s->last_seq + i));
    if (rc < 0 || n == 0)
        return rc;
    rc = transact(s, append_body, &b, err);
    if (rc < 0)
        return rc;
    s->last_seq += n;
    s->last_crc = b.crc;
    return 0;
}

uint64_t lt_store_last_seq(const struct lt_store *s)
{
    return s->last_seq;
}

static int probe_body(struct lt_store *s, void *arg, struct lt_error *err)
{
    (void)arg;
    return lt_sql_exec(s->db, s->path,
                       "INSERT INTO probe VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1",
                       err);
}

int lt_store_probe(struct lt_store *s, struct lt_error *err)
{
    int rc = s->db ? 0 : connect_store(s, err);

    if (rc == 0)
        rc = transact(s, probe_body, NULL, err);
    if (rc == 0)
        s->suspect = false;
    return rc;
}

/* ---- snapshots */

struct snapshot {
    uint64_t seq;
    const void *data;
    size_t len;
};

/* Events of removed jobs that no kept snapshot needs become empty rows; their crc stays, the next
 * row's hangs on it. */
static const char prune[] =
    "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC "
    "LIMIT " SNAPSHOTS_KEPT ");"
    "UPDATE events SET payload = x'', gone = 1 WHERE job IN (SELECT job FROM forgotten WHERE seq <="
    " (SELECT min(seq) FROM snapshots));"
    "DELETE FROM forgotten WHERE seq <= (SELECT min(seq) FROM snapshots);";

static int snapshot_body(struct lt_store *s, void *arg, struct lt_error *err)
{
    const struct snapshot *snap = arg;
    LT_STMT_AUTO *q = NULL;
    int rc = lt_sql_prepare(s->db, s->path, "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", &q,
                            err);

    if (rc < 0)
        return rc;
    sqlite3_bind_int64(q, 1, (sqlite3_int64)snap->seq);
    sqlite3_bind_int64(q, 2, lt_row_crc(0, snap->seq, "", snap->data, snap->len));
    sqlite3_bind_blob64(q, 3, snap->len ? snap->data : "", snap->len, SQLITE_STATIC);
    rc = sqlite3_step(q);
    if (rc != SQLITE_DONE)
        return lt_sql_fail(s->db, rc, s->path, "snapshot", err);
    return lt_sql_exec(s->db, s->path, prune, err);
}

int lt_store_snapshot_save(struct lt_store *s, uint64_t seq, const void *data, size_t len,
                           struct lt_error *err)
{
    struct snapshot snap = {seq, data, len};
    int rc = writable(s, err);

    if (rc == 0 && seq > s->last_seq)
        rc = lt_error_set(err, -EINVAL, "%s: a snapshot of event %llu, which isn't in the log",
                          s->path, (unsigned long long)seq);
    if (rc < 0)
        return rc;
    s->tried_seq = s->last_seq;
    rc = transact(s, snapshot_body, &snap, err);
    if (rc == 0)
        s->snapshot_seq = seq;
    else
        lt_store_probe(s, NULL); /* a fold that doesn't fit says nothing of the next event */
    return rc;
}

int lt_store_snapshot_load(struct lt_store *s, uint64_t *seq, struct lt_buf *out,
                           struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc = lt_store_readable(s, err);

    if (rc == 0)
        rc = lt_sql_prepare(s->db, s->path,
                            "SELECT seq, crc, data FROM snapshots ORDER BY seq DESC", &q, err);
    if (rc < 0)
        return rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        uint64_t at = (uint64_t)sqlite3_column_int64(q, 0);
        const void *data = sqlite3_column_blob(q, 2);
        size_t len = (size_t)sqlite3_column_bytes(q, 2);

        if (lt_row_crc(0, at, "", data, len) != (uint32_t)sqlite3_column_int64(q, 1))
            continue; /* the older one, or the whole log, gives the same state */
        *seq = at;
        lt_buf_append(out, data, len);
        return 0;
    }
    return rc == SQLITE_DONE ? lt_error_set(err, -ENOENT, "%s: no snapshot", s->path)
                             : lt_sql_fail(s->db, rc, s->path, "read a snapshot", err);
}

uint64_t lt_store_since_snapshot(const struct lt_store *s)
{
    return s->last_seq - LT_MAX(s->snapshot_seq, s->tried_seq);
}

static int forget_body(struct lt_store *s, void *arg, struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc =
        lt_sql_prepare(s->db, s->path, "INSERT OR REPLACE INTO forgotten VALUES (?, ?)", &q, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_text(q, 1, arg, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)s->last_seq);
    rc = sqlite3_step(q);
    return rc == SQLITE_DONE ? 0 : lt_sql_fail(s->db, rc, s->path, "forget", err);
}

int lt_store_forget(struct lt_store *s, const char *job, struct lt_error *err)
{
    int rc = writable(s, err);

    return rc < 0 ? rc : transact(s, forget_body, (void *)job, err);
}
