/* fixture.h - an echo service on a socket of its own, run by a loop in its own thread
 *
 * Messages are lt.v1.LogChunk: `data` is what is echoed, `attempt` asks for something (enum below),
 * `offset` is an argument.
 */
#ifndef LT_TESTS_RPC_FIXTURE_H
#define LT_TESTS_RPC_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>
#include "lt/v1/jobs.pb-c.h"
#include "rpc/client.h"
#include "rpc/loop.h"
#include "rpc/server.h"

#define FIXTURE_TOKEN "a-token-of-the-fixture"
#define FIXTURE_CALLS 64 /* that one process may have open */

enum ask {
    ASK_ECHO = 0,
    ASK_FAIL = 1,  /* NOT_FOUND with two problems */
    ASK_NEVER = 2, /* don't answer */
    ASK_INSIST = 99,
    ASK_COUNT = 3, /* stream: `offset` messages with the request's data, without end when 0 */
};

struct fixture {
    char dir[64], path[96], target[112];
    char tokens[96], bound[64]; /* TCP: the token file, HOST:PORT */
    pthread_t thread;
    uv_loop_t uv;
    uv_async_t wake;
    struct lt_rpc_loop *loop;
    struct lt_rpc_server *server;
    _Atomic unsigned closed, cancelled, requests, refused_room;
    _Atomic uint64_t sent, uploaded;
    _Atomic bool ready, deny;
    _Atomic bool insists; /* at the first message without room a counting call sends ASK_INSIST anyway */
    _Atomic int order; /* what the loop shall do when it is woken */
};

void fixture_start(struct fixture *f);
void fixture_stop(struct fixture *f);
void fixture_restart(struct fixture *f); /* on the same socket */
/* Holds calls back, or lets them go; done when it returns. */
void fixture_hold(struct fixture *f, bool held);
/* Waits until *counter is at least n; fails the test after 5 s. */
void fixture_await(_Atomic unsigned *counter, unsigned n);

#endif
