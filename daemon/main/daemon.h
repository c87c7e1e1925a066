/* daemon.h - ltd as a whole: its roles on one loop, from start to exit */
#ifndef LT_DAEMON_MAIN_DAEMON_H
#define LT_DAEMON_MAIN_DAEMON_H

#include "lt/v1/config.pb-c.h"

struct lt_error;

/* Runs until SIGTERM, SIGINT, or an embedded one's idle exit. 0, or -errno when it couldn't start.
 */
int lt_daemon_run(const Lt__V1__DaemonConfig *config, struct lt_error *err);

#endif
