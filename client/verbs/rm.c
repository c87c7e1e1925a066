/* rm.c - ltctl rm JOB */
#include "client/ctl.h"
#include "client/job_verb.h"

static int run(struct lt_ctl *ctl)
{
    return lt_job_verb(ctl, "Remove", "is removed");
}

const struct lt_verb lt_verb_rm = {
    .name = "rm",
    .arguments = "JOB…",
    .summary = "Remove an ended job and its record",
    .details =
        "Its run folder (checkpoints, metrics, logs) stays; `ltctl status` shows where that is.",
    .min_args = 1,
    .max_args = -1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
