/* metric_lines.h - what a command says of its metrics, line by line (docs/command-jobs.md)
 *
 *   LTD_METRIC name value [step]
 *
 * Bytes come as a pipe gives them. A line may have LT_METRIC_LINE_MAX bytes; whatever isn't of that
 * form is counted, and the first of it kept for people. At most LT_METRIC_RATE values a second are
 * given on, LT_METRIC_BURST at once; the others are counted. Pure: the caller knows the time.
 */
#ifndef LT_TRAIN_METRIC_LINES_H
#define LT_TRAIN_METRIC_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "proto/plan.h"

#define LT_METRIC_LINE_MAX 512
#define LT_METRIC_RATE 1000
#define LT_METRIC_BURST 5000

struct lt_metric_value {
    const char *name; /* until the call returns */
    double value;
    bool has_step;
    uint64_t step;
};
typedef void lt_metric_fn(void *arg, const struct lt_metric_value *v);

struct lt_metric_lines { /* zeroed at first */
    char line[LT_METRIC_LINE_MAX + 1];
    size_t len;
    bool too_long; /* the present one: its rest is passed over */
    double spent;  /* values of the burst that are used up */
    uint64_t now_ns;
    uint64_t garbage; /* lines */
    uint64_t dropped; /* values */
    char example[81]; /* of garbage; printable */
};

void lt_metric_lines_take(struct lt_metric_lines *m, const char *data, size_t n, uint64_t now_ns,
                          lt_metric_fn *fn, void *arg);
/* The pipe has ended: a last line without a newline counts. */
void lt_metric_lines_end(struct lt_metric_lines *m, lt_metric_fn *fn, void *arg);

#endif
