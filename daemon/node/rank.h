/* rank.h - one rank of one attempt on this node, as the agent sees it
 *
 * STARTING  its folder is being written, or its shim hasn't reported yet
 * RUNNING   its shim holds the lock
 * ENDING    the shim is gone without an exit record: its worker is being made sure to be dead
 * ENDED     nothing of it runs; its journal is sent to the end, then RankGone, until the
 * coordinator forgets it
 *
 * Everything but STARTING is read from the attempt's folder, so that a new agent comes to the same
 * state.
 */
#ifndef LT_DAEMON_NODE_RANK_H
#define LT_DAEMON_NODE_RANK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>
#include "base/buf.h"
#include "base/error.h"
#include "daemon/node/stall.h"
#include "lt/v1/agent.pb-c.h"

struct lt_arena;
struct lt_journal_reader;
struct lt_node;
struct lt_node_need;
struct lt_page;
struct lt_rank_group;

enum lt_rank_state {
    LT_RANK_STARTING,
    LT_RANK_RUNNING,
    LT_RANK_ENDING,
    LT_RANK_ENDED,
    LT_RANK_STATE_N
};

struct lt_still_mark { /* what moves while a rank gets on */
    uint64_t v[8];
};

struct lt_still_since { /* since when it stands still, and what it does meanwhile (still.c); monotonic */
    struct lt_still_mark mark;
    uint64_t moved_ns, looked_ns, busy_ns;
    uint64_t cpu_ms, io;
    enum lt_still how;
    char state, wchan[64];
};

struct lt_rank {
    struct lt_node *node;
    struct lt_arena *arena;
    Lt__V1__StartRank *spec; /* in the arena */
    char *name;              /* JOB.ATTEMPT.RANK */
    char *dir;
    enum lt_rank_state state;
    unsigned refs; /* the table's one, and one per open handle or queued work */
    bool dropped;  /* out of the table */

    struct lt_node_need *need; /* files of its plan are being fetched */
    uv_work_t work;            /* writes the folder, on the thread pool */
    struct lt_error work_error;
    uv_process_t process; /* the shim, when we started it */
    uv_pipe_t report;     /* its one line */
    struct lt_buf line;
    bool spawned;       /* process and report are handles */
    pid_t shim, worker; /* 0: not known (yet) */
    uv_poll_t *watch;   /* on pidfd: the shim's, in ENDING the worker's */
    int pidfd;

    struct lt_page *page; /* NULL: not mapped */
    struct lt_journal_reader *reader;
    uint64_t sent, acked, acked_saved; /* journal offsets */
    bool journal_damaged;
    bool unread; /* it couldn't be read just now: the tick tries again */
    bool finished; /* the worker said how it ended: */
    Lt__V1__JobResult result;
    Lt__V1__FailureClass class;
    char *reason;
    bool gone_sent; /* in this session */
    bool trimmed;   /* its logs, after its end */
    struct lt_still_since still;
    char *stalled;    /* what was said of it; NULL: nothing */
    unsigned hung;    /* descriptions under way, then it is killed */
    unsigned asked;   /* signals, by bit, that came before its worker was known */
    bool doomed;      /* to be killed, also if it only starts */
    bool bereft;      /* killed since another rank of its generation failed */
    uint64_t gone_ns; /* when its shim was seen to be gone; monotonic */
    uv_work_t keep; /* copies the journal */
    bool keeping, kept;
    bool forgotten; /* to be removed when that is over */
    struct lt_rank_group *group; /* its control group on its way out (cgroup.c); NULL: isn't */
    bool group_over;             /* the group is removed, or stays for good */
    bool removing;               /* to be removed when that is over */

    uv_timer_t *ladder; /* towards SIGKILL */
    unsigned rung;
};

