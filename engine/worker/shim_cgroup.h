/* shim_cgroup.h - what the shim asks of the kernel about the rank's processes */
#ifndef LT_ENGINE_WORKER_SHIM_CGROUP_H
#define LT_ENGINE_WORKER_SHIM_CGROUP_H

#include <stdint.h>

struct lt_error;

/* Moves this process into the cgroup folder `dir`. */
int lt_shim_cgroup_enter(const char *dir, struct lt_error *err);
/* SIGKILL to everything in it (cgroup v2's cgroup.kill; else by its list). */
void lt_shim_cgroup_kill(const char *dir);
/* Times that the kernel's out-of-memory killer struck in `dir`, or, when that is empty, in our own cgroup; 0 when nobody counts. */
uint64_t lt_shim_oom_kills(const char *dir);
/* SIGKILL to our direct children; how many there were. */
unsigned lt_shim_kill_children(void);

#endif
