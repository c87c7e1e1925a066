/* logs.c - ltctl logs [-f] JOB */
#include "base/auto.h"
#include "client/ctl.h"
#include "client/follow.h"

static const struct lt_option options[] = {
    {"follow", 'f', LT_OPTION_FLAG, NULL, "go on until the job ends, and exit with its code"},
    LT_RANK_OPTION,
    {"tail", 0, LT_OPTION_NUMBER, "LINES", "only the last so many lines of what there is, of each rank"},
};

static int run(struct lt_ctl *ctl)
{
    struct lt_follow f = {.follow = lt_ctl_flag(ctl, "follow")};
    Lt__V1__JobStatus *s;
    int rc = lt_follow_options(ctl, &f);

    if (rc == 0)
        rc = lt_ctl_connect(ctl);
    if (rc == 0)
        rc = lt_ctl_get(ctl, ctl->args[0], &s); /* the whole id, from its beginning */
    if (rc)
        return rc;
    f.job = s->id;
    f.has_tail = lt_ctl_number(ctl, "tail", &f.tail);
    return lt_follow(ctl, &f);
}

const struct lt_verb lt_verb_logs = {
    .name = "logs",
    .arguments = "JOB",
    .summary = "Show a job's output",
    .details = "Its stdout goes to stdout, its stderr to stderr, byte for byte, attempts in order. "
               "With -f it reconnects by itself and\n"
               "neither misses nor repeats anything.\n\n"
               "Of a program with several ranks all are shown, line by line, each line with its rank in "
               "front: [1] hello. --rank 1 shows\n"
               "that rank's bytes and nothing else. Of a plan rank 0 is shown, which speaks for all.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
