/* trace.h - daemon/core by hand: inputs as calls, actions as lines of text
 *
 *   a queued                    an event of job a
 *   a attempt_started 1 n0 2+2  with each rank's processors, when there are several
 *   > n0 start a.1/1 recovery/r a message of rank 1 to node n0 (start, signal, check, ack, forget)
 *   = 0 a                       a reply: status, job, text
 *   x n0 …                      a session is closed
 * Welcomes, notifications and metrics are left out. After every call the fold is held against a
 * replay of all events so far, byte by byte.
 */
#ifndef LT_TESTS_CORE_TRACE_H
#define LT_TESTS_CORE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "daemon/core/core.h"
#include "daemon/core/query.h"

#define GB (UINT64_C(1) << 30)
#define SECOND UINT64_C(1000000000)
#define OPTIONS(...) ((struct job_options){__VA_ARGS__})
#define CLASS(name) LT__V1__FAILURE_CLASS__CLASS_##name
#define RESULT(name) LT__V1__JOB_RESULT__##name
#define STATE(name) LT__V1__JOB_STATE__##name
#define T(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)

struct world {
    struct lt_core *core;
    struct lt_actions log; /* every append so far */
    struct lt_buf text;
    uint64_t mono_ns, wall_ns;
    uint64_t session[10];  /* of node n0 … n9; 0: none */
    uint64_t last_session;
    uint32_t rank;         /* who speaks in started, gone, record … */
    uint64_t exit_ns;      /* gone: when, by the node's clock; 0: it doesn't say */
    Lt__V1__JobResult exit_result; /* … and what its last record said */
    unsigned metrics;      /* handed on so far */
    uint32_t start_cpus;   /* of the last StartRank */
    uint64_t start_memory;
    bool start_shares;
};

struct job_options { /* zero: the default */
    const char *request;  /* the job's id */
    const char *hash;     /* "h" */
    uint64_t cpus;        /* auto */
    uint64_t memory;
    int64_t priority;
    double limit_s;
    bool hold, oversubscribe, no_oversubscribe, command, relaxed;
    uint64_t ranks;       /* 1 */
    int64_t retries, job_retries; /* 10, 0 */
    const char *resume;   /* absolute path of another job's checkpoint */
    const char *parent;
};

void world_init(struct world *w);
void world_done(struct world *w);
/* The same around a test (T above): *state is its world. */
int world_begin(void **state);
int world_end(void **state);
void world_restart(struct world *w); /* a new core from the log; all sessions are gone */
/* What happened since the last look must read like this. */
void expect(struct world *w, const char *trace);
void forget_trace(struct world *w);
void wait_s(struct world *w, uint64_t seconds); /* and a timer */
const Lt__V1__JobFold *fold(struct world *w, const char *job);

void submit(struct world *w, const char *job, struct job_options o);
void ask(struct world *w, enum lt_input_kind kind, const char *job_or_node);
void node_up(struct world *w, int n, uint32_t cpus, uint64_t memory); /* knows of no attempt */
/* 4 processors, 16 GiB. */
void node_back(struct world *w, int n, const char *job, uint32_t attempt, bool running);
void node_lost(struct world *w, int n);
void checked(struct world *w, int n, const char *job, uint64_t memory);
void check_refused(struct world *w, int n, const char *job);
void started(struct world *w, int n, const char *job, uint32_t attempt);
void start_failed(struct world *w, int n, const char *job, uint32_t attempt);
void gone(struct world *w, int n, const char *job, uint32_t attempt, Lt__V1__FailureClass class,
          int status);
void record(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset,
            Lt__V1__JournalRecord *r);
void saved(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset,
           const char *name, uint64_t step);
void finished(struct world *w, int n, const char *job, uint32_t attempt, uint64_t end_offset,
              Lt__V1__JobResult result, Lt__V1__FailureClass class);
void say(struct world *w, int n, const Lt__V1__AgentMessage *m);
void sampled(struct world *w, int n, const char *job, uint32_t attempt, uint64_t step);
void told_condition(struct world *w, int n, const char *job, uint32_t attempt,
                    Lt__V1__Condition__Kind kind, bool active, const char *detail);
/* Up to a running first attempt on n0, quietly. */
void run_job(struct world *w, const char *job, struct job_options o);

#endif
