/* checkpoint.c - ltctl checkpoint JOB */
#include "client/ctl.h"
#include "client/job_verb.h"

static int run(struct lt_ctl *ctl)
{
    return lt_job_verb(ctl, "Checkpoint", "saves a checkpoint at its next step");
}

const struct lt_verb lt_verb_checkpoint = {
    .name = "checkpoint",
    .arguments = "JOB…",
    .summary = "Have a job save a checkpoint now",
    .details = "The job goes on.",
    .min_args = 1,
    .max_args = -1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
