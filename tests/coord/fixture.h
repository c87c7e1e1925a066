/* fixture.h - a coordinator with its real server and store, and a fake agent that speaks
 * Agent.Session, on one loop in a thread of its own; the test is the client, in the main thread
 *
 * The fake agent accepts every plan, starts ranks that do nothing, and reads files of runs as the
 * real one does. What the ranks "do" is said by the test.
 */
#ifndef LT_TESTS_COORD_FIXTURE_H
#define LT_TESTS_COORD_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>
#include "daemon/coord/coord.h"
#include "daemon/rpc/methods.h"
#include "lt/v1/agent.pb-c.h"
#include "lt/v1/jobs.pb-c.h"
#include "rpc/client.h"
#include "rpc/loop.h"
#include "rpc/server.h"
#include "rpc/session.h"

#define LONG_MS 120000 /* only a test that fails waits so long */

struct waiting_read;
struct world {
    char dir[64], state[96], runs[96], socket[96], target[112];
    pthread_t thread;
    uv_loop_t uv;
    uv_async_t calls;
    uv_timer_t retry;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*call)(struct world *w, void *arg);
    void *call_arg;
    bool called, up;
    struct lt_rpc_loop *loop;
    struct lt_service service;
    struct lt_rpc_server *server;
    /* the fake agent */
    struct lt_rpc_session *agent;
    struct waiting_read *reads;
    uint64_t journal;    /* offset behind the last record */
    _Atomic bool refuse; /* plans */
    _Atomic unsigned welcomed, started, signals, checks, sessions_lost;
    _Atomic int last_signal;
    /* the client */
    struct lt_client *client;
    struct lt_arena *arena;
    struct lt_rpc_status status;
    Lt__V1__JobSpec *spec; /* examples/fashion-mlp.yaml */
};

void world_make(struct world *w);           /* folders, and the client's things */
void world_up(struct world *w, bool agent); /* daemon, and its agent when asked for */
void world_down(struct world *w);
void world_drop(struct world *w); /* removes the folders */
/* Runs fn on the loop's thread, waits for it. */
void world_do(struct world *w, void (*fn)(struct world *w, void *arg), void *arg);
void world_await(_Atomic unsigned *counter, unsigned n);

/* Client's side. */
int world_call(struct world *w, const char *method, const void *request,
               const ProtobufCMessageDescriptor *out, void *reply);
int world_submit(struct world *w, const char *request_id,
                 const char **job); /* -errno; job is the arena's */
int world_get(struct world *w, const char *job, Lt__V1__JobStatus **status);
/* Watches until the job is in this state. */
void world_await_state(struct world *w, const char *job, Lt__V1__JobState state);
struct lt_client_stream *world_stream(struct world *w, const char *method, const void *request,
                                      const ProtobufCMessageDescriptor *out);

/* What the rank of an attempt does. */
void world_record(struct world *w, const char *job, uint32_t attempt, Lt__V1__JournalRecord *r);
void world_gone(struct world *w, const char *job, uint32_t attempt, Lt__V1__JobResult result,
                Lt__V1__FailureClass class_);
void world_write(struct world *w, const char *job, const char *path,
                 const char *text); /* appends to a run's file */
/* A job that is running, in attempt 1. */
const char *world_running(struct world *w, const char *request_id);

#endif
