/* watch.h - a job's status, now and after every change, over lost connections */
#ifndef LT_CLIENT_WATCH_H
#define LT_CLIENT_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include "lt/v1/jobs.pb-c.h"

struct lt_ctl;

/* Called with each status; false ends the watch. */
typedef bool lt_watch_fn(void *arg, const Lt__V1__JobStatus *s, bool end);

/* 0 when fn or the job ended it; LT_EXIT_TIMEOUT after seconds (< 0: no limit), LT_EXIT_DETACHED on
 * Ctrl-C; an exit code with the reason printed else. */
int lt_watch(struct lt_ctl *ctl, const char *job, double seconds, lt_watch_fn *fn, void *arg);

/* Ctrl-C from now on only sets a flag. */
void lt_interrupt_catch(void);
bool lt_interrupted(void);
void lt_interrupt_clear(void);

#endif
