/* metrics_read.c - points of a job, each held against its checksum, its number and its attempt's
 * count */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/store/metrics_impl.h"

/* How many rows each attempt has, and its first step: behind it older attempts are superseded, and
 * at it what this one has, too. (An attempt that begins between an update's record and its
 * validation's has the second one alone.) */
struct attempts {
    struct attempt {
        uint32_t attempt;
        uint64_t rows, first;
    } *items;
    size_t len, cap;
};

struct reading {
    struct lt_metrics *m;
    const char *job;
    struct attempts attempts;
    bool rewound;
    uint32_t attempt; /* of the last row seen, and its number */
    uint64_t row;
};

static int damaged(const struct reading *r, const char *what, struct lt_error *err)
{
    return lt_error_set(err, -EBADMSG, "%s: job %s: %s", r->m->path, r->job, what);
}

static int load_attempts(struct reading *r, struct lt_error *err)
{
    struct attempts *all = &r->attempts;
    LT_STMT_AUTO *q = NULL;
    int rc = lt_sql_prepare(r->m->db, r->m->path,
                            "SELECT attempt, rows, first_step, sum FROM attempts WHERE job ="
                            " (SELECT id FROM jobs WHERE job = ?1) ORDER BY attempt",
                            &q, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_text(q, 1, r->job, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        uint64_t n[3];

        for (int i = 0; i < 3; i++)
            n[i] = (uint64_t)sqlite3_column_int64(q, i);
        if (sqlite3_column_int64(q, 3) != lt_metrics_sum(r->job, n, 3))
            return damaged(r, "an attempt's row is damaged", err);
        LT_GROW(all->items, all->len, all->cap);
        all->items[all->len++] =
            (struct attempt){.attempt = (uint32_t)n[0], .rows = n[1], .first = n[2]};
    }
    return rc == SQLITE_DONE ? 0 : lt_sql_fail(r->m->db, rc, r->m->path, "read", err);
}

/* Has it a value of that name at that step? */
static int has_value(const struct reading *r, uint32_t attempt, const struct lt_metric_point *p,
                     struct lt_error *err)
{
    LT_STMT_AUTO *q = NULL;
    int rc = lt_sql_prepare(r->m->db, r->m->path,
                            "SELECT 1 FROM points WHERE job = (SELECT id FROM jobs WHERE job = ?1)"
                            " AND attempt = ?2 AND step = ?3 AND"
                            " name = (SELECT id FROM names WHERE name = ?4) ORDER BY row LIMIT 1",
                            &q, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_text(q, 1, r->job, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, attempt);
    sqlite3_bind_int64(q, 3, (sqlite3_int64)p->step);
    sqlite3_bind_text(q, 4, p->name, -1, SQLITE_STATIC);
    rc = sqlite3_step(q);
    return rc == SQLITE_ROW    ? 1
           : rc == SQLITE_DONE ? 0
                               : lt_sql_fail(r->m->db, rc, r->m->path, "read", err);
}

/* 1: by a later attempt; 0: not; <0: error. */
static int superseded(const struct reading *r, const struct lt_metric_point *p,
                      struct lt_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->attempts.len && rc == 0; i++) {
        const struct attempt *a = &r->attempts.items[i];

        if (a->attempt > p->attempt && p->step >= a->first)
            rc = p->step > a->first ? 1 : has_value(r, a->attempt, p, err);
    }
    return rc;
}

static uint64_t rows_of(const struct attempts *all, uint32_t attempt)
{
    for (size_t i = 0; i < all->len; i++)
        if (all->items[i].attempt == attempt)
            return all->items[i].rows;
    return 0;
}

/* The next row is this one; or there is none, and p is NULL. */
static int check_place(struct reading *r, const struct lt_metric_point *p, struct lt_error *err)
{
    if (p && p->attempt == r->attempt)
        return p->row == ++r->row ? 0 : damaged(r, "rows are missing", err);
    if (r->row < rows_of(&r->attempts, r->attempt))
        return damaged(r, "rows are missing at the end of an attempt", err);
    for (size_t i = 0; i < r->attempts.len; i++) /* a whole attempt between the two */
        if (r->attempts.items[i].attempt > r->attempt &&
            (!p || r->attempts.items[i].attempt < p->attempt))
            return damaged(r, "an attempt's rows are missing", err);
    if (!p)
        return 0;
    r->attempt = p->attempt;
    r->row = p->row;
    return p->row == 1 ? 0 : damaged(r, "rows are missing", err);
}

/* Columns: attempt, row, step, epoch, name, bits, sum. */
static int take_point(const struct reading *r, sqlite3_stmt *q, struct lt_metric_point *p,
                      struct lt_error *err)
{
    int64_t bits = sqlite3_column_int64(q, 5);

    p->attempt = (uint32_t)sqlite3_column_int64(q, 0);
    p->row = (uint64_t)sqlite3_column_int64(q, 1);
    p->step = (uint64_t)sqlite3_column_int64(q, 2);
    p->epoch = (uint64_t)sqlite3_column_int64(q, 3);
    p->name = (const char *)sqlite3_column_text(q, 4);
    memcpy(&p->value, &bits, sizeof p->value);
    if (!p->name || sqlite3_column_int64(q, 6) != lt_metrics_point_sum(r->job, p))
        return damaged(r, "a value is damaged", err);
    return 0;
}

/* 0: to the end, or max points; else what fn returned, or <0. */
static int each_point(struct reading *r, sqlite3_stmt *q, size_t max, lt_metrics_fn *fn, void *arg,
                      bool *stopped, struct lt_error *err)
{
    size_t n = 0;
    int step;

    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        struct lt_metric_point p;
        int rc = take_point(r, q, &p, err);

        if (rc == 0)
            rc = check_place(r, &p, err);
        if (rc < 0)
            return rc;
        rc = r->rewound ? superseded(r, &p, err) : 0;
        if (rc > 0)
            continue;
        rc = rc < 0 ? rc : fn(arg, &p);
        *stopped = rc != 0;
        if (rc != 0 || ++n == max)
            return rc;
    }
    return step == SQLITE_DONE ? check_place(r, NULL, err)
                               : lt_sql_fail(r->m->db, step, r->m->path, "read", err);
}

