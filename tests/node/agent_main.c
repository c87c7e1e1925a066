/* agent_main.c - an agent alone in a process, so that tests can kill it: agent STATE RUNTIME TARGET
 * SHIM WORKER */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <uv.h>

#include "base/error.h"
#include "daemon/node/node.h"
#include "rpc/loop.h"
#include "sys/log.h"

static struct lt_node *node;
static struct lt_rpc_loop *rpc;

static void on_node_closed(void *arg)
{
    (void)arg;
    lt_rpc_loop_close(rpc, NULL, NULL);
}

static void on_term(uv_signal_t *s, int sig)
{
    (void)sig;
    uv_close((uv_handle_t *)s, NULL);
    lt_node_close(node, on_node_closed, NULL);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    struct lt_error err = {0};
    struct lt_node_config c;
    uv_signal_t term;

    if (argc != 7)
        return 2;
    signal(SIGPIPE, SIG_IGN); /* as ltd does: who asked may be gone before the answer */
    lt_log_init("agent", LT_LOG_INFO);
    if (lt_rpc_loop_open(loop, &rpc, &err) < 0)
        return 1;
    c = (struct lt_node_config){.loop = rpc,
                                .state_dir = argv[1],
                                .runtime_dir = argv[2],
                                .name = "n1",
                                .coordinator = argv[3],
                                .shim = argv[4],
                                .worker = argv[5],
                                .hang_ms = (unsigned)atoi(argv[6]),
                                .ladder_ms = 300};
    if (lt_node_open(&c, &node, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    uv_signal_init(loop, &term);
    uv_signal_start(&term, on_term, SIGTERM);
    uv_run(loop, UV_RUN_DEFAULT);
    lt_rpc_shutdown();
    return 0;
}
