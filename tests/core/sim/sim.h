/* sim.h - a world around daemon/core, in which everything breaks
 *
 * One seed is one history. The core is the product's own object code; everything around it is a
 * model that keeps the contracts of core.h and agent.proto, and breaks whatever may break.
 * Invariants are checked against the durable log alone (shadow.c), by code that shares nothing with
 * the core.
 */
#ifndef LT_TESTS_CORE_SIM_H
#define LT_TESTS_CORE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "daemon/core/core.h"
#include "lt/v1/agent.pb-c.h"

#define MS UINT64_C(1000000)
#define SEC UINT64_C(1000000000)
#define FIRST_PID 1000 /* process ids are uid + this */
#define SIM_NODES 3
#define SIM_JOBS 10
#define SIM_RANKS 4
#define SIM_PARENT_CHECKPOINT "parent/u20" /* where those begin that go on from another job */
#define SIM_PARENT_STEP 20

struct sim;
struct lt_map;
typedef void sim_fn(struct sim *s, void *arg, uint64_t n);

struct blob {
    uint8_t *data;
    size_t len;
};

struct task {
    uint64_t at, order;
    sim_fn *fn;
    void *arg;
    uint64_t n;
    void (*drop)(void *arg); /* when the world ends before it; NULL: not owned */
};

/* What a job will do, known to its worker by the job's name. */
struct script {
    unsigned ticks;     /* until it succeeds; 0: never by itself */
    unsigned crashes;   /* per mille and tick, while faults last */
    int check; /* 0: accepted, 1: refused by the node, 2: needs more memory than there is */
    int64_t priority, infrastructure, job; /* of its spec */
    uint64_t cpus;      /* 0: auto */
    unsigned ranks;
    bool crowd;         /* more of them than processors are in order */
    double limit_s;     /* 0: none */
    bool hold, command;
    char parent[24];    /* it goes on from that job; "": from none */
    bool evaluation;    /* of its parent's checkpoint */
    bool relaxed;
    bool deaf;          /* a stop isn't heard: a step that takes for ever */
};

struct request {
    char id[24];
    char hash[24];
    char job[24];       /* "": no acknowledgement yet */
    bool acked;
    bool waiting;       /* the last answer hasn't come: there may be a job that nobody knows of */
    bool cancelled, stopped; /* acknowledged */
};

struct record {
    uint64_t end_offset;
    struct blob data;   /* packed JournalRecord */
    bool makes_event;
};

struct attempt { /* what lies on a node's disk, and the rank's process */
    uint64_t uid;
    char job[24];
    uint32_t attempt, generation, rank, pid;
    int script;
    bool running, stopping;
    unsigned world;     /* ranks of the attempt */
    bool arrived;       /* at the last barrier */
    bool early;         /* a command's: its metrics say that it may end */
    bool stalled;       /* the node says so */
    Lt__V1__RankExited exited;
    char reason[32];
    Lt__V1__JobResult result; /* what its last record said */
    struct record *records;
    size_t n_records, cap_records;
    uint64_t acked;
    uint64_t step, tick;
    uint64_t ckpt_step, ckpt_before;
    size_t sent;        /* soft: records sent over the present link */
    bool gone_sent;     /* soft */
};

struct life { /* one rank's process: what is told of it must be true of it */
    char job[24];
    uint32_t attempt, generation, rank;
    uint64_t died_ns;   /* 0: it hasn't */
};

struct link {
    uint64_t session;
    struct node *node;
    uint64_t epoch;     /* of the coordinator that accepted it */
    bool up;
    uint64_t last[2];   /* last delivery towards coordinator, agent: streams keep their order */
    uint64_t cut_at;    /* broken: what arrives at the coordinator until then was in its buffers */
};

struct node {
    char name[8];
    uint32_t cpus, all_cpus; /* now, and when nothing is wrong */
    uint32_t told[2];   /* what the coordinator heard of that, newest first */
    uint64_t memory;
    bool up;            /* the agent's process */
    bool unreachable;
    bool undrained;     /* for good, and that was acknowledged */
    bool draining;      /* by the durable log */
    uint64_t heard_ns;  /* the coordinator heard of it last, */
    uint64_t silence_over_ns; /* and then for the first time in a long while */
    uint64_t life;      /* counts the agent's restarts */
    unsigned build;     /* of its engine; grows with upgrades */
    struct link *link;
    struct attempt **attempts;
    size_t n_attempts, cap_attempts;
};

struct coord {
    struct lt_core *core; /* NULL: down */
    uint64_t epoch;
    struct lt_actions pending;
    bool commit_due;
    uint64_t armed_ns;
};

