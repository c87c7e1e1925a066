/* metrics.c - values by job, name and step
 *
 * Values are kept as the 64 bits of a double: SQLite has no NaN. A record's values and its offset
 * are written in one transaction, so a record that comes again after a crash is known or unknown as
 * a whole.
 */
#include "daemon/store/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "daemon/store/sql.h"
#include "sys/file.h"
#include "sys/paths.h"

struct lt_metrics {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *intern_job, *intern_name, *offset, *set_offset, *insert;
    bool open; /* a transaction is */
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, job TEXT NOT NULL UNIQUE);"
    "CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE IF NOT EXISTS points (row INTEGER PRIMARY KEY AUTOINCREMENT,"
    " job INTEGER NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, name INTEGER NOT NULL,"
    " bits INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS points_of_job ON points (job, row);"
    "CREATE INDEX IF NOT EXISTS points_by_name ON points (job, name, row);"
    "CREATE TABLE IF NOT EXISTS offsets (job INTEGER, attempt INTEGER, rank INTEGER,"
    " end_offset INTEGER NOT NULL,"
    " PRIMARY KEY (job, attempt, rank)) WITHOUT ROWID;";

static int prepare_all(struct lt_metrics *m, struct lt_error *err)
{
    const struct {
        sqlite3_stmt **slot;
        const char *sql;
    } all[] = {
        {&m->intern_job, "INSERT INTO jobs (job) VALUES (?1)"
                         " ON CONFLICT (job) DO UPDATE SET job = ?1 RETURNING id"},
        {&m->intern_name, "INSERT INTO names (name) VALUES (?1)"
                          " ON CONFLICT (name) DO UPDATE SET name = ?1 RETURNING id"},
        {&m->offset,
         "SELECT end_offset FROM offsets WHERE job = (SELECT id FROM jobs WHERE job = ?1)"
         " AND attempt = ?2 AND rank = ?3"},
        {&m->set_offset, "INSERT OR REPLACE INTO offsets VALUES (?1, ?2, ?3, ?4)"},
        {&m->insert, "INSERT INTO points (job, attempt, step, epoch, name, bits)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof all[0]; i++)
        rc = lt_sql_prepare(m->db, m->path, all[i].sql, all[i].slot, err);
    return rc;
}

static void disconnect(struct lt_metrics *m)
{
    sqlite3_finalize(m->intern_job);
    sqlite3_finalize(m->intern_name);
    sqlite3_finalize(m->offset);
    sqlite3_finalize(m->set_offset);
    sqlite3_finalize(m->insert);
    m->intern_job = m->intern_name = m->offset = m->set_offset = m->insert = NULL;
    sqlite3_close(m->db);
    m->db = NULL;
    m->open = false;
}

static int connect_metrics(struct lt_metrics *m, struct lt_error *err)
{
    int rc = lt_sql_open(m->path, NULL, "NORMAL", &m->db, err);

    if (rc == 0)
        rc = lt_sql_exec(m->db, m->path, schema, err);
    if (rc == 0)
        rc = prepare_all(m, err);
    if (rc < 0)
        disconnect(m);
    return rc;
}

/* Nothing here is the truth: put it aside for whoever wants to look, and go on. */
static int renew(struct lt_metrics *m, struct lt_error *err)
{
    char *aside = lt_format("%s.damaged", m->path), *wal = lt_format("%s-wal", m->path);
    int rc = lt_file_rename(m->path, aside, err);

    if (rc == 0)
        rc = lt_file_unlink(wal, err);
    lt_free(aside);
    lt_free(wal);
    return rc < 0 ? rc : connect_metrics(m, err);
}

int lt_metrics_open(const char *dir, struct lt_metrics **out, bool *renewed, struct lt_error *err)
{
    LT_AUTO(lt_metrics_close) struct lt_metrics *m = lt_calloc(1, sizeof *m);
    int rc;

    m->path = lt_path_join(dir, "metrics.db");
    rc = connect_metrics(m, err);
    *renewed = rc == -EBADMSG;
    if (*renewed)
        rc = renew(m, err);
    if (rc < 0)
        return rc;
    *out = LT_TAKE(m);
    return 0;
}

void lt_metrics_close(struct lt_metrics *m)
{
    if (!m)
        return;
    if (m->db)
        lt_metrics_flush(m, NULL);
    disconnect(m);
    lt_free(m->path);
    lt_free(m);
}

/* ---- writing */

static int intern(struct lt_metrics *m, sqlite3_stmt *q, const char *text, int64_t *id,
                  struct lt_error *err)
{
    int rc;

    sqlite3_bind_text(q, 1, text, -1, SQLITE_STATIC);
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(q, 0);
        rc = 0;
    } else {
        rc = lt_sql_fail(m->db, rc, m->path, "write", err);
    }
    sqlite3_reset(q);
    return rc;
}

static int run(struct lt_metrics *m, sqlite3_stmt *q, struct lt_error *err)
{
    int rc = sqlite3_step(q);

    rc = rc == SQLITE_DONE ? 0 : lt_sql_fail(m->db, rc, m->path, "write", err);
    sqlite3_reset(q);
    return rc;
}

static int write_values(struct lt_metrics *m, int64_t job, uint32_t attempt,
                        const Lt__V1__MetricValues *v, struct lt_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < v->n_values; i++) {
        int64_t name, bits;

        rc = intern(m, m->intern_name, v->values[i]->name ? v->values[i]->name : "", &name, err);
        if (rc < 0)
            return rc;
        memcpy(&bits, &v->values[i]->value, sizeof bits);
        sqlite3_bind_int64(m->insert, 1, job);
        sqlite3_bind_int64(m->insert, 2, attempt);
        sqlite3_bind_int64(m->insert, 3, (sqlite3_int64)v->step);
        sqlite3_bind_int64(m->insert, 4, (sqlite3_int64)v->epoch);
        sqlite3_bind_int64(m->insert, 5, name);
        sqlite3_bind_int64(m->insert, 6, bits);
        rc = run(m, m->insert, err);
    }
    return rc;
}

