/* version.c - ltctl version */
#include <stdio.h>

#include "client/ctl.h"

static int run(struct lt_ctl *ctl)
{
    (void)ctl;
    puts("ltctl " LT_VERSION);
    return 0;
}

const struct lt_verb lt_verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "Print this program's version",
    .details = "The daemon's stands in `ltctl nodes -o json`.",
    .run = run,
};
