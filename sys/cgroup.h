/* cgroup.h - a memory-limited group per attempt, where the machine lets us have one
 *
 * Version 2 where its memory controller is, else version 1's, else none: some machines are hybrid, and
 * version 2 is mounted there without memory. Groups are children of our own one. Version 2 gives a group
 * either processes or limited children, so the first child makes us move into "ltd-main" beside it, which
 * is done only when nobody else is in our group (a service with Delegate=yes).
 */
#ifndef LT_SYS_CGROUP_H
#define LT_SYS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/auto.h"

struct lt_error;

enum lt_cgroup_kind { LT_CGROUP_NONE, LT_CGROUP_V1, LT_CGROUP_V2, LT_CGROUP_KIND_N };
extern const char *const lt_cgroup_kind_names[LT_CGROUP_KIND_N]; /* "none", "cgroup1", "cgroup2" */

/* The folder of our group for a controller ("memory", "cpu"); NULL and LT_CGROUP_NONE when there is none. lt_free(). */
char *lt_cgroup_own_dir(const char *controller, enum lt_cgroup_kind *kind);
/* Can memory-limited children be made? Tries it with one that is removed again; meant to be called once, at start. */
enum lt_cgroup_kind lt_cgroup_probe(void);

struct lt_cgroup;
/* Makes the child `name` (no '/') with a memory limit (0: none), without swap beyond it. One that is there is taken over.
 * -ENOTSUP: not possible here. */
int lt_cgroup_create(const char *name, uint64_t memory_bytes, struct lt_cgroup **out, struct lt_error *err);
/* An existing one by its folder, for re-adoption. -ENOENT. */
int lt_cgroup_open(const char *dir, struct lt_cgroup **out, struct lt_error *err);
const char *lt_cgroup_dir(const struct lt_cgroup *g);
/* pid 0: the caller. */
int lt_cgroup_add(struct lt_cgroup *g, pid_t pid, struct lt_error *err);
/* Processes the kernel killed here for want of memory; 0 when it can't be read. */
uint64_t lt_cgroup_oom_kills(const struct lt_cgroup *g);
/* SIGKILL to everything inside: cgroup.kill, else rounds of signals until nobody is left to signal. */
int lt_cgroup_kill(struct lt_cgroup *g, struct lt_error *err);
/* The same without rounds: how many were there to be killed; 0 also where the kernel doesn't tell. */
int lt_cgroup_kill_now(struct lt_cgroup *g);
bool lt_cgroup_empty(const struct lt_cgroup *g);
/* Removes the (empty) group; -EBUSY while processes are inside. The object stays to be freed. */
int lt_cgroup_remove(struct lt_cgroup *g, struct lt_error *err);
void lt_cgroup_free(struct lt_cgroup *g);
LT_DEFINE_AUTO(struct lt_cgroup *, lt_cgroup_free)

#endif
