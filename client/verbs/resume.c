/* resume.c - ltctl resume JOB: a new job that goes on from a checkpoint of another one */
#include <stdio.h>

#include "base/auto.h"
#include "client/changed.h"
#include "client/ctl.h"
#include "client/follow.h"
#include "client/submit.h"

static const struct lt_option options[] = {
    {"checkpoint", 0, LT_OPTION_STRING, "NAME", "from this one: a name, best, or last (last)"},
    {"set", 0, LT_OPTION_LIST, "PATH=VALUE",
     "change a field of the plan: trainer.max_epochs=20; may be repeated"},
    {"quiet", 'q', LT_OPTION_FLAG, NULL, "print the new job's id alone"},
    {"follow", 'f', LT_OPTION_FLAG, NULL, "follow the new job as `run` does"},
    LT_RANK_OPTION,
};

static int submit(struct lt_ctl *ctl, const char *parent, const Lt__V1__JobSpec *changed,
                  const char **job)
{
    Lt__V1__ResumeRequest q = LT__V1__RESUME_REQUEST__INIT;
    Lt__V1__SubmitResponse *r = NULL;
    const char *checkpoint = lt_ctl_string(ctl, "checkpoint");
    int rc;

    q.request_id = (char *)lt_ctl_request_id(ctl);
    q.job_id = (char *)parent;
    q.checkpoint = (char *)(checkpoint ? checkpoint : "last");
    if (changed && changed->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND)
        q.command = changed->command;
    else if (changed)
        q.plan = changed->plan;
    rc = lt_ctl_call(ctl, "Resume", &q, &lt__v1__submit_response__descriptor, &r);
    if (rc == 0)
        *job = r->job_id;
    return rc;
}

static int run(struct lt_ctl *ctl)
{
    struct lt_follow f = {.follow = true, .submitted = true};
    Lt__V1__JobSpec *changed;
    Lt__V1__JobStatus *parent;
    int rc = lt_follow_options(ctl, &f);

    if (rc == 0 && f.rank && !lt_ctl_flag(ctl, "follow"))
        rc = lt_ctl_fail(ctl, LT_EXIT_USAGE, "--rank says whose output --follow shows; add --follow");
    if (rc == 0)
        rc = lt_ctl_connect(ctl);
    if (rc == 0)
        rc = lt_ctl_get(ctl, ctl->args[0], &parent);
    if (rc == 0)
        rc = lt_changed_spec(ctl, parent->id, &changed);
    if (rc == 0)
        rc = submit(ctl, parent->id, changed, &f.job);
    if (rc)
        return rc;
    if (lt_ctl_flag(ctl, "follow"))
        return lt_follow(ctl, &f);
    rc = lt_submit_wait_checked(ctl, f.job, -1);
    if (rc)
        return rc;
    puts(f.job);
    fflush(stdout);
    if (!lt_ctl_flag(ctl, "quiet"))
        lt_ctl_note("goes on as a new job; `ltctl logs -f %s` follows it", f.job);
    return 0;
}

const struct lt_verb lt_verb_resume = {
    .name = "resume",
    .arguments = "JOB",
    .summary = "Go on from a job's checkpoint in a new job",
    .details = "The old job stays what it is; the new one names it as its parent. --set changes "
               "the plan on the way: more epochs,\n"
               "another patience. Of a command: the same program again, told where the old job's files are "
               "(LTD_RESUME_DIR).",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
