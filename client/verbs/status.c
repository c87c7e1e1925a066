/* status.c - ltctl status JOB */
#include <stdio.h>

#include "base/buf.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/status.h"

static int run(struct lt_ctl *ctl)
{
    Lt__V1__JobStatus *s = NULL;
    LT_BUF_AUTO text = {0};
    int rc = lt_ctl_connect(ctl);

    if (rc == 0)
        rc = lt_ctl_get(ctl, ctl->args[0], &s);
    if (rc)
        return rc;
    if (lt_ctl_output(ctl) != LT_OUTPUT_TABLE) {
        lt_output_object(ctl, lt_status_json(s));
        return 0;
    }
    lt_status_text(s, &text);
    fputs(text.data, stdout);
    if (s->result == LT__V1__JOB_RESULT__REFUSED)
        lt_ctl_problem_messages(NULL, s->problems, s->n_problems);
    return 0;
}

const struct lt_verb lt_verb_status = {
    .name = "status",
    .arguments = "JOB",
    .summary = "Show where a job stands",
    .details = "JOB is an id or a beginning of one that no other job has. An ended job keeps its "
               "last attempt's values.",
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
