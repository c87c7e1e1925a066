/* common.h - steps that many handlers share. Those that return NULL or <0 have ended the call
 * already. */
#ifndef LT_DAEMON_RPC_COMMON_H
#define LT_DAEMON_RPC_COMMON_H

#include <stdbool.h>
#include "daemon/coord/coord.h"
#include "daemon/core/query.h"
#include "daemon/rpc/methods.h"
#include "lt/v1/jobs.pb-c.h"

struct lt_arena;
struct lt_problems;

struct lt_coord *lt_call_coord(const struct lt_rpc_call *call);
const struct lt_core *lt_call_core(struct lt_rpc_call *call);
/* By id or the unique beginning of one. */
const Lt__V1__JobFold *lt_call_job(struct lt_rpc_call *call, const char *job);
const Lt__V1__NodeStatus *lt_call_node(struct lt_rpc_call *call, const char *node,
                                       struct lt_arena *arena);
/* The code for an -errno, and the sentence. */
void lt_call_error(struct lt_rpc_call *call, int rc, const char *text);

/* Status with the latest metrics. Everything is in the arena or borrowed from the core. */
void lt_job_status(struct lt_coord *c, const Lt__V1__JobFold *fold, Lt__V1__JobStatus *out,
                   struct lt_arena *arena);
void lt_reply_status(struct lt_rpc_call *call, const char *job);
/* How a stream about this job ends; NULL: a stream about all. Fields are borrowed from the fold. */
void lt_end_of(const Lt__V1__JobFold *fold, Lt__V1__End *out);

/* An input that the call's answer waits for: reply(call, full id) when it worked, the error
 * otherwise. A row that uses it has `.closed = lt_ask_closed`, and no data of its own in the call.
 */
void lt_ask(struct lt_rpc_call *call, struct lt_core_input *in,
            void (*reply)(struct lt_rpc_call *call, const char *job));
void lt_ask_submit(struct lt_rpc_call *call, const struct lt_coord_submission *s);
void lt_ask_closed(struct lt_rpc_call *call, bool cancelled);
/* The usual unary control call: kind is an lt_input_kind, m a JobRequest; replies with the status.
 */
void lt_ask_control(struct lt_rpc_call *call, const ProtobufCMessage *m, enum lt_input_kind kind);

/* The same for a node: replies with its status. */
void lt_ask_node(struct lt_rpc_call *call, const char *node, enum lt_input_kind kind);

/* Level 1 of checking. <0: refused, with the problems in the details. */
int lt_call_validate(struct lt_rpc_call *call, const Lt__V1__JobSpec *spec);
/* The files that a spec names lie where it says, as far as the coordinator can see: blobs of the
 * caller's, or those that parent (NULL: none) was made with. <0: refused. */
int lt_call_files(struct lt_rpc_call *call, const Lt__V1__JobSpec *spec,
                  const Lt__V1__JobSpec *parent);
/* The same as a list. */
void lt_call_check_files(struct lt_rpc_call *call, const Lt__V1__JobSpec *spec,
                         const Lt__V1__JobSpec *parent, struct lt_problems *problems);
/* Looks up who asked so before. 0: *known is that job, or NULL. <0: no request_id, or no core. */
int lt_call_requested(struct lt_rpc_call *call, const char *request_id,
                      const Lt__V1__JobFold **known);
/* Fills in what a spec takes from its parent, in the arena of the call: an evaluation's plan and
 * checkpoint folder, the folder and step that a plan with `resume` begins at. */
int lt_call_fill(struct lt_rpc_call *call, Lt__V1__JobSpec *spec, const char **parent);
/* "best", "last", a name → absolute folder, in the call's arena, and the updates that it holds
 * (step may be NULL). */
const char *lt_call_checkpoint(struct lt_rpc_call *call, const Lt__V1__JobFold *fold,
                               const char *name, uint64_t *step);

#endif