struct sim {
    uint64_t seed, rng;
    uint64_t mono;
    int64_t wall_offset;
    bool quiet;         /* faults are over */
    uint64_t quiet_ns;  /* since then */
    bool disk_full;
    bool trace;
    bool failed;
    char why[512];
    struct task *heap;
    size_t n_heap, cap_heap;
    uint64_t order;
    uint64_t steps;
    /* the durable log */
    struct blob *log;
    size_t n_log, cap_log;
    struct blob snapshot;
    uint64_t snapshot_seq;
    struct coord coord;
    struct node nodes[SIM_NODES];
    struct link **links;
    size_t n_links, cap_links;
    uint64_t next_session, next_uid, next_token, next_job, wound_down;
    struct life *lives; /* of every rank that was ever started, by uid */
    size_t n_lives, cap_lives;
    struct script scripts[SIM_JOBS];
    struct request requests[SIM_JOBS]; /* number i runs script i */
    size_t n_requests;
    struct lt_map *shadow;
};

/* world.c */
uint64_t sim_below(struct sim *s, uint64_t n);
uint64_t sim_between(struct sim *s, uint64_t low, uint64_t high);
bool sim_chance(struct sim *s, unsigned per_mille);
bool sim_fault(struct sim *s, unsigned per_mille); /* never when quiet */
void sim_at(struct sim *s, uint64_t delay_ns, sim_fn *fn, void *arg, uint64_t n);
/* fn frees arg, too. */
void sim_at_owned(struct sim *s, uint64_t delay_ns, sim_fn *fn, void *arg, void (*drop)(void *));
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_wall(const struct sim *s);
int sim_script_of(const Lt__V1__JobSpec *spec);
uint32_t sim_cpus_of(const struct node *node); /* by what the coordinator may know */
struct blob blob_of(const ProtobufCMessage *m);
/* Runs one history; false: s->why says what went wrong. */
bool sim_run(uint64_t seed, bool trace, char why[512], uint64_t *steps);

/* coord.c */
void coord_start(struct sim *s, void *arg, uint64_t n);
void coord_crash(struct sim *s, const char *why);
void coord_input(struct sim *s, struct lt_core_input *in);
void coord_settle(struct sim *s); /* commits what is pending; without faults */

/* link.c */
struct link *link_open(struct sim *s, struct node *node);
void link_break(struct sim *s, struct link *l);
void link_send(struct sim *s, struct link *l, bool to_agent, struct blob data); /* takes data */

/* node.c */
void node_connect(struct sim *s, void *node, uint64_t life);
void node_receive(struct sim *s, struct node *node, struct link *l,
                  const Lt__V1__CoordinatorMessage *m);
void node_lost_link(struct sim *s, struct node *node, struct link *l);
void node_crash(struct sim *s, struct node *node);
void node_wipe(struct sim *s, struct node *node);
void node_pump(struct sim *s, struct node *node, struct attempt *a);
void node_say_condition(struct sim *s, struct node *node, struct attempt *a, bool stalled);
struct attempt *node_attempt(struct node *node, const char *job, uint32_t attempt, uint32_t rank);
struct attempt *node_attempt_by_uid(struct node *node, uint64_t uid);
void attempt_free(struct attempt *a);

/* worker.c */
void worker_start(struct sim *s, struct node *node, struct attempt *a,
                  const Lt__V1__StartRank *start);
void worker_signal(struct sim *s, struct node *node, struct attempt *a, Lt__V1__RankSignal signal);
void worker_die(struct sim *s, struct node *node, struct attempt *a, Lt__V1__FailureClass class,
                int status, const char *reason);

/* client.c */
void client_act(struct sim *s, void *arg, uint64_t n);
void client_reply(struct sim *s, const struct lt_action *a);
/* Does anybody change his mind at this? */
void client_react(struct sim *s, const Lt__V1__Event *e);
void client_wind_down(struct sim *s);

/* shadow.c */
void shadow_append(struct sim *s, const Lt__V1__Event *e);
void shadow_send(struct sim *s, struct link *l, const Lt__V1__CoordinatorMessage *m);
void shadow_metrics(struct sim *s, const struct lt_action *a);
void shadow_reply(struct sim *s, struct request *r, const char *job);
void shadow_end(struct sim *s);
void shadow_overdue(struct sim *s);
bool shadow_ends(struct sim *s, const char *job); /* its time limit, or its early stop, will end it */
bool shadow_done(struct sim *s, const char *job);
void shadow_free(struct sim *s);

#endif