/* ---- the table (ranks.c) */
int lt_ranks_scan(struct lt_node *n, struct lt_error *err); /* what an earlier agent left */
struct lt_rank *lt_rank_find(struct lt_node *n, const char *job, uint32_t attempt, uint32_t rank);
/* spec is copied. The rank is in the table. */
struct lt_rank *lt_rank_new(struct lt_node *n, const Lt__V1__StartRank *spec);
struct lt_rank *lt_rank_hold(struct lt_rank *r);
void lt_rank_release(struct lt_rank *r);
void lt_rank_drop(struct lt_rank *r);   /* out of the table, handles closed; the folder stays */
void lt_rank_remove(struct lt_rank *r); /* and the folder is removed, behind its control group */
void lt_rank_set_state(struct lt_rank *r, enum lt_rank_state s);

/* ---- life */
void lt_rank_start(struct lt_node *n, const Lt__V1__StartRank *spec); /* start.c */
/* Its files are still being fetched: it isn't started at all. False: too late for that. */
bool lt_rank_give_up(struct lt_rank *r);
void lt_rank_tell_started(struct lt_rank *r);
void lt_rank_leave_shim(struct lt_rank *r); /* closes the handles of a shim that we started */
/* Watches the shim until it ends; looks for it in the folder when its pid isn't known (watch.c). */
void lt_rank_watch(struct lt_rank *r);
void lt_rank_unwatch(struct lt_rank *r);
/* The shim is gone (watch.c): goes to ENDED, by way of ENDING when it left no exit record. */
void lt_rank_shim_gone(struct lt_rank *r);
/* Sends what is new in the journal, behind an ended one RankGone (tail.c). */
void lt_rank_tail(struct lt_rank *r);
/* A new session: from the acknowledged offset, or an earlier one. */
void lt_rank_tail_again(struct lt_rank *r, uint64_t from);
/* Puts an ended rank's journal into the run folder, on the thread pool (keep.c). true: that is over;
 * else lt_rank_tail() is called again, or lt_rank_remove() when it is to be forgotten. */
bool lt_rank_keep_journal(struct lt_rank *r);
void lt_rank_forget(struct lt_rank *r); /* keeps its journal, then removes it */
void lt_rank_acked(struct lt_rank *r, uint64_t offset);
void lt_rank_save_ack(struct lt_rank *r);
uint64_t lt_rank_read_ack(const struct lt_rank *r);
void lt_rank_tell_gone(struct lt_rank *r);                         /* gone.c */
bool lt_rank_failed(struct lt_rank *r); /* r is ENDING or ENDED (gone.c) */
/* r is ENDING or ENDED: when it failed, the others of its generation are killed (peers.c). */
void lt_rank_end_peers(struct lt_rank *r);
void lt_rank_signal(struct lt_rank *r, Lt__V1__RankSignal signal); /* signal.c */
void lt_rank_signal_asked(struct lt_rank *r); /* r->worker is known: what was asked before */
void lt_rank_signal_again(struct lt_rank *r); /* what an earlier agent had begun */
void lt_rank_ladder_stop(struct lt_rank *r);
void lt_still_tell_again(struct lt_rank *r); /* a new session: whether it stands still (still.c) */
/* SIGKILL to the worker, its cgroup, and every process that carries the attempt's token (kill.c).
 */
void lt_rank_kill_all(struct lt_rank *r);
void lt_rank_cgroup_make(
    struct lt_rank *r); /* cgroup.c: where the node limits memory so; on the thread pool */
/* False: not yet; it goes on by itself, and lt_rank_remove() is called again when r->removing. True: there
 * is none any more, or it can't be removed, which was logged. */
bool lt_rank_cgroup_remove(struct lt_rank *r);
void lt_rank_cgroup_leave(struct lt_rank *r); /* to the next agent */
/* Of a rank (JOB.ATTEMPT.RANK) whose folder says nothing: made before its spec was written. */
void lt_node_cgroup_remove(const struct lt_node *n, const char *rank);
/* Gives it its attempt's MASTER_PORT (port.c). */
void lt_rank_assign_port(struct lt_rank *r);
/* Gives the rank processors of its own, lowest free ones first (cpus.c). */
void lt_rank_assign_cpus(struct lt_rank *r);

#endif
