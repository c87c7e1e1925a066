/* methods.h - the table of methods: one file of this folder each, listed in meson.build
 *
 * A file x.c defines `const struct lt_rpc_method lt_method_x`. Handlers query what is durable
 * (lt_coord_core) and give inputs (lt_coord_input); they decide nothing themselves.
 */
#ifndef LT_DAEMON_RPC_METHODS_H
#define LT_DAEMON_RPC_METHODS_H

#include <stdint.h>
#include <sys/types.h>
#include "rpc/server.h"

struct lt_coord;

/* Bits of lt_rpc_method.need. In user mode the owner and root have all, everybody else none; who
 * shows a token acts as the owner, but can't be a node. */
enum lt_right {
    LT_RIGHT_READ = 2,    /* look at jobs and nodes, read logs and results */
    LT_RIGHT_SUBMIT = 4,  /* make jobs */
    LT_RIGHT_CONTROL = 8, /* cancel, stop, remove them */
    LT_RIGHT_NODES = 16,  /* drain nodes */
    LT_RIGHT_AGENT = 32,  /* be a node */
};

/* The context of the server's calls. */
struct lt_service {
    struct lt_coord *coord;
    uid_t owner; /* whose daemon this is */
};
unsigned lt_service_rights(void *service, const struct lt_rpc_peer *peer);

/* All rows, NULL-ended: ours, health and reflection. */
extern const struct lt_rpc_method *const lt_methods[];

#endif
