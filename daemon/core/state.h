/* state.h - what the core's own files share: the fold of each job, and beside it what is soft
 *
 * Inside daemon/core only. The fold (Lt__V1__JobFold) changes in apply*.c alone, from events alone.
 * Soft state is whatever a restart may forget: sessions, what was sent over them, samples,
 * monotonic deadlines.
 */
#ifndef LT_DAEMON_CORE_STATE_H
#define LT_DAEMON_CORE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "daemon/core/core.h"
#include "lt/v1/fold.pb-c.h"

#define LT_STATE_N (LT__V1__JOB_STATE__DONE + 1)
#define LT_NEVER UINT64_MAX
#define LT_SECOND UINT64_C(1000000000)

#define LT_NODE_UNKNOWN_NS (10 * LT_SECOND)        /* unseen so long: condition NODE_UNKNOWN */
#define LT_NODE_DEAD_NS (300 * LT_SECOND)           /* so long: a new generation elsewhere */
#define LT_START_NS (10 * LT_SECOND)                /* ranks that haven't started: MISSING */
#define LT_LIMIT_GRACE_NS (60 * LT_SECOND)          /* from the polite stop to the kill ladder */
#define LT_DONE_KEPT_NS (7 * 24 * 3600 * LT_SECOND) /* then an ended job leaves the fold */
#define LT_RETRY_DELAY_MAX_S 60

struct lt_arena;
struct lt_buf;
struct lt_map;

struct lt_rank { /* soft, beside a Lt__V1__RankFold */
    uint64_t start_session;  /* StartRank went out over this one; 0: not yet */
    uint64_t signal_session; /* `signal` went out over this one */
    Lt__V1__RankSignal signal;
    uint64_t checkpoint_session; /* SIGNAL_CHECKPOINT went out over this one */
    uint64_t seen_offset;    /* behind the newest record, with or without an event */
    Lt__V1__Sample *sample;  /* newest, owned; or NULL */
};

struct lt_job {
    Lt__V1__JobFold *fold;
    struct lt_job *prev, *next; /* in its state's list */
    struct lt_rank *ranks;      /* fold->n_ranks of them */
    size_t n_ranks;
    uint64_t check_session;     /* asked to check the plan; 0: nobody */
    char *check_text;           /* how far the check is */
    uint64_t reached_step;      /* from samples and metrics; the fold's may lag */
    uint64_t retry_at_ns;       /* monotonic; 0: not computed yet, LT_NEVER: none (also below) */
    uint64_t limit_at_ns;       /* the job's time limit */
    uint64_t grace_at_ns;       /* stopping for time: then the kill ladder */
    uint64_t missing_at_ns;     /* starting: then who is missing is named */
    bool changed;               /* to be notified at the end of the step */
};

struct lt_list {
    struct lt_job *first, *last;
    size_t count;
};

struct lt_node {
    char *name;
    uint64_t session;             /* 0: not connected */
    uint64_t lost_ns; /* when it was last seen going, monotonic; valid without a session */
    Lt__V1__Inventory *inventory; /* last one it told; NULL: never seen, a job's fold names it */
    char *version;
    unsigned checks;              /* CheckRequests without an answer */
};

struct lt_core {
    struct lt_map *jobs;     /* id → struct lt_job, in the order of submission */
    struct lt_map *requests; /* "uid/request_id" → struct lt_job (borrowed) */
    struct lt_map *nodes;    /* name → struct lt_node */
    struct lt_list lists[LT_STATE_N];
    size_t limited;          /* queued jobs whose time limit runs */
    char **draining; /* names, part of the fold */
    size_t n_draining;
    uint64_t last_seq;
    bool reschedule; /* something was queued or became free */
    bool looked;     /* every job was looked at since the start */
    uint64_t deadline_ns;
};

/* One step: the core, its time, and where actions go. */
struct lt_turn {
    struct lt_core *core;
    uint64_t wall_ns, mono_ns;
    struct lt_actions *out;
};

/* fold.c: handling of the fold's message */
Lt__V1__JobFold *lt_fold_new(void);
void lt_fold_free(Lt__V1__JobFold *f);
void lt_fold_string(char **slot, const char *value);
ProtobufCMessage *lt_message_clone(const ProtobufCMessage *m); /* to its *_free_unpacked() */
#define LT_SET(message, field, v) ((message)->has_##field = 1, (message)->field = (v))
const Lt__V1__Job *lt_spec_job(const Lt__V1__JobSpec *spec);         /* NULL: none given */
const char *lt_spec_name(const Lt__V1__JobSpec *spec);               /* "" when it has none */
const char *lt_spec_kind(const Lt__V1__JobSpec *spec);
bool lt_spec_hold(const Lt__V1__JobSpec *spec);
#define LT_RANKS_MAX 1024
uint32_t lt_spec_ranks(const Lt__V1__JobSpec *spec); /* at least 1; an evaluation's: its plan's */
double lt_spec_time_limit_s(const Lt__V1__JobSpec *spec);            /* 0: none */
uint64_t lt_spec_grace_ns(const Lt__V1__JobSpec *spec); /* from the polite stop to the kill ladder */
int64_t lt_fold_priority(const Lt__V1__JobFold *f);
bool lt_fold_holds_cores(const Lt__V1__JobFold *f);                  /* its reservation counts */

