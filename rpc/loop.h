/* loop.h - gRPC's completion queue on a uv loop
 *
 * One thread waits in grpc_completion_queue_next() and hands every completion to the loop's thread,
 * where all handlers, callbacks and state live. Servers and sessions of one process share one.
 */
#ifndef LT_RPC_LOOP_H
#define LT_RPC_LOOP_H

#include <uv.h>

struct lt_error;
struct lt_rpc_loop;

int lt_rpc_loop_open(uv_loop_t *loop, struct lt_rpc_loop **out, struct lt_error *err);
/* After the last server and session on it is closed. done (may be NULL) is called on the loop when
 * the thread is gone; the object is freed behind it. */
void lt_rpc_loop_close(struct lt_rpc_loop *l, void (*done)(void *arg), void *arg);
uv_loop_t *lt_rpc_loop_uv(const struct lt_rpc_loop *l);
/* Releases gRPC at the end of a program, and waits (at most 1 s) until its threads are gone. */
void lt_rpc_shutdown(void);

#endif
