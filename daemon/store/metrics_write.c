/* metrics_write.c - values, and how far a journal has been taken in
 *
 * A record's values and its offset are written in one transaction, so a record that comes again
 * after a crash is known or unknown as a whole. Inside, errors are told; at the edge they are
 * remembered.
 */
#include "daemon/store/metrics.h"

#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "daemon/store/metrics_impl.h"

static int usable(const struct lt_metrics *m, struct lt_error *err)
{
    return m->broken.code ? lt_error_set(err, m->broken.code, "%s", m->broken.text) : 0;
}

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

static void bind(sqlite3_stmt *q, const char *job, const int64_t *numbers, size_t n)
{
    sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
    for (size_t i = 0; i < n; i++)
        sqlite3_bind_int64(q, (int)i + 2, numbers[i]);
}

static int run(struct lt_metrics *m, sqlite3_stmt *q, const char *job, const int64_t *numbers,
               size_t n, struct lt_error *err)
{
    int rc;

    bind(q, job, numbers, n);
    rc = sqlite3_step(q);
    rc = rc == SQLITE_DONE ? 0 : lt_sql_fail(m->db, rc, m->path, "write", err);
    sqlite3_reset(q);
    return rc;
}

#define COLUMNS 3 /* at most */
/* One row of numbers, its checksum behind them. 1: there is one; 0: none; <0. */
static int look(struct lt_metrics *m, sqlite3_stmt *q, const char *job, const int64_t *key,
                size_t n_key, int64_t *row, size_t n_row, struct lt_error *err)
{
    uint64_t numbers[COLUMNS + COLUMNS];
    int rc;

    bind(q, job, key, n_key);
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        for (size_t i = 0; i < n_row; i++)
            row[i] = sqlite3_column_int64(q, (int)i);
        memcpy(numbers, key, n_key * sizeof *key);
        memcpy(numbers + n_key, row, n_row * sizeof *row);
        rc = sqlite3_column_int64(q, (int)n_row) == lt_metrics_sum(job, numbers, n_key + n_row)
                 ? 1
                 : lt_error_set(err, -EBADMSG, "%s: a row is damaged", m->path);
    } else {
        rc = rc == SQLITE_DONE ? 0 : lt_sql_fail(m->db, rc, m->path, "read", err);
    }
    sqlite3_reset(q);
    return rc;
}

static int put(struct lt_metrics *m, sqlite3_stmt *q, const char *job, int64_t *numbers, size_t n,
               struct lt_error *err)
{
    numbers[n] = lt_metrics_sum(job, (const uint64_t *)numbers, n);
    return run(m, q, job, numbers, n + 1, err);
}

int lt_metrics_put_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                          uint64_t end_offset, struct lt_error *err)
{
    int64_t numbers[] = {attempt, rank, (int64_t)end_offset, 0};

    return put(m, m->set_offset, job, numbers, 3, err);
}

/* Numbers of names don't change: those that were seen are remembered. */
static int name_number(struct lt_metrics *m, const char *name, int64_t *id, struct lt_error *err)
{
    uintptr_t known = (uintptr_t)lt_map_get(m->names, name);
    int rc = 0;

    *id = (int64_t)known;
    if (!known)
        rc = intern(m, m->intern_name, name, id, err);
    if (rc == 0 && !known)
        lt_map_set(m->names, name, (void *)(uintptr_t)*id); /* whole: ids begin at 1 */
    return rc;
}

static int add_point(struct lt_metrics *m, const char *job, const struct lt_metric_point *p,
                     struct lt_error *err)
{
    int64_t name, bits;
    int rc = name_number(m, p->name, &name, err);

    memcpy(&bits, &p->value, sizeof bits);
    if (rc == 0) {
        int64_t point[] = {p->attempt, (int64_t)p->row, (int64_t)p->step, (int64_t)p->epoch,
                           name,       bits,            lt_metrics_point_sum(job, p)};

        rc = run(m, m->insert, job, point, LT_ARRAY_LEN(point), err);
        if (rc == 0)
            rc = run(m, m->set_latest, job, point, LT_ARRAY_LEN(point), err);
    }
    return rc;
}

int lt_metrics_add_points(struct lt_metrics *m, const char *job, uint32_t attempt,
                          const Lt__V1__MetricValues *v, struct lt_error *err)
{
    int64_t key[] = {attempt}, had[2] = {0, (int64_t)v->step};
    struct lt_metric_point p = {.attempt = attempt, .step = v->step, .epoch = v->epoch};
    int rc = look(m, m->attempt, job, key, 1, had, 2, err);

    for (size_t i = 0; rc >= 0 && i < v->n_values; i++) {
        p.name = v->values[i]->name ? v->values[i]->name : "";
        p.value = v->values[i]->value;
        p.row = (uint64_t)had[0] + 1 + i;
        rc = add_point(m, job, &p, err);
    }
    if (rc >= 0 && v->n_values) {
        int64_t now[] = {attempt, (int64_t)p.row, LT_MIN(had[1], (int64_t)v->step), 0};

        rc = put(m, m->set_attempt, job, now, 3, err);
    }
    return rc < 0 ? rc : 0;
}

