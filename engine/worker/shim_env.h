/* shim_env.h - the surroundings a rank is started in: variables and processors */
#ifndef LT_ENGINE_WORKER_SHIM_ENV_H
#define LT_ENGINE_WORKER_SHIM_ENV_H

#include <sched.h>
#include <stdbool.h>
#include "lt/v1/agent.pb-c.h"

struct lt_error;

/* List form (0-3,8) to a set. -EINVAL, also for an empty one. */
int lt_shim_parse_cpus(const char *list, cpu_set_t *out, struct lt_error *err);
/* The rank's variables into this process's environment, which it inherits; whole_machine: it has
 * every processor there is. */
void lt_shim_set_env(const Lt__V1__StartRank *spec, bool whole_machine);
/* Makes this process's environment that of a command's rank. metrics: the descriptor it may write
 * metrics to; -1: none. An error is the command's: a file that can't be read. */
int lt_shim_command_env(const Lt__V1__StartRank *spec, int metrics, struct lt_error *err);
/* Has this rank every processor that we may run on? */
bool lt_shim_is_whole_machine(const Lt__V1__StartRank *spec);

#endif
