/* rm.c - ltctl rm JOB */
#include <unistd.h>

#include "client/ctl.h"

static const struct lt_option options[] = {
    {"files", 0, LT_OPTION_FLAG, NULL,
     "its run folder, too: checkpoints, metrics, logs; there is no way back"},
};

static int remove_one(struct lt_ctl *ctl, const char *job, bool files)
{
    Lt__V1__RemoveRequest q = LT__V1__REMOVE_REQUEST__INIT;
    Lt__V1__JobStatus *s = NULL;
    int rc;

    q.job_id = (char *)job;
    q.has_files = q.files = files;
    rc = lt_ctl_call(ctl, "Remove", &q, &lt__v1__job_status__descriptor, &s);
    if (rc == 0 && isatty(2))
        lt_ctl_note("%s is removed%s", s->id ? s->id : job, files ? ", and its run folder" : "");
    return rc;
}

static int run(struct lt_ctl *ctl)
{
    int first = lt_ctl_connect(ctl);

    for (int i = 0; i < ctl->n_args && ctl->client; i++) {
        int rc = remove_one(ctl, ctl->args[i], lt_ctl_flag(ctl, "files"));

        first = first ? first : rc;
    }
    return first;
}

const struct lt_verb lt_verb_rm = {
    .name = "rm",
    .arguments = "JOB…",
    .summary = "Remove an ended job and its record",
    .details = "Its run folder (checkpoints, metrics, logs) stays unless --files is given; `ltctl "
               "status` shows where it is. With --files the folder goes\n"
               "first, and the job stays when that fails: the folder isn't one that ltd made, its "
               "node isn't connected, or a job that hasn't ended\n"
               "begins at one of its checkpoints. Links in it are removed, what they point to isn't.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .min_args = 1,
    .max_args = -1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
