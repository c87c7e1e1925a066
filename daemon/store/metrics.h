/* metrics.h - values of metrics by job, in <dir>/metrics.db
 *
 * Weaker durability than the event log: a crash of the machine may lose the newest values (never
 * the file's consistency); the ranks' journals still have them. Each record of a journal is taken
 * once, by its end offset.
 */
#ifndef LT_DAEMON_STORE_METRICS_H
#define LT_DAEMON_STORE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "lt/v1/events.pb-c.h"

struct lt_error;
struct lt_metrics;

/* A damaged file is moved aside (metrics.db.damaged) and a new one begun; *renewed says so. */
int lt_metrics_open(const char *dir, struct lt_metrics **out, bool *renewed, struct lt_error *err);
void lt_metrics_close(struct lt_metrics *m);
LT_DEFINE_AUTO(struct lt_metrics *, lt_metrics_close)

/* The values of one journal record. Skipped (0) when end_offset is not behind what is known of
 * (job, attempt, rank). Writes are gathered until lt_metrics_flush (call it once per turn of the
 * loop). */
int lt_metrics_append(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                      uint64_t end_offset, const Lt__V1__MetricValues *values,
                      struct lt_error *err);
int lt_metrics_flush(struct lt_metrics *m, struct lt_error *err);
/* Position up to which the records of a rank are in; 0: none. */
uint64_t lt_metrics_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank);

struct lt_metric_point {
    uint64_t row; /* cursor: give it as `since` to go on behind it */
    uint32_t attempt;
    uint64_t step, epoch;
    const char *name; /* valid during the call */
    double value;     /* any, NaN and infinities included */
};
typedef int lt_metrics_fn(void *arg, const struct lt_metric_point *p);
/* Points of a job behind row `since`, in order of arrival, at most max (0: all). rewound: leave out
 * values of attempt k from the first step of attempt k + 1 on (a live follower says false and is
 * told by `rewound` events). */
int lt_metrics_read(struct lt_metrics *m, const char *job, uint64_t since, bool rewound, size_t max,
                    lt_metrics_fn *fn, void *arg, struct lt_error *err);
/* Newest value of each name, by name. */
int lt_metrics_latest(struct lt_metrics *m, const char *job, lt_metrics_fn *fn, void *arg,
                      struct lt_error *err);
int lt_metrics_forget(struct lt_metrics *m, const char *job, struct lt_error *err);

#endif
