/* metrics.h - values of metrics by job, in <dir>/metrics.db
 *
 * Nothing here is the truth: the ranks' journals are. So durability is weaker than the event log's
 * (a crash of the machine may lose the newest values, never the file's consistency), and a damaged
 * file is put aside and filled again. Every row carries a checksum, and the rows of an attempt are
 * numbered without holes: damage that SQLite doesn't see is noticed when it is read. Each record of
 * a journal is taken once, by its end offset; the same journals give the same rows, whatever the
 * order of their attempts, so that a reader's place outlives the file.
 *
 * After any error of writing, and after -EBADMSG of anything, every further call fails with it until
 * lt_metrics_mend(): values behind a lost one would hide that it is missing.
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
/* After an error: opens the file again, or as above. Unflushed values are gone. */
int lt_metrics_mend(struct lt_metrics *m, bool *renewed, struct lt_error *err);
/* Why lt_metrics_mend() is needed; NULL: it isn't. */
const char *lt_metrics_broken(const struct lt_metrics *m);

/* The values of one journal record. Skipped (0) when end_offset is not behind what is known of
 * (job, attempt, rank). Writes are gathered until lt_metrics_flush (call it once per turn of the
 * loop). */
int lt_metrics_append(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                      uint64_t end_offset, const Lt__V1__MetricValues *values,
                      struct lt_error *err);
int lt_metrics_flush(struct lt_metrics *m, struct lt_error *err);
/* Position up to which the records of a rank are in; 0: none. */
int lt_metrics_offset(struct lt_metrics *m, const char *job, uint32_t attempt, uint32_t rank,
                      uint64_t *offset, struct lt_error *err);

/* All values of the attempts 1 … *attempts of a job are in, nothing of them is to come. */
int lt_metrics_whole(struct lt_metrics *m, const char *job, uint32_t *attempts,
                     struct lt_error *err);
/* `attempt` has ended, and its values are in: nothing when those of an earlier one aren't. Gathered,
 * as lt_metrics_append(). */
int lt_metrics_set_whole(struct lt_metrics *m, const char *job, uint32_t attempt,
                         struct lt_error *err);

struct lt_metric_point {
    uint32_t attempt;
    uint64_t row; /* of the attempt, from 1 on */
    uint64_t step, epoch;
    const char *name; /* valid during the call */
    double value;     /* any, NaN and infinities included */
};
typedef int lt_metrics_fn(void *arg, const struct lt_metric_point *p);
/* Points of a job behind row `row` of attempt `attempt` (0, 0: all), attempts in order, each in
 * order of arrival, at most max (0: all). rewound: leave out values of attempt k behind the
 * first step of attempt k + 1, and at that step those that it has, too (a live follower says false
 * and is told by `rewound` events). fn ends it by returning other than 0, which is returned. */
int lt_metrics_read(struct lt_metrics *m, const char *job, uint32_t attempt, uint64_t row,
                    bool rewound, size_t max, lt_metrics_fn *fn, void *arg, struct lt_error *err);
/* Newest value of each name, by name. */
int lt_metrics_latest(struct lt_metrics *m, const char *job, lt_metrics_fn *fn, void *arg,
                      struct lt_error *err);
int lt_metrics_forget(struct lt_metrics *m, const char *job, struct lt_error *err);

#endif
