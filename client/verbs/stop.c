/* stop.c - ltctl stop JOB */
#include "client/ctl.h"
#include "client/job_verb.h"

static int run(struct lt_ctl *ctl)
{
    return lt_job_verb(ctl, "Stop", "is being stopped");
}

const struct lt_verb lt_verb_stop = {
    .name = "stop",
    .arguments = "JOB…",
    .summary = "End a job after its step, with a checkpoint",
    .details =
        "`ltctl resume` goes on from there. A command gets SIGTERM, and SIGKILL when its grace "
        "(30 s) is over.\n"
        "Returns at once; `ltctl watch` waits for the end.",
    .min_args = 1,
    .max_args = -1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
