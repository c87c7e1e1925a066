/* shim_recorder.h - the process beside a command that reads its metrics (engine/worker/recorder.c)
 *
 * Rank 0 of a command has one. The command writes into a pipe; the shim keeps the pipe's reading end,
 * too, so that a recorder which dies costs no more than what it had just read: the next one reads on.
 */
#ifndef LT_ENGINE_WORKER_SHIM_RECORDER_H
#define LT_ENGINE_WORKER_SHIM_RECORDER_H

#include <stdint.h>
#include <sys/types.h>

struct lt_error;

struct lt_shim_recorder {
    pid_t pid; /* 0: none runs */
    int in;    /* the pipe's reading end; -1: this rank has no recorder */
    int out;   /* the writing end, for the command; -1 once it has been started */
    int log;   /* the rank's stderr, our own descriptor */
    const char *dir;
    uint64_t began_ns;
};

/* Makes the pipe and starts the recorder. Called before the command's environment is made. */
int lt_shim_recorder_start(struct lt_shim_recorder *r, const char *attempt_dir, int log, struct lt_error *err);
/* It has been waited for. Unless it ended by itself (nobody can write any more) there will be another one, at
 * most one a second. */
void lt_shim_recorder_ended(struct lt_shim_recorder *r, int status);
/* The command runs: its end of the pipe is its own. */
void lt_shim_recorder_leave_pipe(struct lt_shim_recorder *r);
/* Nothing that could write is left: waits until everything was read; 10 s at most. */
void lt_shim_recorder_finish(struct lt_shim_recorder *r);

#endif
