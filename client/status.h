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
/* Several lines `key: value`. */
void lt_status_text(const Lt__V1__JobStatus *s, struct lt_buf *out);
/* run's, watch's, … exit code for a job that is done. */
int lt_status_exit_code(const Lt__V1__JobStatus *s);

#endif
