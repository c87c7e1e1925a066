/* evaluate.h - test, validate, predict: an evaluation job, awaited */
#ifndef LT_CLIENT_EVALUATE_H
#define LT_CLIENT_EVALUATE_H

#include <stddef.h>
#include "client/verb.h"
#include "lt/v1/plan.pb-c.h"

extern const struct lt_option lt_evaluate_options[2];
/* Submits one of the job that is the verb's first argument, waits until it has ended and prints its
 * metrics, if it has any. *job: its id, in the arena. 0, or an exit code with the reason printed. */
int lt_evaluate(struct lt_ctl *ctl, Lt__V1__Evaluation__Mode mode, const char **job);

#endif
