/* proc.h - a process seen from outside: what it does, not what it says
 *
 * For processes that can't answer: stopped, stuck in the kernel, waiting for ever. From /proc; our
 * own user's processes only.
 */
#ifndef LT_SYS_PROC_H
#define LT_SYS_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct lt_proc {
    char state;       /* of the whole process: R if any thread runs, else the main one's letter
                         (man 5 proc: S, D, T, t, Z, …) */
    uint64_t cpu_ms;  /* used by all its threads so far */
    uint64_t io;      /* grows with every read and write it does */
    char wchan[64];   /* where the kernel keeps its main thread; "" when it isn't told */
};

/* -ESRCH: it is gone. */
int lt_proc_look(pid_t pid, struct lt_proc *out);
/* "running", "sleeping", "stopped", … */
const char *lt_proc_state_name(char state);

#endif
