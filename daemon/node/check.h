/* check.h - one plan being checked by `lt-worker --plan-only` */
#ifndef LT_DAEMON_NODE_CHECK_H
#define LT_DAEMON_NODE_CHECK_H

#include <stdbool.h>
#include <uv.h>
#include "base/buf.h"
#include "lt/v1/agent.pb-c.h"

struct lt_node;

/* What a check's answer depends on: the spec, the engine's build, and every file that the spec
 * names (path, size, mtime, inode; of folders, their entries). 64 hexadecimal digits. */
void lt_check_key(const Lt__V1__JobSpec *spec, const char *build, char out[65]);

struct lt_check_run;
typedef void lt_check_progress_fn(void *arg, const char *text);
/* answer: CheckDone's bytes, or NULL with the reason why there is none. */
typedef void lt_check_done_fn(void *arg, const struct lt_buf *answer, const char *reason);

/* What is started: the program with the spec's bytes on its stdin. */
struct lt_check_start {
    uv_loop_t *loop;
    const char *shim, *worker; /* the one starts the other, so that it dies with us */
    const char *state_dir; /* below it is the cache of blobs */
    const struct lt_buf *spec; /* for the call */
    unsigned limit_ms;         /* until it says that it reads data (a line on stderr), it is over, or
                                  it is killed */
    bool yields;               /* to whatever else wants a processor */
    lt_check_progress_fn *progress;
    lt_check_done_fn *done; /* once, on the loop; not when start fails */
    void *arg;
};
/* Returns 0 or a uv error. */
int lt_check_run_start(const struct lt_check_start *s, struct lt_check_run **out);
/* Kills it; done still comes, with a reason. */
void lt_check_run_kill(struct lt_check_run *run);

#endif
