/* coord.h - the coordinator: the core and the log, tied to time, clients and agents
 *
 * Inputs of one turn of the loop are given to the core as they come; at the turn's end their events
 * go into the log in one commit, and only then is anything sent, replied or told (group commit).
 * When a commit fails, everybody who waits gets the store's error, the agents' sessions are closed
 * and the core is made anew from what the log says now. Ranks go on. The store is probed every
 * second; until it takes writes again, whatever would change something is refused with the reason,
 * and reading goes on.
 *
 * All of it runs on the loop's thread. Callbacks come from the end of a turn, or from inside
 * lt_coord_core().
 */
#ifndef LT_DAEMON_COORD_COORD_H
#define LT_DAEMON_COORD_COORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "daemon/core/core.h"
#include "lt/v1/agent.pb-c.h"

struct lt_blob_writer;
struct lt_coord;
struct lt_error;
struct lt_metrics;
struct lt_rpc_call;
struct lt_rpc_loop;
struct lt_store;

struct lt_coord_config {
    struct lt_rpc_loop *loop;
    const char
        *state_dir; /* <state>/coord: lock, events.db, metrics.db, blobs/; created when missing */
    const char *runs_dir; /* where run directories are made: <data>/runs */
};

/* Takes <state_dir>/lock (-EWOULDBLOCK, the holder's pid in err), opens the store and replays the
 * log. */
int lt_coord_open(const struct lt_coord_config *config, struct lt_coord **out,
                  struct lt_error *err);
/* After the server is closed: no call refers to it any more. done (may be NULL) when its handles
 * are gone. */
void lt_coord_close(struct lt_coord *c, void (*done)(void *arg), void *arg);

/* For queries: what is durable, nothing ahead of it. Valid until the next input. NULL while the log
 * can't be read. */
const struct lt_core *lt_coord_core(struct lt_coord *c);
struct lt_store *lt_coord_store(struct lt_coord *c);
struct lt_metrics *lt_coord_metrics(struct lt_coord *c);
/* Are a job's metrics all in the database? 1; 0: not yet, LT_CHANGED_METRICS tells; <0: not before
 * something else happens, err says what. */
int lt_coord_metrics_ready(struct lt_coord *c, const char *job, struct lt_error *err);
const char *lt_coord_blobs(const struct lt_coord *c); /* folder of the blobs */
/* Syncs what was written and puts it in its place, on the thread pool; then uid owns it. expected:
 * its hash, "" for any. w is taken over; fn is called once, with what lt_blob_writer_finish()
 * gives. */
typedef void lt_coord_blob_fn(void *arg, int rc, const char *hash, uint64_t size, const char *why);
void lt_coord_blob_finish(struct lt_coord *c, struct lt_blob_writer *w, const char *expected,
                          uint32_t uid, lt_coord_blob_fn *fn, void *arg);
/* Why nothing can be written now; NULL: it can. */
const char *lt_coord_broken(const struct lt_coord *c);
unsigned lt_coord_agents(const struct lt_coord *c); /* connected now */

/* ---- inputs ---- */

struct lt_coord_reply {
    int status;       /* 0 or -errno; all of the input's events are durable */
    const char *job;  /* full id, or "" */
    const char *text; /* why, when status < 0 */
};
typedef void lt_coord_reply_fn(void *arg, const struct lt_coord_reply *reply);

/* Gives the core one input (in->token is set here). fn is called once, after the commit. Returns
 * the token. */
uint64_t lt_coord_input(struct lt_coord *c, struct lt_core_input *in, lt_coord_reply_fn *fn,
                        void *arg);
void lt_coord_forget(struct lt_coord *c,
                     uint64_t token); /* fn won't be called; what was asked is done all the same */

struct lt_coord_submission {
    const char *request_id;
    uint32_t uid;
    const char *parent;          /* NULL: none */
    const Lt__V1__JobSpec *spec; /* valid (lt_plan_validate), complete */
    const char *spec_hash;       /* of the spec as it was sent */
};
void lt_coord_spec_hash(const Lt__V1__JobSpec *spec, char hash[65]);
/* Makes an id and the run directory's name, then as lt_coord_input(). */
uint64_t lt_coord_submit(struct lt_coord *c, const struct lt_coord_submission *s,
                         lt_coord_reply_fn *fn, void *arg);

/* ---- agents: one Agent.Session call each ---- */

uint64_t lt_coord_agent_open(struct lt_coord *c,
                             struct lt_rpc_call *call); /* session; 0: not now, lt_coord_broken() */
void lt_coord_agent_message(struct lt_coord *c, uint64_t session, const Lt__V1__AgentMessage *m);
void lt_coord_agent_closed(struct lt_coord *c, uint64_t session);

/* Asks a node for bytes of a run's file, or for a folder's entries. fn is called once; reply NULL:
 * the node went away. Returns the request's id; 0: the node isn't connected, fn won't be called. */
typedef void lt_coord_read_fn(void *arg, const Lt__V1__ReadReply *reply);
struct lt_coord_read {
    const char *node; /* NULL: any */
    const char *run_dir, *path;
    uint64_t offset;
    uint32_t max_bytes;
    uint32_t wait_ms; /* wait so long for bytes when there are none */
};
uint64_t lt_coord_read(struct lt_coord *c, const struct lt_coord_read *r, lt_coord_read_fn *fn,
                       void *arg);

/* Levels 2 and 3 of checking on any node. As lt_coord_read(). */
typedef void lt_coord_check_fn(void *arg, const Lt__V1__CheckDone *done);
uint64_t lt_coord_check(struct lt_coord *c, const Lt__V1__JobSpec *spec, lt_coord_check_fn *fn,
                        void *arg);
/* A job's run folder is removed by its node. As lt_coord_read(). */
typedef void lt_coord_removed_fn(void *arg, const Lt__V1__RunRemoved *done);
uint64_t lt_coord_remove_run(struct lt_coord *c, const char *node, const char *job,
                             const char *run_dir, lt_coord_removed_fn *fn, void *arg);
void lt_coord_request_cancel(struct lt_coord *c, uint64_t id); /* of any of these; 0 is fine */

/* ---- watching: told that something changed, the watcher looks for itself ---- */

enum lt_coord_change {
    LT_CHANGED_EVENTS = 1,  /* new events in the log */
    LT_CHANGED_STATUS = 2,  /* the core's view of the job */
    LT_CHANGED_METRICS = 4, /* new points */
    LT_CHANGED_TICK = 8,    /* half a second passed (live samples, heartbeats) */
};
struct lt_coord_watch {
    struct lt_coord_watch *next, **link;
    char *job;                                                /* NULL: all */
    void (*changed)(struct lt_coord_watch *w, unsigned what); /* mustn't remove watches */
};
void lt_coord_watch_add(struct lt_coord *c, struct lt_coord_watch *w, const char *job,
                        void (*changed)(struct lt_coord_watch *w, unsigned what));
void lt_coord_watch_remove(struct lt_coord_watch *w);

#endif
