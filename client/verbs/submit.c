/* submit.c - ltctl submit PLAN, ltctl submit -- PROGRAM: hand in, wait for the checks, say the id */
#include <stdio.h>

#include "base/arena.h"
#include "base/auto.h"
#include "client/command.h"
#include "client/ctl.h"
#include "client/files.h"
#include "client/submit.h"
#include "sys/clock.h"

static const struct lt_option options[] = {
    {"quiet", 'q', LT_OPTION_FLAG, NULL, "print the job's id alone"},
    {"set", 0, LT_OPTION_LIST, "PATH=VALUE",
     "change a field of the plan: trainer.max_epochs=3; may be repeated"},
    {"hold", 0, LT_OPTION_FLAG, NULL, "don't start it before `ltctl release`"},
    {"wait", 0, LT_OPTION_FLAG, NULL, "wait until it is done, and exit with its code"},
    {"timeout", 0, LT_OPTION_DURATION, "TIME", "wait no longer than this (then exit 9)"},
    LT_COMMAND_OPTIONS,
};

static void hold(struct lt_ctl *ctl, Lt__V1__JobSpec *spec)
{
    Lt__V1__Job **job = spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN ? &spec->plan->job
                        : spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND
                            ? &spec->command->job
                            : &spec->evaluation->job;

    if (!*job) {
        *job = lt_arena_alloc(ctl->arena, sizeof **job);
        lt__v1__job__init(*job);
    }
    (*job)->has_hold = true;
    (*job)->hold = true;
}

static int run(struct lt_ctl *ctl)
{
    const char *job;
    Lt__V1__JobSpec *spec;
    double seconds = -1;
    uint64_t began;
    int rc = lt_spec_read(ctl, &spec);

    if (rc == 0)
        rc = lt_files_address(ctl, spec);
    if (rc == 0)
        rc = lt_ctl_connect(ctl);
    if (rc)
        return rc;
    if (lt_ctl_flag(ctl, "hold"))
        hold(ctl, spec);
    rc = lt_submit(ctl, spec, &job);
    if (rc)
        return rc;
    lt_ctl_duration(ctl, "timeout", &seconds);
    began = lt_clock_mono_ns();
    rc = lt_submit_wait_checked(ctl, job, seconds);
    if (rc && rc != LT_EXIT_TIMEOUT)
        return rc;
    puts(job);
    fflush(stdout);
    if (rc == 0 && !lt_ctl_flag(ctl, "quiet"))
        lt_ctl_note("submitted; `ltctl logs -f %s` follows it", job);
    if (rc)
        lt_ctl_note("still being checked; `ltctl explain %s` says what it waits for", job);
    if (rc || !lt_ctl_flag(ctl, "wait"))
        return rc;
    if (seconds >= 0)
        seconds = LT_MAX(seconds - (double)(lt_clock_mono_ns() - began) / 1e9, 0);
    return lt_submit_wait_done(ctl, job, seconds, NULL);
}

const struct lt_verb lt_verb_submit = {
    .name = "submit",
    .arguments = "PLAN | -- PROGRAM [ARGUMENT…]",
    .summary = "Submit a plan, or a program, and print the job's id once its checks are over",
    .details = "Exit code 3 means refused: every problem has been printed, and nothing will run. "
               "Starts a daemon for this user\n"
               "when none runs.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_STARTS | LT_VERB_COMMAND,
    .run = run,
};
