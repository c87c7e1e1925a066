/* command.h - a job from the command line: ltctl run [options] -- PROGRAM [ARGUMENT…] */
#ifndef LT_CLIENT_COMMAND_H
#define LT_CLIENT_COMMAND_H

#include "lt/v1/jobs.pb-c.h"

struct lt_ctl;

/* Rows for verbs with LT_VERB_COMMAND. */
#define LT_COMMAND_OPTIONS                                                                         \
    {"nproc", 0, LT_OPTION_NUMBER, "N", "of a program: ranks (1)"},                                \
    {"name", 0, LT_OPTION_STRING, "NAME", "of a program: shown by ps (the program's)"},            \
    {"working-dir", 0, LT_OPTION_STRING, "DIR", "of a program: where it runs (here)"},             \
    {"env", 0, LT_OPTION_LIST, "NAME[=VALUE]",                                                     \
     "of a program: a variable, without VALUE yours; may be repeated"},                            \
    {"env-from-file", 0, LT_OPTION_LIST, "FILE",                                                   \
     "of a program: variables, a NAME=VALUE a line, read when it starts"},                         \
    {"secret", 0, LT_OPTION_LIST, "NAME=FILE",                                                     \
     "of a program: a variable whose value is read from FILE when it starts"}

/* The spec that the call names: PLAN's, or the program's behind `--`, with the values of --set, checked
 * (level 1). 0, or an exit code with the reason printed. *out lives in the call's arena. */
int lt_spec_read(struct lt_ctl *ctl, Lt__V1__JobSpec **out);

#endif
