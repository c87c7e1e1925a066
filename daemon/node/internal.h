/* internal.h - the agent's own state, shared by the files of this folder; see node.h */
#ifndef LT_DAEMON_NODE_INTERNAL_H
#define LT_DAEMON_NODE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "daemon/node/node.h"
#include "daemon/node/rank.h"
#include "lt/v1/agent.pb-c.h"

struct lt_map;
struct lt_node_blobs;
struct lt_node_checks;
struct lt_node_need;
struct lt_node_out;
struct lt_node_reads;
struct lt_node_pmi;
struct lt_node_trim;
struct lt_node_versions;
struct lt_node_wake;
struct lt_rpc_session;

#define LT_NODE_TICK_MS 250
#define LT_COMMAND_GRACE_MS 30000 /* from SIGTERM to SIGKILL of a command that says nothing else */

struct lt_node {
    uv_loop_t *loop;
    char *state_dir, *attempts_dir, *name, *shim, *worker;
    unsigned ladder_ms; /* between the rungs of the kill ladder */
    uint64_t hang_ns;   /* so long a rank may stand still */
    uint64_t looked_ns; /* for ranks that do; monotonic */
    int lock;
    Lt__V1__Inventory *inventory;
    struct lt_rpc_session *session;
    bool open;     /* the coordinator took the call */
    bool welcomed; /* and our hello */
    bool takes_records; /* several in one message */
    unsigned sessions;  /* so far: an answer for an earlier one is dropped */
    void (*on_ready)(void *user);
    void *user;
    struct lt_map *ranks;    /* name → struct lt_rank, borrowed */
    struct lt_node_out *out; /* messages that found the session's outbox full */
    struct lt_node_wake *wake;
    struct lt_node_pmi *pmi;
    struct lt_node_checks *checks;
    struct lt_node_reads *reads;
    struct lt_node_blobs *blobs;
    struct lt_node_trim *trim;
    struct lt_node_versions *versions; /* NULL: known */
    uv_timer_t tick; /* runs while a rank runs */
    bool ticking;
    bool closing;
    unsigned refs; /* open handles and queued works, and one until close */
    void (*on_closed)(void *user);
    void *closed_user;
};

void lt_node_hold(struct lt_node *n);
void lt_node_release(struct lt_node *n); /* frees it when it was the last and the node is closed */
void lt_node_tick_start(struct lt_node *n);
void lt_node_tail_all(struct lt_node *n);

/* ---- out.c. kind: the message's case; payload: that member. */
void lt_node_send(struct lt_node *n, Lt__V1__AgentMessage__MessageCase kind,
                  void *payload); /* queued when full, dropped without a session */
int lt_node_try(struct lt_node *n, Lt__V1__AgentMessage__MessageCase kind,
                void *payload);        /* -EAGAIN, -ENOTCONN */
bool lt_node_out_empty(const struct lt_node *n);
bool lt_node_flush(struct lt_node *n); /* true: nothing queued any more */
void lt_node_out_drop(struct lt_node *n);
struct lt_node_out *lt_node_out_new(void);
void lt_node_out_free(struct lt_node_out *o);

/* ---- session.c */
int lt_node_connect(struct lt_node *n, struct lt_rpc_loop *loop, const char *target,
                    struct lt_error *err);
/* ---- sample.c */
void lt_node_sample(struct lt_node *n);
void lt_rank_sample(const struct lt_rank *r); /* this one alone, whatever its state */
/* ---- still.c */
void lt_still_look(struct lt_node *n); /* called often, looks now and then */
/* ---- inventory.c; allocated by lt_malloc, lives as long as the process */
Lt__V1__Inventory *lt_node_inventory(const char *worker);
void lt_node_inventory_free(Lt__V1__Inventory *inv);
/* ---- versions.c: asks which MPICH is here, once, a moment after the start; inventory is told again */
void lt_node_versions_open(struct lt_node *n);
void lt_node_versions_close(struct lt_node_versions *v); /* NULL is fine */

/* ---- wake.c: ZeroMQ PULL; NULL when it can't be had (the tick finds everything, a little later)
 */
struct lt_node_wake *lt_node_wake_open(struct lt_node *n, const char *runtime_dir);
const char *lt_node_wake_address(const struct lt_node_wake *w); /* NULL: none */
void lt_node_wake_close(struct lt_node_wake *w);
/* ---- pmi.c: where ranks find each other; NULL when its socket can't be had (said in the log) */
struct lt_node_pmi *lt_node_pmi_open(struct lt_node *n);
void lt_node_pmi_ended(struct lt_node_pmi *p, const struct lt_rank *r); /* r is ENDED */
void lt_node_pmi_close(struct lt_node_pmi *p);
/* ---- blobs.c: files that plans name by content */
int lt_node_blobs_open(struct lt_node *n, struct lt_node_blobs **out, struct lt_error *err);
void lt_node_blobs_close(struct lt_node_blobs *b); /* NULL is fine */
void lt_node_blobs_welcomed(struct lt_node_blobs *b);
void lt_node_blob_chunk(struct lt_node_blobs *b, const Lt__V1__BlobChunk *m);
void lt_node_blobs_drop(struct lt_node_blobs *b, const Lt__V1__DropBlobs *m);
char **lt_node_blobs_list(const struct lt_node_blobs *b, size_t *n); /* to lt_free(), each and all */
/* What spec names is brought here. 0 with *out NULL: it is here; fn won't be called. 0 with *out:
 * fn will be, once; <0: it can't be. */
typedef void lt_node_need_fn(void *arg, int rc, const char *why);
int lt_node_need(struct lt_node_blobs *b, const Lt__V1__JobSpec *spec, lt_node_need_fn *fn,
                 void *arg, struct lt_node_need **out, struct lt_error *err);
void lt_node_need_cancel(struct lt_node_need *need); /* NULL is fine */
/* ---- check.c */
struct lt_node_checks *lt_node_checks_new(struct lt_node *n, unsigned max);
void lt_node_check(struct lt_node_checks *c, const Lt__V1__CheckRequest *m);
void lt_node_checks_close(struct lt_node_checks *c);
/* ---- trim.c: keeps logs to their size; last: nothing runs any more */
struct lt_node_trim *lt_node_trim_new(struct lt_node *n);
void lt_node_trim_tick(struct lt_node_trim *t, bool last);
void lt_node_trim_close(struct lt_node_trim *t);
/* ---- remove.c: answered by RunRemoved */
void lt_node_remove_run(struct lt_node *n, const Lt__V1__RemoveRun *m);
/* ---- read.c */
struct lt_node_reads *lt_node_reads_new(struct lt_node *n);
void lt_node_read(struct lt_node_reads *r, const Lt__V1__ReadRequest *m);
void lt_node_reads_poke(struct lt_node_reads *r); /* something was written */
void lt_node_reads_drop(struct lt_node_reads *r); /* the session is over */
void lt_node_reads_close(struct lt_node_reads *r);

#endif
