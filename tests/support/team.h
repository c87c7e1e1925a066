/* team.h - ranks as threads of one process, for tests of what ranks do together
 *
 * Collectives are real: a rank's result is complete only when all ranks have come, sums are in rank
 * order, and a rank that doesn't poke makes no progress.
 */
#ifndef LT_TESTS_SUPPORT_TEAM_H
#define LT_TESTS_SUPPORT_TEAM_H

#include "engine/comm/comm.h"

/* Runs fn(arg, comm) on `world` threads, each with its comm, and joins them. */
void team_run(int world, void (*fn)(void *arg, struct lt_comm *comm), void *arg);
/* A collective was given up since one rank of the team called this: it fails on all. */
void team_break(struct lt_comm *comm);

#endif
