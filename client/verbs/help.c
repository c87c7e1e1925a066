/* help.c - ltctl help [VERB] */
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "client/ctl.h"
#include "client/help.h"

static const struct lt_option options[] = {
    {"markdown", 0, LT_OPTION_FLAG, NULL, "all pages as docs/cli.md"},
};

static int run(struct lt_ctl *ctl)
{
    const struct lt_verb *v = NULL;
    LT_BUF_AUTO page = {0};
    int words = 0;

    if (ctl->n_args > 0)
        v = lt_verb_find(ctl->args[0], ctl->args[1], &words);
    if (ctl->n_args > 0 && !v)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "there is no verb `%s`; `ltctl help` lists them",
                           ctl->args[0]);
    if (v)
        lt_help_verb(v, &page);
    else if (lt_ctl_flag(ctl, "markdown"))
        lt_help_markdown(&page);
    else
        lt_help_overview(&page);
    fputs(page.data, stdout);
    return 0;
}

const struct lt_verb lt_verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "Explain ltctl or one of its verbs",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .max_args = 2,
    .run = run,
};
