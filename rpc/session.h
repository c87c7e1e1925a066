/* session.h - a bidirectional stream to a server, kept open: the agent's to its coordinator
 *
 * Opened again by itself after every end, 200 ms to 5 s apart (doubling, back to 200 ms once a
 * message came). All callbacks come on the loop's thread, none from inside a function of this
 * header.
 */
#ifndef LT_RPC_SESSION_H
#define LT_RPC_SESSION_H

#include <protobuf-c/protobuf-c.h>
#include "rpc/status.h"

struct lt_error;
struct lt_rpc_loop;
struct lt_rpc_session;

#define LT_SESSION_OUTBOX (1u << 20) /* bytes queued before lt_rpc_session_send() says -EAGAIN */

struct lt_rpc_session_config {
    struct lt_rpc_loop *loop;
    const char *target;                   /* unix:/path, host:port; copied */
    const char *method;                   /* "/lt.v1.Agent/Session"; copied */
    const ProtobufCMessageDescriptor *in; /* what the server sends */
    void *arg;
    void (*opened)(void *arg);                             /* the server took the call: say hello */
    void (*message)(void *arg, const ProtobufCMessage *m); /* valid for the callback */
    void (*writable)(void *arg); /* after -EAGAIN: the outbox has room again; may be NULL */
    void (*closed)(
        void *arg,
        const struct lt_rpc_status *why); /* after opened only; what was in the outbox is dropped */
};

int lt_rpc_session_open(const struct lt_rpc_session_config *config, struct lt_rpc_session **out,
                    struct lt_error *err);
/* 0: queued. -EAGAIN: full, `writable` follows. -ENOTCONN: not open. */
int lt_rpc_session_send(struct lt_rpc_session *s, const ProtobufCMessage *m);
/* Half-closes after what is queued, without opening again; done (may be NULL) when it is freed. No
 * further callback. */
void lt_rpc_session_close(struct lt_rpc_session *s, void (*done)(void *arg), void *arg);

#endif
