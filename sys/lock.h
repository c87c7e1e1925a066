/* lock.h - liveness is a held flock; identity is pid + start time + boot id */
#ifndef LT_SYS_LOCK_H
#define LT_SYS_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lt_error;

/* Takes the lock and writes "pid\n" into the file. fd, or -EWOULDBLOCK with the holder's pid in err. Closing the fd releases it. */
int lt_lock_take(const char *path, struct lt_error *err);
/* Is somebody holding it? Opens and tests; a missing file is "no". */
bool lt_lock_held(const char *path);

struct lt_identity {
    pid_t pid;
    uint64_t start_ticks; /* /proc/PID/stat field 22 */
    char boot_id[40];
};
int lt_identity_of(pid_t pid, struct lt_identity *out); /* -ESRCH: gone */
bool lt_identity_alive(const struct lt_identity *id);   /* the very same process still runs (zombies don't) */

#endif
