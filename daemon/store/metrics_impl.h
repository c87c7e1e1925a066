/* metrics_impl.h - what the metrics_*.c share */
#ifndef LT_DAEMON_STORE_METRICS_IMPL_H
#define LT_DAEMON_STORE_METRICS_IMPL_H

#include "base/error.h"
#include "daemon/store/metrics.h"
#include "daemon/store/sql.h"

struct lt_map;

struct lt_metrics {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *intern_job, *intern_name, *offset, *set_offset, *attempt, *set_attempt, *insert,
        *set_latest, *whole, *set_whole;
    struct lt_map *names;   /* name → its number, of those that were seen */
    bool open;              /* a transaction is */
    struct lt_error broken; /* code != 0: to be mended */
};

#define ID_OF_JOB "(SELECT id FROM jobs WHERE job = ?1)"

extern const char lt_metrics_schema[]; /* makes what isn't there */

/* Remembers what is wrong when `rc` says that the file can't be used as it is. Returns rc. */
int lt_metrics_note(struct lt_metrics *m, int rc, bool writing, const struct lt_error *why,
                    struct lt_error *err);
uint32_t lt_metrics_point_sum(const char *job, const struct lt_metric_point *p);
/* Over numbers that belong to a job. */
uint32_t lt_metrics_sum(const char *job, const uint64_t *numbers, size_t n);

/* metrics_old.c: the tables of an earlier layout become today's, in one transaction. */
int lt_metrics_convert(struct lt_metrics *m, struct lt_error *err);
/* Writes that metrics_old.c needs, too. */
int lt_metrics_prepare(struct lt_metrics *m, struct lt_error *err);
int lt_metrics_add_points(struct lt_metrics *m, const char *job, uint32_t attempt,
                          const Lt__V1__MetricValues *values,
                          struct lt_error *err); /* numbers them; the job is known */
int lt_metrics_put_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                          uint64_t end_offset, struct lt_error *err);

#endif
