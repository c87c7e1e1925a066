/* changed.h - what another job was submitted with, changed by --set */
#ifndef LT_CLIENT_CHANGED_H
#define LT_CLIENT_CHANGED_H

#include "lt/v1/plan.pb-c.h"

struct lt_ctl;

/* Checks level 1 and hands in files that it names. 0, or an exit code with the reason printed. *out,
 * in the call's arena, is NULL when there is no --set. */
int lt_changed_spec(struct lt_ctl *ctl, const char *job, Lt__V1__JobSpec **out);

#endif