/* apply.c, apply_run.c: [state][event]; takes what it needs out of e. -EPROTO: illegal, nothing
 * changed. */
typedef int lt_apply_fn(Lt__V1__JobFold *f, Lt__V1__Event *e);
int lt_job_apply(Lt__V1__JobFold *f, Lt__V1__Event *e);
lt_apply_fn lt_apply_attempt_started, lt_apply_running, lt_apply_rank_exited,
    lt_apply_attempt_ended, lt_apply_resolved, lt_apply_profile, lt_apply_fingerprint,
    lt_apply_checkpoint_saved, lt_apply_checkpoint_removed, lt_apply_early_stopped,
    lt_apply_rewound, lt_apply_condition, lt_apply_progress, lt_apply_finished;
int lt_core_apply(struct lt_core *core, Lt__V1__Event *e, struct lt_error *err);
bool lt_exit_failed(const Lt__V1__RankExited *x); /* it didn't end as one that was through, or asked */

/* core.c */
struct lt_job *lt_core_job(const struct lt_core *core, const char *id); /* exact */
bool lt_core_draining(const struct lt_core *core, const char *node);
void lt_core_set_draining(struct lt_core *core, const char *node, bool on);
void lt_core_add(struct lt_core *core, Lt__V1__JobFold *fold);         /* takes it */
void lt_core_drop(struct lt_core *core, struct lt_job *job);
void lt_list_add(struct lt_core *core, struct lt_job *job); /* to the list of its state */
void lt_list_remove(struct lt_core *core, struct lt_list *l, struct lt_job *job);
void lt_core_relist(struct lt_core *core, struct lt_job *job, Lt__V1__JobState before);
void lt_job_reset_ranks(struct lt_job *job);
/* Made when missing. */
struct lt_node *lt_core_node(struct lt_core *core, const char *name, uint64_t mono_ns);
struct lt_node *lt_core_node_of_session(const struct lt_core *core, uint64_t session);

/* emit.c: events and messages into actions */
#define LT_EVENT_INIT LT__V1__EVENT__INIT
/* Stamps, packs, applies, appends. e's content is borrowed. */
void lt_emit(struct lt_turn *t, const char *job, Lt__V1__Event *e);
void lt_send(struct lt_turn *t, uint64_t session, Lt__V1__CoordinatorMessage *m);
void lt_reply(struct lt_turn *t, uint64_t token, int status, const char *job, const char *format,
              ...) __attribute__((format(printf, 5, 6)));
void lt_core_notify(struct lt_turn *t, struct lt_job *job);
struct lt_action *lt_action_add(struct lt_turn *t, enum lt_action_kind kind, const char *job);

/* due.c: whatever the fold says must happen next, until nothing is left */
void lt_job_advance(struct lt_turn *t, struct lt_job *job);
void lt_advance_active(struct lt_turn *t); /* every job that holds cores */
void lt_advance_all(struct lt_turn *t);    /* every job that isn't done */
bool lt_time_is_up(struct lt_turn *t, struct lt_job *job);
/* place.c: StartRank, SignalRank to the ranks of an attempt; what is due while it runs */
bool lt_due_starting(struct lt_turn *t, struct lt_job *job);
bool lt_due_running(struct lt_turn *t, struct lt_job *job);
bool lt_due_stopping(struct lt_turn *t, struct lt_job *job);
bool lt_kill_rest(struct lt_turn *t, struct lt_job *job); /* of an attempt that has failed */
void lt_start_attempt(struct lt_turn *t, struct lt_job *job, const struct lt_node *node);
void lt_send_signal(struct lt_turn *t, uint64_t session, const char *job, uint32_t attempt,
                    uint32_t generation, uint32_t rank, Lt__V1__RankSignal signal);
void lt_send_forget(struct lt_turn *t, uint64_t session, const char *job, uint32_t attempt);
/* False: it is so already. detail is borrowed. */
bool lt_set_condition(struct lt_turn *t, struct lt_job *job, Lt__V1__Condition__Kind kind,
                      bool active, const char *detail);
/* It goes on from a job that ran on another number of ranks (*parents). */
bool lt_other_ranks(const struct lt_core *core, const Lt__V1__JobFold *f, uint32_t *parents);
void lt_rank_lost(struct lt_turn *t, struct lt_job *job, const Lt__V1__RankFold *r,
                  Lt__V1__FailureClass class, const char *reason);

