/* submit.h - handing in a spec, and what comes of its checks */
#ifndef LT_CLIENT_SUBMIT_H
#define LT_CLIENT_SUBMIT_H

#include <stdbool.h>
#include "lt/v1/jobs.pb-c.h"

struct lt_ctl;

/* Submits once, however often the connection breaks (one request id). 0 and the job's id (in the
 * arena), or an exit code. */
int lt_submit(struct lt_ctl *ctl, Lt__V1__JobSpec *spec, const char **job);
/* Waits until the job is no longer being checked; seconds < 0: as long as it takes. 0 with the
 * checks' warnings printed, LT_EXIT_REFUSED with the problems printed, or LT_EXIT_TIMEOUT. */
int lt_submit_wait_checked(struct lt_ctl *ctl, const char *job, double seconds);
/* Waits until it is done; seconds < 0: as long as it takes. Its exit code, LT_EXIT_TIMEOUT; *last
 * (may be NULL) is its last status, in the arena. */
int lt_submit_wait_done(struct lt_ctl *ctl, const char *job, double seconds,
                        Lt__V1__JobStatus **last);
/* Prints what a refused job was refused for. */
int lt_submit_refused(struct lt_ctl *ctl, const Lt__V1__JobStatus *s);
/* Is it over with its checks? Then what they warn of is printed. */
bool lt_submit_warn(struct lt_ctl *ctl, const Lt__V1__JobStatus *s);

#endif
