/* pmi_group.h - the ranks of one generation looking for each other: key-values and barriers
 *
 * Messages in, messages out (sys/pmi.h): no socket, no clock. Everything it knows came from the shims and is sent again by
 * them, so it may be thrown away at any time.
 */
#ifndef LT_DAEMON_NODE_PMI_GROUP_H
#define LT_DAEMON_NODE_PMI_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_error;
struct lt_pmi_group;
struct lt_pmi_msg;

/* Called from within the functions below; m lives as long as the call. */
typedef void lt_pmi_emit_fn(void *user, uint32_t rank, const struct lt_pmi_msg *m);

/* world: at most LT_PMI_WORLD_MAX. */
#define LT_PMI_WORLD_MAX 65536
struct lt_pmi_group *lt_pmi_group_new(const char *job, uint32_t attempt, uint32_t generation, uint32_t world,
                                      lt_pmi_emit_fn *emit, void *user);
void lt_pmi_group_free(struct lt_pmi_group *g);
LT_DEFINE_AUTO(struct lt_pmi_group *, lt_pmi_group_free)
bool lt_pmi_group_is(const struct lt_pmi_group *g, const char *job, uint32_t attempt, uint32_t generation);

/* A message of a rank's shim; the first of a connection is HELLO. -EPROTO, -ESTALE (another generation), -E2BIG: refuse
 * the connection; the others aren't disturbed. */
int lt_pmi_group_take(struct lt_pmi_group *g, const struct lt_pmi_msg *m, struct lt_error *err);
/* Its connection ended; what it put stays. */
void lt_pmi_group_lost(struct lt_pmi_group *g, uint32_t rank);
/* It ended well, and won't come again: it counts as beyond every barrier. */
void lt_pmi_group_ended(struct lt_pmi_group *g, uint32_t rank);

#endif
