/* shim_pmi.h - what lt-shim does for a rank that looks for its peers
 *
 * Speaks PMI-1 to the rank, and our lines (sys/pmi.h) to the agent. Bytes in, bytes out: no descriptor, no clock, so
 * tests feed it, and tests/support/ranks.c runs ranks with it and no daemon. What a rank has put, and the request it
 * waits in, are kept: whoever the agent is, a connection begins with all of it.
 */
#ifndef LT_ENGINE_WORKER_SHIM_PMI_H
#define LT_ENGINE_WORKER_SHIM_PMI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_buf;
struct lt_shim_pmi;

struct lt_shim_pmi_config {
    const char *job;
    uint32_t attempt, generation, rank, world;
    uint32_t local_world; /* ranks on this node; every node has as many */
};

struct lt_shim_pmi *lt_shim_pmi_new(const struct lt_shim_pmi_config *c);
void lt_shim_pmi_free(struct lt_shim_pmi *p);
LT_DEFINE_AUTO(struct lt_shim_pmi *, lt_shim_pmi_free)

/* What the rank sent. false: hang up, behind what is to be sent to it: it sent what no PMI-1 program sends. */
bool lt_shim_pmi_from_rank(struct lt_shim_pmi *p, const void *data, size_t n);
/* Bytes it may be given now: while a request is with the agent, little. 0: don't read. */
size_t lt_shim_pmi_room(const struct lt_shim_pmi *p);
/* A connection to the agent stands, or has ended. */
void lt_shim_pmi_connected(struct lt_shim_pmi *p);
void lt_shim_pmi_disconnected(struct lt_shim_pmi *p);
/* What the agent sent. false: hang up: it isn't our agent, or refuses us (p answers the rank with errors from then on). */
bool lt_shim_pmi_from_agent(struct lt_shim_pmi *p, const void *data, size_t n);
bool lt_shim_pmi_refused(const struct lt_shim_pmi *p); /* connecting again is useless */
/* To be written; whoever writes takes from the front. */
struct lt_buf *lt_shim_pmi_to_rank(struct lt_shim_pmi *p);
struct lt_buf *lt_shim_pmi_to_agent(struct lt_shim_pmi *p);

/* ---- shim_pmi_io.c */

/* In the rank, before exec: what tells MPICH where its launcher is, and keeps UCX from looking for devices. */
void lt_shim_pmi_env(int fd, uint32_t rank, uint32_t world);
/* Serves the rank on fd (ours from now on) until over() says so, connecting to the agent's socket whenever it is there.
 * Blocks; over() is asked at first and whenever something happened, a readable `wake` included (over() reads it). */
void lt_shim_pmi_serve(struct lt_shim_pmi *p, int fd, const char *agent_socket, int wake,
                       bool (*over)(void *arg), void *arg);

#endif
