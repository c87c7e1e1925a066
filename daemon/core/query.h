/* query.h - what the RPC layer may ask the core; nothing here changes anything
 *
 * Borrowed pointers are valid until the next lt_core_step(). "job" is an id or a unique beginning
 * of one.
 */
#ifndef LT_DAEMON_CORE_QUERY_H
#define LT_DAEMON_CORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lt/v1/events.pb-c.h"
#include "lt/v1/fold.pb-c.h"
#include "lt/v1/jobs.pb-c.h"
#include "lt/v1/nodes.pb-c.h"

struct lt_arena;
struct lt_buf;
struct lt_core;
struct lt_error;

/* The fold of one job: spec, run_dir, uid, state, checkpoints, ranks, … (proto/lt/v1/fold.proto).
 * -ENOENT: none; -EINVAL: ambiguous (err names two). */
int lt_core_find(const struct lt_core *core, const char *job, const Lt__V1__JobFold **out,
                 struct lt_error *err);
/* The job that a request made (lt_submit.request_id); NULL: none, or it was removed. */
const Lt__V1__JobFold *lt_core_requested(const struct lt_core *core, uint32_t uid,
                                         const char *request_id);
/* In the order of submission: for (size_t i = 0; (f = lt_core_next(core, &i));) */
const Lt__V1__JobFold *lt_core_next(const struct lt_core *core, size_t *cursor);
size_t lt_core_job_count(const struct lt_core *core);
/* Jobs that are not done: when 0 an embedded daemon may go. */
size_t lt_core_live_count(const struct lt_core *core);

/* `ltctl status`: the fold with live samples over it. All is in the arena or borrowed. */
void lt_core_status(const struct lt_core *core, const Lt__V1__JobFold *fold, Lt__V1__JobStatus *out,
                    struct lt_arena *arena);
/* The first unmet need, or what it is doing, in one sentence. Appends to out. */
void lt_core_explain(const struct lt_core *core, const Lt__V1__JobFold *fold, uint64_t mono_ns,
                     struct lt_buf *out);

/* The user's checkpoints that exist, oldest first; of the system's only one that is `last`. Arena. */
void lt_core_checkpoints(const Lt__V1__JobFold *fold, Lt__V1__ListCheckpointsResponse *out,
                         struct lt_arena *arena);
/* "best", "last", a name, or "recovery/NAME" → its folder, relative to run_dir or absolute (a
 * callback's own), in the arena. NULL name: best where something is monitored, else last. -ENOENT
 * with what there is in err. */
int lt_core_find_checkpoint(const Lt__V1__JobFold *fold, const char *name, struct lt_arena *arena,
                            const char **path, const Lt__V1__CheckpointSaved **saved,
                            struct lt_error *err);

/* Nodes that were seen since the start, by name: state, what is free, whose jobs. */
void lt_core_nodes(const struct lt_core *core, Lt__V1__NodesListResponse *out,
                   struct lt_arena *arena);
/* Session of a node, to send it something of one's own (CheckRequest for CheckPlan, ReadRequest).
 * 0: not connected. node NULL: any that could check a plan. */
uint64_t lt_core_session(const struct lt_core *core, const char *node);
/* The node whose disk holds the job's run directory: that of its last attempt; before that, any.
 * NULL: none known. */
const char *lt_core_job_node(const struct lt_core *core, const Lt__V1__JobFold *fold);
/* Ranks that it has, or will have; at least 1. */
uint32_t lt_core_job_world(const Lt__V1__JobFold *fold);

#endif