static int usable(struct lt_metrics *m, struct lt_error *err)
{
    return m->db ? 0 : connect_metrics(m, err);
}

int lt_metrics_append(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                      uint64_t end_offset, const Lt__V1__MetricValues *values, struct lt_error *err)
{
    int64_t id;
    int rc = usable(m, err);

    if (rc < 0)
        return rc;
    if (end_offset && end_offset <= lt_metrics_offset(m, job, attempt, rank))
        return 0;
    if (!m->open)
        rc = lt_sql_exec(m->db, m->path, "BEGIN IMMEDIATE", err);
    m->open = rc == 0;
    if (rc == 0)
        rc = intern(m, m->intern_job, job, &id, err);
    if (rc == 0)
        rc = write_values(m, id, attempt, values, err);
    if (rc == 0) {
        sqlite3_bind_int64(m->set_offset, 1, id);
        sqlite3_bind_int64(m->set_offset, 2, attempt);
        sqlite3_bind_int64(m->set_offset, 3, rank);
        sqlite3_bind_int64(m->set_offset, 4, (sqlite3_int64)end_offset);
        rc = run(m, m->set_offset, err);
    }
    if (rc < 0)
        disconnect(m); /* what was gathered is given up; the journals still have it */
    return rc;
}

int lt_metrics_flush(struct lt_metrics *m, struct lt_error *err)
{
    int rc = 0;

    if (m->open)
        rc = lt_sql_exec(m->db, m->path, "COMMIT", err);
    m->open = false;
    if (rc < 0)
        disconnect(m);
    return rc;
}

uint64_t lt_metrics_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank)
{
    uint64_t offset = 0;

    if (usable(m, NULL) < 0)
        return 0;
    sqlite3_bind_text(m->offset, 1, job, -1, SQLITE_STATIC);
    sqlite3_bind_int64(m->offset, 2, attempt);
    sqlite3_bind_int64(m->offset, 3, rank);
    if (sqlite3_step(m->offset) == SQLITE_ROW)
        offset = (uint64_t)sqlite3_column_int64(m->offset, 0);
    sqlite3_reset(m->offset);
    return offset;
}

/* ---- reading */

/* First step of each attempt, highest attempt first: from there on older ones are superseded. */
struct cuts {
    struct {
        uint32_t attempt;
        uint64_t first;
    } *items;
    size_t len, cap;
};

