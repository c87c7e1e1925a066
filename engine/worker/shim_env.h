/* shim_env.h - the surroundings a rank is started in: variables and processors */
#ifndef LT_ENGINE_WORKER_SHIM_ENV_H
#define LT_ENGINE_WORKER_SHIM_ENV_H

#include <sched.h>
#include <stdbool.h>
#include "lt/v1/agent.pb-c.h"

struct lt_error;

/* List form (0-3,8) to a set. -EINVAL, also for an empty one. */
int lt_shim_parse_cpus(const char *list, cpu_set_t *out, struct lt_error *err);
/* Sets this process's variables for the rank; whole_machine: it has every processor there is. */
void lt_shim_set_env(const Lt__V1__StartRank *spec, bool whole_machine);
/* Has this rank every processor that we may run on? */
bool lt_shim_is_whole_machine(const Lt__V1__StartRank *spec);

#endif
