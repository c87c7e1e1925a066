/* internal.h - the coordinator's fields; its files are coord.c (begin, end, recovery), turn.c
 * (inputs and commits), submit.c, agents.c (sessions), requests.c (reads and checks), blobs.c,
 * metrics.c (their database), fill.c (from kept journals), watch.c */
#ifndef LT_DAEMON_COORD_INTERNAL_H
#define LT_DAEMON_COORD_INTERNAL_H

#include <uv.h>
#include "base/error.h"
#include "daemon/coord/coord.h"

struct lt_coord_waiter {
    uint64_t token;
    lt_coord_reply_fn *fn; /* NULL: forgotten */
    void *arg;
    bool refused; /* never reached the core: the store can't be written */
};

struct lt_coord_agent {
    struct lt_coord_agent *next;
    uint64_t session;
    struct lt_rpc_call *call;
    bool dropped; /* what still comes isn't heard */
};

struct lt_coord_fill;
struct lt_map;

/* A job whose metrics aren't all there. */
struct lt_coord_behind {
    uint32_t ended; /* journals of its attempts up to this one are to be read; 0: none */
    bool awaited;   /* nothing is there of the present one, and its node hasn't come yet */
};

/* A journal that is sent again. */
struct lt_coord_again {
    uint64_t session;
    char *job;
    uint32_t attempt, rank;
    uint64_t until; /* a record that ends here, or behind it, says that all came */
};

struct lt_coord_request {
    struct lt_coord_request *next;
    uint64_t id, session;
    lt_coord_read_fn *read; /* one of these */
    lt_coord_check_fn *check;
    lt_coord_removed_fn *removed;
    void *arg;
};

struct lt_coord {
    struct lt_coord_config config;
    char *state_dir, *runs_dir, *blobs_dir;
    uv_loop_t *uv;
    int lock;
    struct lt_store *store;
    struct lt_metrics *metrics;
    struct lt_core *core;
    struct lt_error broken; /* code != 0: the store can't be written */

    struct lt_actions actions;       /* of this turn */
    struct lt_coord_waiter *waiters; /* in order of their tokens */
    size_t n_waiters, cap_waiters;
    uint64_t last_token;
    bool stepped; /* the core's next deadline may be another one now */
    bool refusals; /* some waiter is refused */

    struct lt_map *behind;        /* job → struct lt_coord_behind */
    struct lt_coord_fill *fill;   /* the job whose journals are being read; NULL: none */
    struct lt_coord_again *again; /* in no order */
    size_t n_again, cap_again;
    uint64_t mended_ns; /* when the metrics database was mended last */
    bool mend_failed;

    struct lt_coord_agent *agents;
    uint64_t last_session;
    struct lt_coord_request *requests;
    uint64_t last_request;
    struct lt_coord_watch *watches;

    uv_prepare_t prepare; /* the turn's ends: before the loop waits, */
    uv_check_t check;     /* and behind what it waited for */
    uv_timer_t deadline, tick, probe, sweep, mend;
    unsigned handles; /* and works on the thread pool */
    bool closing, flushing, sweeping; /* soon */
    void (*done)(void *arg);
    void *arg;
};

/* coord.c */
int lt_coord_rebuild(struct lt_coord *c, struct lt_error *err); /* core from snapshot and log */
void lt_coord_arm(struct lt_coord *c); /* the timer of the core's next deadline */
void lt_coord_probe_later(struct lt_coord *c);
void lt_coord_release(struct lt_coord *c); /* a handle or a work less */
/* metrics.c */
void lt_coord_metrics_look(struct lt_coord *c); /* which jobs are behind? */
void lt_coord_metrics_take(struct lt_coord *c, const struct lt_actions *todo);
void lt_coord_metrics_care(struct lt_coord *c); /* behind each turn */
void lt_coord_metrics_hello(struct lt_coord *c, uint64_t session, const Lt__V1__Hello *m,
                            const uint64_t *stored);
void lt_coord_metrics_heard(struct lt_coord *c, const Lt__V1__AgentMessage *m);
void lt_coord_metrics_lost(struct lt_coord *c, uint64_t session);
void lt_coord_metrics_done(struct lt_coord *c); /* frees */
/* fill.c */
void lt_coord_fill_next(struct lt_coord *c); /* begins with a job of c->behind whose node is there */
void lt_coord_fill_drop(struct lt_coord *c);
/* turn.c */
void lt_coord_step(struct lt_coord *c, const struct lt_core_input *in);
void lt_coord_flush(struct lt_coord *c);
/* agents.c */
void lt_coord_agent_send(struct lt_coord *c, uint64_t session, const void *data, size_t n);
void lt_coord_agent_drop(struct lt_coord *c, uint64_t session, const char *why);
void lt_coord_agents_drop(struct lt_coord *c, const char *why);
/* blobs.c */
void lt_coord_blobs_start(struct lt_coord *c);
void lt_coord_blobs_sweep_soon(struct lt_coord *c); /* a job is gone */
void lt_coord_blob_asked(struct lt_coord *c, uint64_t session, const Lt__V1__BlobRequest *q);
void lt_coord_blobs_hello(struct lt_coord *c, uint64_t session, const Lt__V1__Hello *hello);
/* requests.c */
void lt_coord_send(struct lt_coord *c, uint64_t session, const Lt__V1__CoordinatorMessage *m);
bool lt_coord_request_answer(struct lt_coord *c,
                             const Lt__V1__AgentMessage *m); /* true: it was one */
void lt_coord_requests_lost(struct lt_coord *c, uint64_t session);
/* watch.c */
void lt_coord_tell(struct lt_coord *c, const char *job, unsigned what); /* job NULL: all */

#endif
