/* attempt.h - the folder through which agent, shim and worker know each other (docs/files.md)
 *
 *   <state>/node/attempts/JOB.ATTEMPT.RANK/
 *     spec      lt.v1.StartRank, written by the agent before the shim is started
 *     page      the shared page (sys/page.h)
 *     journal   the rank's journal (sys/journal.h); payloads are lt.v1.JournalRecord
 *     lock      held by the shim as long as it lives
 *     shim      the shim's identity: "pid start_ticks boot_id\n"
 *     worker    the worker's, the same form
 *     exit      exit record, written once: "exit CODE\n" or "signal NUMBER\n", "oom\n" when the kernel said so, "at NANOSECONDS\n" (monotonic)
 *     wake      ZeroMQ ipc address to poke when something new is in the journal; one line
 */
#ifndef LT_SYS_ATTEMPT_H
#define LT_SYS_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>
#include "sys/lock.h"

struct lt_error;

struct lt_exit_record {
    bool signaled;
    int status; /* exit code, or signal number */
    bool oom;
    uint64_t at_ns; /* when, monotonic; 0: a record of an older shim */
};
int lt_attempt_write_exit(const char *dir, const struct lt_exit_record *e, struct lt_error *err);
int lt_attempt_read_exit(const char *dir, struct lt_exit_record *out, struct lt_error *err); /* -ENOENT: none yet */
int lt_attempt_write_identity(const char *dir, const char *who, pid_t pid, struct lt_error *err); /* who: "shim", "worker" */
int lt_attempt_read_identity(const char *dir, const char *who, struct lt_identity *out, struct lt_error *err);
char *lt_attempt_path(const char *dir, const char *what); /* lt_free() */
char *lt_attempt_state(const char *dir); /* the node's folder, <state>/node; lt_free() */

#endif
