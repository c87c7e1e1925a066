/* node.h - the agent: what one node does for a coordinator
 *
 * Keeps one Agent.Session stream to its coordinator open (lt.v1.Agent, proto/lt/v1/agent.proto),
 * also when both are one process. Starts ranks by way of lt-shim, tails their journals, reads their
 * shared pages, carries out signals, reads files of runs, and has plans checked by `lt-worker
 * --plan-only`. It owns nothing that its death would lose: everything about an attempt is in
 * <state>/node/attempts (sys/attempt.h), so the next agent goes on where this one was. All of it
 * runs on the loop's thread; files are read on libuv's thread pool.
 */
#ifndef LT_DAEMON_NODE_NODE_H
#define LT_DAEMON_NODE_NODE_H

#include <stddef.h>

struct lt_error;
struct lt_node;
struct lt_rpc_loop;

struct lt_node_config {
    struct lt_rpc_loop *loop; /* shared with the process's servers */
    const char *state_dir;    /* the node's own folder, <state>/node; created when missing */
    const char *runtime_dir;  /* where the wake-up socket lives; must exist */
    const char *name;         /* this node's name; NULL: the host's */
    const char *coordinator;  /* gRPC target: unix:/path/of.sock or host:port */
    const char *shim;         /* path of lt-shim; NULL: beside the running binary */
    const char *worker;       /* path of lt-worker; NULL: beside the running binary */
    unsigned max_checks;      /* plans checked at the same time; 0: 2 */
    unsigned hang_ms;         /* a rank that stands still so long is ended; 0: 60 s */
    unsigned ladder_ms;       /* from a cancel to SIGTERM, and from there to SIGKILL; 0: 10 s */
    /* Called once, when the first session is welcomed and every attempt found on disk has been
     * reported. */
    void (*on_ready)(void *user);
    void *user;
};

/* Takes <state_dir>/lock (-EWOULDBLOCK: another agent has it, err says which pid), scans the
 * attempts and begins to connect; never waits for the coordinator. Strings are copied. *out is the
 * caller's, to lt_node_close(). */
int lt_node_open(const struct lt_node_config *config, struct lt_node **out, struct lt_error *err);
/* Ranks go on. Begins closing every handle; the memory is released when the loop has run its close
 * callbacks, then on_closed (may be NULL) is called. NULL is fine. */
void lt_node_close(struct lt_node *node, void (*on_closed)(void *user), void *user);
/* Attempts that run now: an embedded daemon stays while there are any. */
size_t lt_node_running(const struct lt_node *node);

#endif
