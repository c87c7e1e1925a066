/* explain.c - ltctl explain JOB */
#include <stdio.h>

#include "client/ctl.h"

static int run(struct lt_ctl *ctl)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;
    Lt__V1__ExplainResponse *r = NULL;
    int rc = lt_ctl_connect(ctl);

    q.job_id = (char *)ctl->args[0];
    if (rc == 0)
        rc = lt_ctl_call(ctl, "Explain", &q, &lt__v1__explain_response__descriptor, &r);
    if (rc == 0)
        printf("%s\n", r->text ? r->text : "");
    return rc;
}

const struct lt_verb lt_verb_explain = {
    .name = "explain",
    .arguments = "JOB",
    .summary = "Say what a job waits for, or why it ended",
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