#define NAMES " p LEFT JOIN names n ON n.id = p.name WHERE p.job = (SELECT id FROM jobs WHERE job = ?1)"
#define COLUMNS "SELECT p.attempt, p.row, p.step, p.epoch, n.name, p.bits, p.sum FROM "

int lt_metrics_read(struct lt_metrics *m, const char *job, uint32_t attempt, uint64_t row,
                    bool rewound, size_t max, lt_metrics_fn *fn, void *arg, struct lt_error *err)
{
    struct reading r = {.m = m, .job = job, .rewound = rewound, .attempt = attempt, .row = row};
    LT_STMT_AUTO *q = NULL;
    struct lt_error why = m->broken;
    bool stopped = false;
    int rc = m->broken.code;

    if (rc == 0)
        rc = load_attempts(&r, &why);
    if (rc == 0)
        rc = lt_sql_prepare(m->db, m->path,
                            COLUMNS "points" NAMES " AND (p.attempt, p.row) > (?2, ?3)"
                                    " ORDER BY p.attempt, p.row",
                            &q, &why);
    if (rc == 0) {
        sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, attempt);
        sqlite3_bind_int64(q, 3, (sqlite3_int64)row);
        rc = each_point(&r, q, max, fn, arg, &stopped, &why);
    }
    lt_free(r.attempts.items);
    return stopped ? rc : lt_metrics_note(m, rc, false, &why, err);
}

int lt_metrics_latest(struct lt_metrics *m, const char *job, lt_metrics_fn *fn, void *arg,
                      struct lt_error *err)
{
    struct reading r = {.m = m, .job = job};
    LT_STMT_AUTO *q = NULL;
    struct lt_error why = m->broken;
    int rc = m->broken.code, step = SQLITE_DONE;

    if (rc == 0)
        rc = lt_sql_prepare(m->db, m->path, COLUMNS "latest" NAMES " ORDER BY n.name", &q, &why);
    if (rc == 0)
        sqlite3_bind_text(q, 1, job, -1, SQLITE_STATIC);
    while (rc == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct lt_metric_point p;

        rc = take_point(&r, q, &p, &why);
        if (rc == 0 && (rc = fn(arg, &p)) != 0)
            return rc;
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = lt_sql_fail(m->db, step, m->path, "read", &why);
    return lt_metrics_note(m, rc, false, &why, err);
}
