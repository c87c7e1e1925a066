/* client.h - calls that block, for programs without a loop (ltctl)
 *
 * A client is one connection and one thread's. It connects at the first call, fails at once when
 * nobody listens (UNAVAILABLE), and connects again by itself at the next call. Any number of
 * streams may be open at a time; bytes move only inside these functions. All functions with a
 * status return 0 (or what is said) or lt_rpc_code_errno(status->code), and fill *status; the
 * caller zeroes it before the first use and calls lt_rpc_status_done() behind.
 */
#ifndef LT_RPC_CLIENT_H
#define LT_RPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include "base/auto.h"
#include "rpc/status.h"

struct lt_arena;
struct lt_error;
struct lt_client;
struct lt_client_stream;

/* target: unix:/path, or host:port. Nothing is sent yet. */
int lt_client_open(const char *target, struct lt_client **out, struct lt_error *err);
/* Every call shows it from now on. */
void lt_client_set_token(struct lt_client *c, const char *token);
/* Does a connection stand just now? Nothing is sent, and nobody is waited for. */
bool lt_client_connected(const struct lt_client *c);
void lt_client_close(struct lt_client *c); /* NULL is fine; close streams first */
LT_DEFINE_AUTO(struct lt_client *, lt_client_close)

/* One request, one reply. method: "/lt.v1.Jobs/Get". The reply lives in the arena. timeout_ms must
 * be > 0. */
int lt_client_call(struct lt_client *c, const char *method, const ProtobufCMessage *request,
                   const ProtobufCMessageDescriptor *out, unsigned timeout_ms,
                   struct lt_arena *arena, ProtobufCMessage **reply, struct lt_rpc_status *status);

/* One request, many replies. timeout_ms 0: no limit. Doesn't wait for the first reply. */
int lt_client_stream_open(struct lt_client *c, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *out, unsigned timeout_ms,
                          struct lt_client_stream **stream, struct lt_rpc_status *status);
/* 1: *message is the next one, valid until the next read of this stream. 0: the server ended the
 * stream with OK. -EAGAIN: nothing within wait_ms (0: don't wait, <0: for ever); read again later.
 * Else: it ended with *status. */
int lt_client_stream_read(struct lt_client_stream *s, int wait_ms, ProtobufCMessage **message,
                          struct lt_rpc_status *status);
/* Waits until any stream of this client can be read without waiting, or wait_ms are over. 1 or 0.
 */
int lt_client_wait(struct lt_client *c, int wait_ms);

/* Many requests, one reply. */
int lt_client_upload_open(struct lt_client *c, const char *method,
                          const ProtobufCMessageDescriptor *out, unsigned timeout_ms,
                          struct lt_client_stream **stream, struct lt_rpc_status *status);
/* Blocks until the connection took it. A failure's reason comes from lt_client_upload_finish(). */
int lt_client_upload_write(struct lt_client_stream *s, const ProtobufCMessage *m);
int lt_client_upload_finish(struct lt_client_stream *s, struct lt_arena *arena,
                            ProtobufCMessage **reply, struct lt_rpc_status *status);

/* Cancels what isn't over. NULL is fine. */
void lt_client_stream_close(struct lt_client_stream *s);
LT_DEFINE_AUTO(struct lt_client_stream *, lt_client_stream_close)

#endif
