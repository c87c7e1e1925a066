/* release.c - ltctl release JOB */
#include "client/ctl.h"
#include "client/job_verb.h"

static int run(struct lt_ctl *ctl)
{
    return lt_job_verb(ctl, "Release", "is released");
}

const struct lt_verb lt_verb_release = {
    .name = "release",
    .arguments = "JOB…",
    .summary = "Let a held job start",
    .details = NULL,
    .min_args = 1,
    .max_args = -1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
