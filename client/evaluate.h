/* evaluate.h - test and validate: an evaluation job, awaited */
#ifndef LT_CLIENT_EVALUATE_H
#define LT_CLIENT_EVALUATE_H

#include <stddef.h>
#include "client/verb.h"
#include "lt/v1/plan.pb-c.h"

extern const struct lt_option lt_evaluate_options[1];
int lt_evaluate(struct lt_ctl *ctl, Lt__V1__Evaluation__Mode mode);

#endif
