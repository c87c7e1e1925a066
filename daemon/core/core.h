/* core.h - the coordinator's mind: what has happened to every job, and what is to be done now
 *
 * PURE: no clock, no I/O, no randomness. One call, lt_core_step(), takes one input with the time it
 * came at, and gives an ordered list of actions. Whatever must survive is an event; a job's state
 * is a fold over its events (proto/lt/v1/fold.proto holds the fold, daemon/core/apply.c the
 * [state][event] table). Which nodes are connected, what was sent to them and live samples are
 * soft: forgotten at a restart, and told again by the agents' Hello.
 *
 * Contract of the caller (daemon/coord, and the simulator in tests/core/sim):
 *
 *  - Durable before acted on. Actions are carried out in order; those behind a LT_DO_APPEND only
 *    after that event is durable. Several steps' actions may be joined to one list (one group
 *    commit for all their events, then the others in order). Events of one step may be split over
 *    commits at any place: whatever is missing after a crash is done again.
 *  - The core's state is ahead of the log between step and commit. When a commit fails, nothing of
 *    that commit and behind it may be sent or replied with success; the core is stale and must be
 *    freed. The caller answers waiting clients with the store's error, closes all agent sessions,
 *    waits until the store takes writes again (lt_store_probe), then makes a new core from snapshot
 *    + log, as after a crash. There is only one way to recover, and the simulator walks it.
 *  - After snapshot and log have been replayed the caller gives LT_IN_TIMER once, then lets agents
 *    in.
 *  - A session number is used for one connection only. An agent's first message is Hello; a Hello
 *    for a node replaces the session that node had before (messages of the old one are ignored).
 *  - mono_ns never goes back within a process; wall_ns may jump. wall_ns stamps events, and after a
 *    restart gives what is left of waits, never more than their whole length.
 *
 * Single-threaded. Errors are -errno; mapping to gRPC codes is the caller's.
 */
#ifndef LT_DAEMON_CORE_CORE_H
#define LT_DAEMON_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "lt/v1/agent.pb-c.h"
#include "lt/v1/events.pb-c.h"
#include "lt/v1/plan.pb-c.h"

struct lt_core;
struct lt_error;

struct lt_core *lt_core_new(void);
void lt_core_free(struct lt_core *core); /* NULL is fine */
LT_DEFINE_AUTO(struct lt_core *, lt_core_free)

/* ---- inputs: everything is borrowed for the call ---- */

enum lt_input_kind {
    LT_IN_SUBMIT,     /* token, job (the id for it, made by the caller), uid, submit */
    LT_IN_CANCEL,     /* token, job, uid; job: an id or a unique beginning of one, here and below */
    LT_IN_STOP,       /* token, job, uid: finish the step, save a checkpoint, end */
    LT_IN_RELEASE,    /* token, job */
    LT_IN_CHECKPOINT, /* token, job: save one now and go on */
    LT_IN_REMOVE,     /* token, job: an ended job leaves the fold */
    LT_IN_DRAIN,      /* token, node: no new work there */
    LT_IN_UNDRAIN,    /* token, node */
    LT_IN_AGENT,      /* session, message */
    LT_IN_AGENT_LOST, /* session: its connection ended */
    LT_IN_TIMER,      /* nothing: the deadline passed (or for any other reason; never wrong) */
    LT_IN_N
};

struct lt_submit {
    const char *request_id;      /* scoped to uid; the same id and hash give the same job */
    const Lt__V1__JobSpec *spec; /* validated; resume.path, evaluation.plan and .path filled in */
    const char *spec_hash;       /* SHA-256 of the canonical spec, hexadecimal */
    const char *run_dir;         /* absolute */
    const char *parent;          /* NULL: none */
};

struct lt_core_input {
    enum lt_input_kind kind;
    uint64_t token;   /* comes back in LT_DO_REPLY; 0: nobody waits, no reply is made */
    const char *job;
    const char *node;
    uint32_t uid;     /* who asks; may the caller do so? was decided before (lt_core_job_uid) */
    struct lt_submit submit;
    uint64_t session; /* never 0 */
    const Lt__V1__AgentMessage *message;
    /* With a Hello: up to where the metrics of each of its attempts are stored; journals are asked
     * for from there on. NULL: nothing is known of that. */
    const uint64_t *stored;
};

/* ---- actions: owned by the list until lt_actions_done() ---- */

enum lt_action_kind {
    LT_DO_APPEND,  /* seq, job, data/len: the packed lt.v1.Event; seq follows the last one's */
    LT_DO_SEND,    /* session, data/len: a packed lt.v1.CoordinatorMessage; if it is still there */
    LT_DO_REPLY,   /* token, status (0 or -errno), job (full id), text (why, when < 0; or NULL) */
    LT_DO_NOTIFY,  /* job: its status changed. A job that can't be found was removed */
    LT_DO_METRICS, /* job, attempt, rank, end_offset, metrics: for the metrics database, which skips
                      repeats by end_offset. metrics NULL: the attempt has ended, that was all */
    LT_DO_CLOSE,   /* session, text: the agent broke the protocol; close it and log why */
    LT_DO_N
};

struct lt_action {
    enum lt_action_kind kind;
    char *job;
    char *text;
    uint8_t *data;
    size_t len;
    uint64_t seq;
    uint64_t session;
    uint64_t token;
    int status;
    uint32_t attempt;
    uint32_t rank;
    uint64_t end_offset;
    Lt__V1__MetricValues *metrics;
};

struct lt_actions {
    struct lt_action *items;
    size_t len, cap;
};
void lt_actions_done(struct lt_actions *a); /* frees the content; a is empty and usable again */

/* Appends its actions to *out (which may hold earlier ones). 0; or -EINVAL: the input itself made
 * no sense (a caller's mistake; nothing changed). What is wrong with a request is a reply; with an
 * agent's message, a close. */
int lt_core_step(struct lt_core *core, const struct lt_core_input *in, uint64_t wall_ns,
                 uint64_t mono_ns, struct lt_actions *out);

/* When LT_IN_TIMER is due at the latest: monotonic ns; UINT64_MAX: no need. */
uint64_t lt_core_deadline(const struct lt_core *core);

/* ---- the log ---- */

/* Sequence number of the newest event that the core has seen or made; 0: none. */
uint64_t lt_core_last_seq(const struct lt_core *core);

/* Applies one event of the log, in order, before the first step. -EPROTO: the log can't have come
 * from this machine (bytes, order, or [state][event] says no); err says why. */
int lt_core_replay(struct lt_core *core, const void *data, size_t len, struct lt_error *err);

/* The whole fold, packed lt.v1.Fold: the same events give the same bytes. *data is the caller's, to
 * lt_free(). */
void lt_core_snapshot(const struct lt_core *core, uint8_t **data, size_t *len);
/* Into a new core. -EPROTO: not a snapshot. */
int lt_core_restore(struct lt_core *core, const void *data, size_t len, struct lt_error *err);

#endif
