/* worker.c - lt-worker: one rank of a job, or a look at a plan
 *
 *   lt-worker ATTEMPT_DIR             runs what ATTEMPT_DIR/spec says (sys/attempt.h)
 *   lt-worker --plan-only [DIR]       JobSpec on stdin → CheckDone on stdout (both protobuf),
 *                                     progress on stderr; the node's blobs lie in DIR/blobs
 *   lt-worker --dump-passes PLAN.pb   graphs after every pass, as text
 *   lt-worker --libraries             what MPICH and UCX this node has, a line each (versions_main.h)
 *   lt-worker --version
 * Exit status of a rank: the job's (proto/plan.h). Of --plan-only: 0 when the question
 * was answered, whatever the answer.
 */
#include <stdio.h>
#include <string.h>

#include "engine/worker/check_main.h"
#include "engine/worker/rank_main.h"
#include "engine/worker/versions_main.h"
#include "sys/log.h"

static int usage(FILE *to, int status)
{
    fputs("usage: lt-worker ATTEMPT_DIR | --plan-only [STATE_DIR] | --dump-passes PLAN.pb | --libraries | --version\n", to);
    return status;
}

int main(int argc, char **argv)
{
    lt_log_init("lt-worker", LT_LOG_INFO);
    if (argc == 2 && !strcmp(argv[1], "--version"))
        return printf("lt-worker %s\n", LT_VERSION) < 0;
    if (argc == 2 && !strcmp(argv[1], "--help"))
        return usage(stdout, 0);
    if ((argc == 2 || argc == 3) && !strcmp(argv[1], "--plan-only"))
        return lt_check_main(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "--libraries"))
        return lt_versions_main();
    if (argc == 3 && !strcmp(argv[1], "--dump-passes"))
        return lt_dump_passes_main(argv[2]);
    if (argc != 2 || argv[1][0] == '-')
        return usage(stderr, 2);
    return lt_rank_main(argv[1]);
}
