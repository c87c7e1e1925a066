/* run.c - ltctl run PLAN, ltctl run -- PROGRAM: submit and follow */
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "client/command.h"
#include "client/ctl.h"
#include "client/files.h"
#include "client/follow.h"
#include "client/submit.h"

static const struct lt_option options[] = {
    {"set", 0, LT_OPTION_LIST, "PATH=VALUE",
     "change a field of the plan: trainer.max_epochs=3; may be repeated"},
    {"on-interrupt", 0, LT_OPTION_STRING, "detach|cancel", "what Ctrl-C does (detach)"},
    LT_RANK_OPTION,
    LT_COMMAND_OPTIONS,
};

static int run(struct lt_ctl *ctl)
{
    const char *interrupt = lt_ctl_string(ctl, "on-interrupt");
    struct lt_follow f = {.follow = true, .submitted = true};
    Lt__V1__JobSpec *spec;
    int rc = lt_follow_options(ctl, &f);

    if (rc == 0)
        rc = lt_spec_read(ctl, &spec);
    if (rc == 0)
        rc = lt_files_address(ctl, spec);
    if (rc == 0)
        rc = lt_ctl_connect(ctl);
    if (rc == 0)
        rc = lt_submit(ctl, spec, &f.job);
    if (rc)
        return rc;
    if (isatty(2))
        lt_ctl_note("job %s", f.job);
    f.cancel = interrupt && strcmp(interrupt, "cancel") == 0;
    return lt_follow(ctl, &f);
}

const struct lt_verb lt_verb_run = {
    .name = "run",
    .arguments = "PLAN | -- PROGRAM [ARGUMENT…]",
    .summary = "Submit a plan, or a program, and follow the job until it ends",
    .details = "Writes the job's output as it comes: its stdout to stdout, its stderr to stderr, "
               "byte for byte. A program's ranks, where\n"
               "there are several, are shown line by line, each line with its rank in front: [1] hello. "
               "On a terminal a line shows progress.\n"
               "Ctrl-C detaches; the job goes on. Starts a daemon for this user when none runs.\n\n"
               "With -- any program is a job: ltctl run --nproc 4 -- python train.py --lr 1e-3. It runs "
               "here, with a few of your\n"
               "variables (PATH, HOME, VIRTUAL_ENV, …) and torchrun's (RANK, WORLD_SIZE, …): "
               "docs/command-jobs.md.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_STARTS | LT_VERB_COMMAND,
    .run = run,
};
