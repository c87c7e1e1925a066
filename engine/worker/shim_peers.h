/* shim_peers.h - the part of lt-shim that only ranks of a larger world have: the socket of PMI-1 */
#ifndef LT_ENGINE_WORKER_SHIM_PEERS_H
#define LT_ENGINE_WORKER_SHIM_PEERS_H

#include <stdbool.h>
#include "lt/v1/agent.pb-c.h"

struct lt_error;
struct lt_shim_pmi;

struct lt_shim_peers {
    struct lt_shim_pmi *pmi; /* NULL: a world of one */
    int ours, rank;          /* ends of the socket */
};

int lt_shim_peers_open(struct lt_shim_peers *p, const Lt__V1__StartRank *spec, struct lt_error *err);
/* In the rank, behind everything else that sets variables. */
void lt_shim_peers_enter(const struct lt_shim_peers *p, const Lt__V1__StartRank *spec);
/* In the shim, once the rank runs: serves it until over() says that it has ended; asked after every SIGCHLD. Without
 * peers it returns at once. */
void lt_shim_peers_serve(struct lt_shim_peers *p, const char *attempt_dir, bool (*over)(void *arg), void *arg);
void lt_shim_peers_close(struct lt_shim_peers *p);

#endif
