/* metrics_old.c - the first layout, as ltd 0.1.0 wrote it
 *
 * Rows were numbered through the whole file and had no checksums; which attempts are whole wasn't
 * noted. Its journals were not kept, so the values are taken over as they are.
 */
#include <string.h>

#include "base/mem.h"
#include "daemon/store/metrics_impl.h"

static int number_of(struct lt_metrics *m, const char *sql, int64_t *out, struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc = lt_sql_prepare(m->db, m->path, sql, &q, err), step;

    if (rc < 0)
        return rc;
    step = sqlite3_step(q);
    if (step != SQLITE_ROW)
        return lt_sql_fail(m->db, step, m->path, "read", err);
    *out = sqlite3_column_int64(q, 0);
    return 0;
}

static int copy_point(struct lt_metrics *m, sqlite3_stmt *q, struct lt_error *err)
{
    Lt__V1__MetricValue value = LT__V1__METRIC_VALUE__INIT, *list[] = {&value};
    Lt__V1__MetricValues v = LT__V1__METRIC_VALUES__INIT;
    int64_t bits = sqlite3_column_int64(q, 5);

    v.step = (uint64_t)sqlite3_column_int64(q, 2);
    v.epoch = (uint64_t)sqlite3_column_int64(q, 3);
    v.values = list;
    v.n_values = 1;
    value.name = (char *)sqlite3_column_text(q, 4);
    memcpy(&value.value, &bits, sizeof value.value);
    return lt_metrics_add_points(m, (const char *)sqlite3_column_text(q, 0),
                                 (uint32_t)sqlite3_column_int64(q, 1), &v, err);
}

static int copy_offset(struct lt_metrics *m, sqlite3_stmt *q, struct lt_error *err)
{
    return lt_metrics_put_offset(m, (const char *)sqlite3_column_text(q, 0),
                                 (uint32_t)sqlite3_column_int64(q, 1),
                                 (uint32_t)sqlite3_column_int64(q, 2),
                                 (uint64_t)sqlite3_column_int64(q, 3), err);
}

static int copy_all(struct lt_metrics *m, const char *sql,
                    int (*copy)(struct lt_metrics *, sqlite3_stmt *, struct lt_error *),
                    struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc = lt_sql_prepare(m->db, m->path, sql, &q, err), step = SQLITE_DONE;

    while (rc == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
        rc = copy(m, q, err);
    return rc == 0 && step != SQLITE_DONE ? lt_sql_fail(m->db, step, m->path, "read", err) : rc;
}

static int convert(struct lt_metrics *m, struct lt_error *err)
{
    int rc = lt_sql_exec(m->db, m->path,
                         "ALTER TABLE jobs ADD COLUMN whole INTEGER NOT NULL DEFAULT 0;"
                         "ALTER TABLE points RENAME TO old_points;"
                         "ALTER TABLE offsets RENAME TO old_offsets",
                         err);

    if (rc == 0)
        rc = lt_sql_exec(m->db, m->path, lt_metrics_schema, err);
    if (rc == 0)
        rc = lt_metrics_prepare(m, err);
    if (rc == 0)
        rc = copy_all(m,
                      "SELECT j.job, p.attempt, p.step, p.epoch, n.name, p.bits FROM old_points p"
                      " JOIN jobs j ON j.id = p.job JOIN names n ON n.id = p.name ORDER BY p.row",
                      copy_point, err);
    if (rc == 0)
        rc = copy_all(m,
                      "SELECT j.job, o.attempt, o.rank, o.end_offset FROM old_offsets o"
                      " JOIN jobs j ON j.id = o.job",
                      copy_offset, err);
    return rc < 0 ? rc
                  : lt_sql_exec(m->db, m->path, "DROP TABLE old_points; DROP TABLE old_offsets",
                                err);
}

int lt_metrics_convert(struct lt_metrics *m, struct lt_error *err)
{
    int64_t layout = 0, tables = 0;
    int rc = number_of(m, "PRAGMA user_version", &layout, err);

    if (rc == 0)
        rc = number_of(m, "SELECT count(*) FROM sqlite_schema WHERE name = 'points'", &tables, err);
    if (rc < 0 || layout > 0 || tables == 0)
        return rc;
    rc = lt_sql_exec(m->db, m->path, "BEGIN IMMEDIATE", err);
    if (rc == 0)
        rc = convert(m, err);
    return rc < 0 ? rc : lt_sql_exec(m->db, m->path, "COMMIT", err);
}
