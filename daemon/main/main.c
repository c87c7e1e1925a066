/* main.c - ltd */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/error.h"
#include "daemon/main/config.h"
#include "daemon/main/daemon.h"
#include "sys/log.h"

int main(int argc, char **argv)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    enum lt_log_level level = LT_LOG_INFO;
    Lt__V1__DaemonConfig config;
    struct lt_error err = {0};
    int rc;

    mallopt(M_ARENA_MAX, 2); /* many threads that allocate little: keep what is held back small */
    lt_log_init("ltd", level);
    rc = lt_daemon_config(argc, argv, arena, &config);
    if (rc != 0)
        return rc > 0 ? 0 : 2;
    if (lt_log_level_parse(config.log_level, &level) < 0) {
        fprintf(stderr, "ltd: log_level `%s`: debug, info, warning or error\n", config.log_level);
        return 2;
    }
    lt_log_init("ltd", level);
    rc = lt_daemon_run(&config, &err);
    if (rc < 0) {
        lt_err("%s", err.text);
        _exit(1); /* threads of half-started parts are still there */
    }
    return 0;
}
