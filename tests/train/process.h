/* process.h - lt-worker as a real process: attempts made by the test, its answers, its signals */
#ifndef LT_TESTS_TRAIN_PROCESS_H
#define LT_TESTS_TRAIN_PROCESS_H

#include <sys/types.h>

#include "tests/train/rig.h"

/* Writes RUN.attempt-N/spec for the rig's run; N counts up. lt_free(). */
char *attempt_make(struct rig *r, Lt__V1__JobSpec *spec, const char *checkpoint);
/* LT_BACKEND is `backend`; stdout and stderr go to DIR/out. */
pid_t worker_start(struct rig *r, const char *attempt, const char *backend);
int worker_wait(pid_t pid); /* exit status, or -signal */
/* `lt-worker --plan-only` with these bytes on stdin: its exit status and stdout. */
int worker_check(struct rig *r, const void *bytes, size_t n, const char *backend,
                 struct lt_buf *answer);

#endif
