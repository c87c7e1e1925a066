/* completion.c - ltctl completion SHELL */
#include <stdio.h>

#include "base/buf.h"
#include "client/ctl.h"
#include "client/help.h"

static int run(struct lt_ctl *ctl)
{
    LT_BUF_AUTO script = {0};

    if (!lt_help_completion(ctl->args[0], &script))
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "no script for `%s`; there are bash, zsh and fish",
                           ctl->args[0]);
    fputs(script.data, stdout);
    return 0;
}

const struct lt_verb lt_verb_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "Print a completion script for a shell",
    .details = "For bash: . <(ltctl completion bash)",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