static int begin(struct lt_metrics *m, struct lt_error *err)
{
    int rc = m->open ? 0 : lt_sql_exec(m->db, m->path, "BEGIN IMMEDIATE", err);

    m->open = rc == 0;
    return rc;
}

static int known_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                        uint64_t *offset, struct lt_error *err)
{
    int64_t key[] = {attempt, rank}, end = 0;
    int rc = look(m, m->offset, job, key, 2, &end, 1, err);

    *offset = (uint64_t)end;
    return rc < 0 ? rc : 0;
}

static int append(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                  uint64_t end_offset, const Lt__V1__MetricValues *values, struct lt_error *err)
{
    uint64_t known;
    int64_t id;
    int rc = known_offset(m, job, attempt, rank, &known, err);

    if (rc < 0 || end_offset <= known)
        return rc;
    rc = begin(m, err);
    if (rc == 0)
        rc = intern(m, m->intern_job, job, &id, err);
    if (rc == 0)
        rc = lt_metrics_add_points(m, job, attempt, values, err);
    return rc < 0 ? rc : lt_metrics_put_offset(m, job, attempt, rank, end_offset, err);
}

int lt_metrics_append(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                      uint64_t end_offset, const Lt__V1__MetricValues *values, struct lt_error *err)
{
    struct lt_error why = {0};
    int rc = usable(m, err);

    if (rc < 0)
        return rc;
    rc = append(m, job, attempt, rank, end_offset, values, &why);
    return lt_metrics_note(m, rc, true, &why, err);
}

int lt_metrics_flush(struct lt_metrics *m, struct lt_error *err)
{
    struct lt_error why = {0};
    int rc = usable(m, err);

    if (rc == 0 && m->open)
        rc = lt_metrics_note(m, lt_sql_exec(m->db, m->path, "COMMIT", &why), true, &why, err);
    m->open = false;
    return rc;
}

int lt_metrics_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                      uint64_t *offset, struct lt_error *err)
{
    struct lt_error why = {0};
    int rc = usable(m, err);

    if (rc < 0)
        return rc;
    rc = known_offset(m, job, attempt, rank, offset, &why);
    return lt_metrics_note(m, rc, false, &why, err);
}

/* ---- what is whole */

int lt_metrics_whole(struct lt_metrics *m, const char *job, uint32_t *attempts,
                     struct lt_error *err)
{
    struct lt_error why = {0};
    int rc = usable(m, err);

    if (rc < 0)
        return rc;
    *attempts = 0;
    sqlite3_bind_text(m->whole, 1, job, -1, SQLITE_STATIC);
    rc = sqlite3_step(m->whole);
    if (rc == SQLITE_ROW)
        *attempts = (uint32_t)sqlite3_column_int64(m->whole, 0);
    rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0
                                               : lt_sql_fail(m->db, rc, m->path, "read", &why);
    sqlite3_reset(m->whole);
    return lt_metrics_note(m, rc, false, &why, err);
}

int lt_metrics_set_whole(struct lt_metrics *m, const char *job, uint32_t attempt,
                         struct lt_error *err)
{
    int64_t number = attempt, id;
    struct lt_error why = {0};
    int rc = usable(m, err);

    if (rc < 0)
        return rc;
    rc = begin(m, &why);
    if (rc == 0)
        rc = intern(m, m->intern_job, job, &id, &why);
    if (rc == 0)
        rc = run(m, m->set_whole, job, &number, 1, &why);
    return lt_metrics_note(m, rc, true, &why, err);
}

int lt_metrics_forget(struct lt_metrics *m, const char *job, struct lt_error *err)
{
    static const char *const sql[] = {
        "DELETE FROM points WHERE job = " ID_OF_JOB,   "DELETE FROM latest WHERE job = " ID_OF_JOB,
        "DELETE FROM attempts WHERE job = " ID_OF_JOB, "DELETE FROM offsets WHERE job = " ID_OF_JOB,
        "DELETE FROM jobs WHERE job = ?1",
    };
    struct lt_error why = {0};
    int rc = usable(m, err);

    if (rc < 0)
        return rc;
    rc = begin(m, &why);
    for (size_t i = 0; rc == 0 && i < LT_ARRAY_LEN(sql); i++) {
        LT_STMT_AUTO *q = NULL;

        rc = lt_sql_prepare(m->db, m->path, sql[i], &q, &why);
        if (rc == 0)
            rc = run(m, q, job, NULL, 0, &why);
    }
    rc = lt_metrics_note(m, rc, true, &why, err);
    return rc < 0 ? rc : lt_metrics_flush(m, err);
}