static int load_cuts(struct lt_metrics *m, const char *job, struct cuts *cuts, struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc = lt_sql_prepare(m->db, m->path, "SELECT attempt, min(step) FROM points WHERE job ="
                            " (SELECT id FROM jobs WHERE job = ?1) GROUP BY attempt", &q, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        LT_GROW(cuts->items, cuts->len, cuts->cap);
        cuts->items[cuts->len].attempt = (uint32_t)sqlite3_column_int64(q, 0);
        cuts->items[cuts->len++].first = (uint64_t)sqlite3_column_int64(q, 1);
    }
    return rc == SQLITE_DONE ? 0 : lt_sql_fail(m->db, rc, m->path, "read", err);
}

static bool superseded(const struct cuts *cuts, const struct lt_metric_point *p)
{
    for (size_t i = 0; i < cuts->len; i++)
        if (cuts->items[i].attempt > p->attempt && p->step >= cuts->items[i].first)
            return true;
    return false;
}

/* Columns: row, attempt, step, epoch, name, bits. */
static int each_point(struct lt_metrics *m, sqlite3_stmt *q, const struct cuts *cuts, size_t max,
                      lt_metrics_fn *fn, void *arg, struct lt_error *err)
{
    size_t n = 0;
    int step = SQLITE_DONE;

    while ((!max || n < max) && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct lt_metric_point p = {
            .row = (uint64_t)sqlite3_column_int64(q, 0),
            .attempt = (uint32_t)sqlite3_column_int64(q, 1),
            .step = (uint64_t)sqlite3_column_int64(q, 2),
            .epoch = (uint64_t)sqlite3_column_int64(q, 3),
            .name = (const char *)sqlite3_column_text(q, 4),
        };
        int64_t bits = sqlite3_column_int64(q, 5);
        int rc;

        memcpy(&p.value, &bits, sizeof p.value);
        if (cuts && superseded(cuts, &p))
            continue;
        rc = fn(arg, &p);
        if (rc != 0)
            return rc;
        n++;
    }
    return step == SQLITE_ROW || step == SQLITE_DONE
               ? 0
               : lt_sql_fail(m->db, step, m->path, "read", err);
}

#define POINTS                                                                                     \
    "SELECT p.row, p.attempt, p.step, p.epoch, n.name, p.bits FROM points p"                      \
    " JOIN names n ON n.id = p.name"
#define OF_JOB " WHERE p.job = (SELECT id FROM jobs WHERE job = ?1)"

int lt_metrics_read(struct lt_metrics *m, const char *job, uint64_t since, bool rewound, size_t max,
                    lt_metrics_fn *fn, void *arg, struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    struct cuts cuts = {0};
    int rc = usable(m, err);

    if (rc == 0 && rewound)
        rc = load_cuts(m, job, &cuts, err);
    if (rc == 0)
        rc =
            lt_sql_prepare(m->db, m->path, POINTS OF_JOB " AND p.row > ?2 ORDER BY p.row", &q, err);
    if (rc == 0) {
        sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)since);
        rc = each_point(m, q, rewound ? &cuts : NULL, max, fn, arg, err);
    }
    lt_free(cuts.items);
    return rc;
}

int lt_metrics_latest(struct lt_metrics *m, const char *job, lt_metrics_fn *fn, void *arg,
                      struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc = usable(m, err);

    if (rc == 0)
        rc = lt_sql_prepare(m->db, m->path,
                            POINTS
                            " WHERE p.row IN (SELECT max(row) FROM points WHERE job ="
                            " (SELECT id FROM jobs WHERE job = ?1) GROUP BY name) ORDER BY n.name",
                            &q, err);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
    return each_point(m, q, NULL, 0, fn, arg, err);
}

int lt_metrics_forget(struct lt_metrics *m, const char *job, struct lt_error *err)
{
    static const char *const sql[] = {
        "DELETE FROM points WHERE job = (SELECT id FROM jobs WHERE job = ?1)",
        "DELETE FROM offsets WHERE job = (SELECT id FROM jobs WHERE job = ?1)",
        "DELETE FROM jobs WHERE job = ?1",
    };
    int rc = usable(m, err);

    for (size_t i = 0; rc == 0 && i < sizeof sql / sizeof sql[0]; i++) {
        LT_STMT_AUTO *q = NULL;

        rc = lt_sql_prepare(m->db, m->path, sql[i], &q, err);
        if (rc < 0)
            break;
        sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
        rc = run(m, q, err);
    }
    return rc;
}
