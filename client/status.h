/* status.h - a job's status for people and programs */
#ifndef LT_CLIENT_STATUS_H
#define LT_CLIENT_STATUS_H

#include <cjson/cJSON.h>
#include "lt/v1/jobs.pb-c.h"

struct lt_buf;

/* The fields of `status -o json`; names in docs/cli.md. */
cJSON *lt_status_json(const Lt__V1__JobStatus *s);
/* "running", "succeeded", "failed (oom)": the result once there is one. */
void lt_status_word(const Lt__V1__JobStatus *s, struct lt_buf *out);
/* What a rank is at: its phase while it runs, else its state. */
const char *lt_status_doing(const Lt__V1__RankStatus *r);
/* A rank's cells in a table: rank, node, pid, phase, step, step_ms, memory, as far as they are known. */
void lt_status_rank_cells(cJSON *row, const Lt__V1__RankStatus *r);
const Lt__V1__MetricValue *lt_status_metric(const Lt__V1__JobStatus *s, const char *name);
/* The newest loss: a plan's, of an epoch or a step, or what a program calls loss. NULL: none yet. */
const Lt__V1__MetricValue *lt_status_loss(const Lt__V1__JobStatus *s);
/* Several lines `key: value`. */
void lt_status_text(const Lt__V1__JobStatus *s, struct lt_buf *out);
/* run's, watch's, … exit code for a job that is done. */
int lt_status_exit_code(const Lt__V1__JobStatus *s);

#endif
