/* world.h - a coordinator that a test plays itself, and an agent in its own process
 *
 * Tests call their jobs by a word, and may share it: agent and ranks know the job by world_job(word), which no other
 * process uses. By a job's name an agent finds and kills what a rank left behind, wherever on the machine.
 */
#ifndef LT_TESTS_NODE_WORLD_H
#define LT_TESTS_NODE_WORLD_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>
#include "lt/v1/agent.pb-c.h"

struct world {
    uv_loop_t loop;
    struct lt_rpc_loop *rpc;
    struct lt_rpc_server *server;
    struct lt_rpc_call *call; /* the open session */
    struct lt_arena *arena;
    const char *dir;
    char *socket, *run;
    pid_t agent;
    char *weights; /* model.weights of the ranks' plans; NULL: none */
    const char *shim, *worker;        /* of the agent; NULL: lt-shim, the fake one */
    unsigned hang_ms;                 /* of the agent; 0: its default */
    const char *command;              /* what ranks are, for a shell; NULL: plans */
    bool shares_cpus;                 /* of ranks that are started */
    bool ack;                         /* answer records with RecordAck */
    const Lt__V1__AgentMessage **got; /* everything received, in order */
    size_t n, cap;
};

void world_open(struct world *w);
void world_close(struct world *w); /* kills what still runs */
void world_leave(struct world *w);  /* the coordinator goes away … */
void world_return(struct world *w); /* … and is back; the agent's hello follows */
void agent_start(struct world *w);
void agent_kill(struct world *w); /* SIGKILL */
int agent_stop(struct world *w);  /* SIGTERM; its exit code */
const char *world_job(struct world *w, const char *word); /* its name; lives as long as the world */
/* Turns the loop until a message of that kind for that job (NULL: any) is there at or behind *from,
 * moves *from behind it and returns it; fails the test after a minute. */
const Lt__V1__AgentMessage *world_wait(struct world *w, size_t *from,
                                       Lt__V1__AgentMessage__MessageCase kind, const char *job);
/* A rank's end, or that it could not be started. */
const Lt__V1__AgentMessage *world_wait_over(struct world *w, size_t *from, const char *job);
void world_send(struct world *w, Lt__V1__CoordinatorMessage__MessageCase kind, void *payload);
void world_welcome(struct world *w, size_t *from); /* waits for the hello first */
void world_spin(struct world *w, unsigned turns_ms);

/* Starts attempt 1 of job with a fake worker that does `script`. */
void world_start_rank(struct world *w, const char *job, uint32_t generation, const char *script);
/* Ranks 0 … n-1 of attempt 1, each with a script of its own. */
void world_start_ranks(struct world *w, const char *job, uint32_t n, const char *const *scripts);
void world_signal_rank(struct world *w, const char *job, uint32_t rank, Lt__V1__RankSignal signal);
void world_signal(struct world *w, const char *job, uint32_t generation, Lt__V1__RankSignal signal);
char *world_attempt_file(struct world *w, const char *job, const char *file); /* path, lt_free() */

#endif
