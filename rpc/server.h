/* server.h - a gRPC server as a table of methods, on sockets of our own
 *
 * Everything here runs on the loop's thread. A row of the table says who may call (`need`), how
 * requests are decoded and who handles them; the server does the rest: limits, identity of the
 * peer, deadlines, back pressure, drain.
 *
 * Life of a call: rights checked → request decoded (proto/wire.h, in an arena with a cap) → msg() →
 * any number of lt_rpc_send(), one lt_rpc_reply() or lt_rpc_finish() → closed(), exactly once, the
 * last callback. A handler that answers later keeps the call's pointer until then, and drops it in
 * closed().
 */
#ifndef LT_RPC_SERVER_H
#define LT_RPC_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "rpc/status.h"

struct lt_arena;
struct lt_error;
struct lt_rpc_call;
struct lt_rpc_loop;
struct lt_rpc_server;

enum lt_rpc_kind {
    LT_RPC_UNARY,         /* one request, one reply */
    LT_RPC_SERVER_STREAM, /* one request, many replies */
    LT_RPC_CLIENT_STREAM, /* many requests, one reply */
    LT_RPC_BIDI,
    LT_RPC_KIND_N
};

/* Right of every peer that may talk to this server at all; what the other bits of `need` mean is
 * the user's. */
#define LT_RPC_NEED_TALK 1u

struct lt_rpc_method {
    const char *path; /* "/lt.v1.Jobs/Get" */
    enum lt_rpc_kind kind;
    const ProtobufCMessageDescriptor *in, *out;
    /* A request. One-request kinds: it lives as long as the call. Others: for the callback; NULL
     * when the client is done. */
    void (*msg)(struct lt_rpc_call *c, ProtobufCMessage *m);
    void (*writable)(struct lt_rpc_call *c); /* room again after -EAGAIN; may be NULL */
    void (*closed)(struct lt_rpc_call *c, bool cancelled); /* may be NULL */
    unsigned need;      /* rights that the peer must have, all of them; 0: nobody may */
    size_t max_request; /* bytes; 0: 64 KiB */
    bool early;         /* also answered while the server holds its calls back */
};

struct lt_rpc_peer {
    uid_t uid; /* by a token: the server's own user */
    gid_t gid;
    pid_t pid;      /* by a token: 0 */
    bool by_token;  /* came over TCP and showed a token */
    int connection; /* its number; one that is closed gives it to another one only after thousands */
};

struct lt_rpc_server_config {
    struct lt_rpc_loop *loop;
    const struct lt_rpc_method *const *methods; /* NULL-ended, borrowed */
    void *context;                              /* lt_rpc_call_context() */
    unsigned (*rights)(void *context, const struct lt_rpc_peer *peer);
    size_t outbox_bytes;    /* per call; 0: 256 KiB */
    size_t outbox_total;    /* of all calls; 0: 32 MiB */
    unsigned calls_per_uid; /* open at a time; 0: 4096 */
    unsigned calls_per_pid; /* of them, from one process (TCP: one connection); 0: 256 */
};

int lt_rpc_server_open(const struct lt_rpc_server_config *config, struct lt_rpc_server **out,
                       struct lt_error *err);
/* Owns path: takes PATH.lock (-EADDRINUSE with the holder's pid in err), replaces what lies there,
 * mode 0600, removes it at the end. */
int lt_rpc_server_listen(struct lt_rpc_server *s, const char *path, struct lt_error *err);
/* TCP on this machine's own addresses, HOST:PORT (sys/address.h); 0 is any free port, and bound
 * (LT_ADDRESS_TEXT bytes) says which. Every call must carry `authorization: Bearer T` with a token of
 * the file (sys/token.h); who has none isn't even told which methods there are. Once per server. */
int lt_rpc_server_listen_tcp(struct lt_rpc_server *s, const char *address, const char *token_file,
                             char *bound, struct lt_error *err);
/* A listening socket that somebody else made (socket activation); s owns fd. */
int lt_rpc_server_listen_fd(struct lt_rpc_server *s, int fd, struct lt_error *err);
/* No new connections and calls; streams end with UNAVAILABLE, running calls have grace_ms, then
 * they are cancelled. done when all is over; the server is freed behind it. */
void lt_rpc_server_close(struct lt_rpc_server *s, unsigned grace_ms, void (*done)(void *arg),
                         void *arg);
/* While held, calls wait (but those of `early` rows); a new server isn't held. */
void lt_rpc_server_hold(struct lt_rpc_server *s, bool held);
/* What grpc.health.v1 says, now and to its watchers. A new server isn't serving. */
void lt_rpc_server_set_serving(struct lt_rpc_server *s, bool serving);
unsigned lt_rpc_server_calls(const struct lt_rpc_server *s); /* open now */
uint64_t lt_rpc_server_last_call_ns(
    const struct lt_rpc_server *s); /* monotonic: when the last one began or ended */

/* Rows of the standard services, to be put into the table: grpc.health.v1 and grpc.reflection. */
extern const struct lt_rpc_method lt_rpc_health_check, lt_rpc_health_watch;
extern const struct lt_rpc_method lt_rpc_reflection, lt_rpc_reflection_v1alpha;

void *lt_rpc_call_context(const struct lt_rpc_call *c);
void lt_rpc_call_set(struct lt_rpc_call *c, void *own); /* the handler's own data */
void *lt_rpc_call_get(const struct lt_rpc_call *c);
const struct lt_rpc_peer *lt_rpc_call_peer(const struct lt_rpc_call *c);
/* Lives as long as the call; capped. */
struct lt_arena *lt_rpc_call_arena(struct lt_rpc_call *c);

/* Unary and client stream: the answer. m is borrowed for the call. */
void lt_rpc_reply(struct lt_rpc_call *c, const ProtobufCMessage *m);
/* Streams. 0: queued. -EAGAIN: outbox full, not queued; writable() follows. -EPIPE: the call is
 * over. */
int lt_rpc_send(struct lt_rpc_call *c, const ProtobufCMessage *m);
/* Without a look at the outbox: for the few small messages that mustn't be lost (END, GAP, …). */
int lt_rpc_send_always(struct lt_rpc_call *c, const ProtobufCMessage *m);
/* The same for a message that is packed already. The caller watches lt_rpc_queued(). */
int lt_rpc_send_packed(struct lt_rpc_call *c, const void *data, size_t n);
size_t lt_rpc_queued(const struct lt_rpc_call *c); /* bytes in the outbox */
/* Would lt_rpc_send() take a message now? When not, writable() follows. */
bool lt_rpc_room(struct lt_rpc_call *c);
/* Ends the call after what is queued. */
void lt_rpc_finish(struct lt_rpc_call *c, enum lt_rpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a list of problems in the details. */
void lt_rpc_finish_status(struct lt_rpc_call *c, const struct lt_rpc_status *status);
/* Client streams: take no further request until resume. */
void lt_rpc_pause(struct lt_rpc_call *c);
void lt_rpc_resume(struct lt_rpc_call *c);

#endif