/* retry.c: how an attempt ended, and what follows */
struct lt_verdict {
    Lt__V1__JobResult result;   /* when nothing follows */
    Lt__V1__FailureClass class;
    const char *reason;         /* borrowed from the fold, or static */
    bool retry, preempted;
    uint64_t delay_ms;
};
struct lt_verdict lt_judge(const Lt__V1__JobFold *f);
/* How a job ends that was asked to (stop, time limit, cancel) and has nothing to say itself. */
struct lt_verdict lt_wished(Lt__V1__StopKind stop);
/* Appends where a checkpoint lies: relative to run_dir, or absolute. */
void lt_checkpoint_path(const Lt__V1__CheckpointSaved *s, struct lt_buf *path);
/* Newest thing to start from: path relative to run_dir (into the buffer) and its step; false: from
 * the start. */
bool lt_restart_point(const Lt__V1__JobFold *f, struct lt_buf *path, uint64_t *step);

/* check.c */
void lt_dispatch_checks(struct lt_turn *t);
void lt_on_check_done(struct lt_turn *t, struct lt_node *node, const Lt__V1__CheckDone *m);
void lt_on_check_progress(struct lt_turn *t, struct lt_node *node, const Lt__V1__CheckProgress *m);

/* sched.c */
struct lt_need { /* of all ranks together */
    uint32_t cpus;  /* to reserve; 0: shares */
    uint32_t given; /* cores they are told to use */
    uint64_t memory;
};
struct lt_use {
    uint32_t cpus;
    uint64_t memory;
};
uint64_t lt_all_ranks(uint64_t bytes, uint32_t ranks); /* bytes of each; more than can be is much */
struct lt_need lt_need_on(const Lt__V1__JobFold *f, const struct lt_node *n);
struct lt_use lt_use_of(const struct lt_core *core, const char *node);
/* More ranks than processors are in order: told so, or a command, whose ranks may do anything. */
bool lt_may_crowd(const Lt__V1__JobFold *f);
/* Its processors aren't its own: the job shares them, or has more ranks than processors. */
bool lt_shares_cpus(const Lt__V1__JobFold *f);
/* Of `cpus` processors, what rank i of n gets: equal parts, the rest to the first ones; at least 1. */
uint32_t lt_rank_share(uint32_t cpus, uint32_t i, uint32_t n);
/* Could it ever run there? Connected or not. */
bool lt_node_could(const Lt__V1__JobFold *f, const struct lt_node *n);
bool lt_node_ready(const struct lt_core *core, const struct lt_node *n);
bool lt_node_has_room(const struct lt_core *core, const Lt__V1__JobFold *f,
                      const struct lt_node *n);
/* Is what was reserved there for f still there? A node may come back with less. */
bool lt_place_holds(const struct lt_core *core, const Lt__V1__JobFold *f, const struct lt_node *n);
/* May f start on n without delaying head (which waits before it)? */
bool lt_spares_head(const struct lt_core *core, const Lt__V1__JobFold *f, const struct lt_node *n,
                    const Lt__V1__JobFold *head);
/* The first job of the queue that can't start now; NULL: none. */
struct lt_job *lt_queue_head(const struct lt_core *core);
void lt_schedule(struct lt_turn *t);

/* client.c, agent.c, hello.c, record.c, timer.c: one handler per input */
typedef void lt_input_fn(struct lt_turn *t, const struct lt_core_input *in);
lt_input_fn lt_on_submit, lt_on_cancel, lt_on_stop, lt_on_release, lt_on_checkpoint, lt_on_remove,
    lt_on_drain, lt_on_undrain, lt_on_agent, lt_on_agent_lost, lt_on_timer;
void lt_on_inventory(struct lt_node *n, const Lt__V1__Inventory *m);
/* stored: of each of its attempts, or NULL (core.h). */
void lt_on_hello(struct lt_turn *t, uint64_t session, const Lt__V1__Hello *m,
                 const uint64_t *stored);
bool lt_find_rank(const struct lt_core *core, const struct lt_node *node, const char *id,
                  uint32_t attempt, uint32_t generation, uint32_t rank, struct lt_job **job,
                  size_t *index);
/* The rank is there: `running`, unless that is known. pid 0: unknown. */
void lt_rank_runs(struct lt_turn *t, struct lt_job *job, size_t i, uint32_t pid);
void lt_on_record(struct lt_turn *t, struct lt_node *node, const Lt__V1__Record *m);
void lt_on_records(struct lt_turn *t, struct lt_node *node, const Lt__V1__Records *m);
uint64_t lt_left_ns(uint64_t whole_ns, uint64_t since_wall_ns, uint64_t wall_ns);
uint64_t lt_next_deadline(struct lt_core *core, uint64_t wall_ns, uint64_t mono_ns);

/* find.c */
struct lt_job *lt_core_match(const struct lt_core *core, const char *job, struct lt_error *err);

#endif
