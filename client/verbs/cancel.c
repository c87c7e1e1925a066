/* cancel.c - ltctl cancel JOB */
#include "client/ctl.h"
#include "client/job_verb.h"

static int run(struct lt_ctl *ctl)
{
    return lt_job_verb(ctl, "Cancel", "is being cancelled");
}

const struct lt_verb lt_verb_cancel = {
    .name = "cancel",
    .arguments = "JOB…",
    .summary = "End a job without a checkpoint",
    .details = "Asks at the next step boundary, after 10 s with SIGTERM, after another 10 s with "
               "SIGKILL.\n"
               "A command gets SIGTERM at once, SIGKILL after 10 s. Returns at once; `ltctl watch` waits "
               "for the end.",
    .min_args = 1,
    .max_args = -1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
