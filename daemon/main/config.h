/* config.h - what ltd is told: flags over configuration file over environment over defaults */
#ifndef LT_DAEMON_MAIN_CONFIG_H
#define LT_DAEMON_MAIN_CONFIG_H

#include "lt/v1/config.pb-c.h"

struct lt_arena;

/* Every field is set when this returns 0. 1: what was asked for is printed (--help, --version),
 * exit 0. <0: -errno, and what is wrong is printed on stderr. Strings live in the arena. */
int lt_daemon_config(int argc, char **argv, struct lt_arena *arena, Lt__V1__DaemonConfig *out);

#endif
