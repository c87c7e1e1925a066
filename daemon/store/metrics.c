/* metrics.c - values by job, attempt and row: tables, checksums, opening, mending
 *
 * Values are kept as the 64 bits of a double: SQLite has no NaN. Row numbers count within an attempt,
 * and `attempts` says how many there are: a row that is lost is missed when it is read.
 */
#include "daemon/store/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/store/metrics_impl.h"
#include "sys/file.h"
#include "sys/paths.h"

#define LAYOUT "2"

const char lt_metrics_schema[] =
    "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, job TEXT NOT NULL UNIQUE,"
    " whole INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE IF NOT EXISTS attempts (job INTEGER, attempt INTEGER, rows INTEGER NOT NULL,"
    " first_step INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (job, attempt)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS points (job INTEGER, attempt INTEGER, row INTEGER,"
    " step INTEGER NOT NULL, epoch INTEGER NOT NULL, name INTEGER NOT NULL, bits INTEGER NOT NULL,"
    " sum INTEGER NOT NULL, PRIMARY KEY (job, attempt, row)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS latest (job INTEGER, name INTEGER, attempt INTEGER NOT NULL,"
    " row INTEGER NOT NULL, step INTEGER NOT NULL, epoch INTEGER NOT NULL, bits INTEGER NOT NULL,"
    " sum INTEGER NOT NULL, PRIMARY KEY (job, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS offsets (job INTEGER, attempt INTEGER, rank INTEGER,"
    " end_offset INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY (job, attempt, rank)) WITHOUT ROWID;"
    "PRAGMA user_version = " LAYOUT;

/* ---- checksums */

uint32_t lt_metrics_sum(const char *job, const uint64_t *numbers, size_t n)
{
    uint32_t sum = lt_crc32c(0, job, strlen(job) + 1);

    return lt_crc32c(sum, numbers, n * sizeof *numbers);
}

uint32_t lt_metrics_point_sum(const char *job, const struct lt_metric_point *p)
{
    uint64_t numbers[] = {p->attempt, p->row, p->step, p->epoch, 0};
    uint32_t sum;

    memcpy(&numbers[4], &p->value, sizeof p->value);
    sum = lt_metrics_sum(job, numbers, LT_ARRAY_LEN(numbers));
    return lt_crc32c(sum, p->name, strlen(p->name));
}

/* ---- open, mend, close */

int lt_metrics_prepare(struct lt_metrics *m, struct lt_error *err)
{
    const struct {
        sqlite3_stmt **slot;
        const char *sql;
    } all[] = {
        {&m->intern_job, "INSERT INTO jobs (job) VALUES (?1)"
                         " ON CONFLICT (job) DO UPDATE SET job = ?1 RETURNING id"},
        {&m->intern_name, "INSERT INTO names (name) VALUES (?1)"
                          " ON CONFLICT (name) DO UPDATE SET name = ?1 RETURNING id"},
        {&m->offset, "SELECT end_offset, sum FROM offsets WHERE job = " ID_OF_JOB
                     " AND attempt = ?2 AND rank = ?3"},
        {&m->set_offset, "INSERT OR REPLACE INTO offsets VALUES (" ID_OF_JOB ", ?2, ?3, ?4, ?5)"},
        {&m->attempt,
         "SELECT rows, first_step, sum FROM attempts WHERE job = " ID_OF_JOB " AND attempt = ?2"},
        {&m->set_attempt, "INSERT OR REPLACE INTO attempts VALUES (" ID_OF_JOB ", ?2, ?3, ?4, ?5)"},
        {&m->insert,
         "INSERT INTO points VALUES (" ID_OF_JOB ", ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
        {&m->set_latest,
         "INSERT INTO latest (job, attempt, row, step, epoch, name, bits, sum)"
         " VALUES (" ID_OF_JOB ", ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (job, name) DO UPDATE SET"
         " attempt = ?2, row = ?3, step = ?4, epoch = ?5, bits = ?7, sum = ?8"
         " WHERE (?2, ?3) > (attempt, row)"},
        {&m->whole, "SELECT whole FROM jobs WHERE job = ?1"},
        {&m->set_whole, "UPDATE jobs SET whole = ?2 WHERE job = ?1 AND whole = ?2 - 1"},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof all[0]; i++)
        rc = lt_sql_prepare(m->db, m->path, all[i].sql, all[i].slot, err);
    return rc;
}

static void disconnect(struct lt_metrics *m)
{
    sqlite3_stmt **all[] = {&m->intern_job, &m->intern_name, &m->offset,      &m->set_offset,
                            &m->attempt,    &m->set_attempt, &m->insert,      &m->set_latest,
                            &m->whole,      &m->set_whole};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        sqlite3_finalize(*all[i]);
        *all[i] = NULL;
    }
    sqlite3_close(m->db);
    m->db = NULL;
    m->open = false;
    lt_map_free(m->names);
    m->names = NULL;
}

static int connect_metrics(struct lt_metrics *m, struct lt_error *err)
{
    int rc = lt_sql_open(m->path, NULL, "NORMAL", &m->db, err);

    m->names = lt_map_new(NULL);
    if (rc == 0)
        rc = lt_metrics_convert(m, err);
    if (rc == 0)
        rc = lt_sql_exec(m->db, m->path, lt_metrics_schema, err);
    if (rc == 0 && !m->insert)
        rc = lt_metrics_prepare(m, err);
    if (rc < 0)
        disconnect(m);
    return rc;
}

/* Nothing here is the truth: put it aside for whoever wants to look, and go on. */
static int renew(struct lt_metrics *m, struct lt_error *err)
{
    LT_AUTO(lt_free) char *aside = lt_format("%s.damaged", m->path);
    LT_AUTO(lt_free) char *wal = lt_format("%s-wal", m->path);
    int rc = lt_file_rename(m->path, aside, err);

    if (rc == 0)
        rc = lt_file_unlink(wal, err);
    return rc < 0 ? rc : connect_metrics(m, err);
}

int lt_metrics_mend(struct lt_metrics *m, bool *renewed, struct lt_error *err)
{
    bool damaged = m->broken.code == -EBADMSG;
    int rc;

    disconnect(m);
    rc = damaged ? -EBADMSG : connect_metrics(m, err);
    *renewed = rc == -EBADMSG;
    if (*renewed)
        rc = renew(m, err);
    if (rc == 0)
        memset(&m->broken, 0, sizeof m->broken);
    return rc;
}

const char *lt_metrics_broken(const struct lt_metrics *m)
{
    return m->broken.code ? m->broken.text : NULL;
}

int lt_metrics_open(const char *dir, struct lt_metrics **out, bool *renewed, struct lt_error *err)
{
    LT_AUTO(lt_metrics_close) struct lt_metrics *m = lt_calloc(1, sizeof *m);
    int rc;

    m->path = lt_path_join(dir, "metrics.db");
    rc = lt_metrics_mend(m, renewed, err);
    if (rc < 0)
        return rc;
    *out = LT_TAKE(m);
    return 0;
}

void lt_metrics_close(struct lt_metrics *m)
{
    if (!m)
        return;
    if (m->db && !m->broken.code)
        lt_metrics_flush(m, NULL);
    disconnect(m);
    lt_free(m->path);
    lt_free(m);
}

int lt_metrics_note(struct lt_metrics *m, int rc, bool writing, const struct lt_error *why,
                    struct lt_error *err)
{
    if (rc >= 0)
        return rc;
    if (!m->broken.code && (writing || rc == -EBADMSG)) {
        m->broken = *why;
        m->broken.code = rc;
    }
    return lt_error_set(err, rc, "%s", why->text);
}
