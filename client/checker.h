/* checker.h - levels 2 and 3 on this machine: `lt-worker --plan-only`, without a daemon */
#ifndef LT_CLIENT_CHECKER_H
#define LT_CLIENT_CHECKER_H

#include "lt/v1/agent.pb-c.h"

struct lt_ctl;

/* Runs it over spec; what it says of its progress is shown on a terminal. 0 and the answer (in the
 * call's arena), or an exit code with the reason printed. */
int lt_checker_run(struct lt_ctl *ctl, const Lt__V1__JobSpec *spec, Lt__V1__CheckDone **out);

#endif
