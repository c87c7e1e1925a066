/* daemon.c - wiring, readiness and the way down
 *
 * Clients can connect from the start, but their calls are held until the agent has said which ranks
 * it found alive: what is answered is never older than what was before the restart. Down: the
 * agent's session ends first, then the server (running calls have some grace), then the
 * coordinator, then the queue's thread. Ranks go on.
 */
#include "daemon/main/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/coord/coord.h"
#include "daemon/core/query.h"
#include "daemon/node/node.h"
#include "daemon/rpc/methods.h"
#include "rpc/loop.h"
#include "rpc/server.h"
#include "sys/address.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/notify.h"
#include "sys/paths.h"

#define FILES 65536           /* connections have numbers of their own, from 1024 on */
#define READY_WITHIN_MS 10000 /* the agent may take so long before calls are answered without it   \
                               */
#define CARE_EVERY_MS 30000
#define GRACE_MS 1500
#define DOWN_WITHIN_MS 8000
#define NS_PER_S 1000000000ull

struct lt_daemon {
    const Lt__V1__DaemonConfig *config;
    uv_loop_t uv;
    struct lt_rpc_loop *loop;
    struct lt_service service;
    struct lt_rpc_server *server;
    struct lt_node *node;
    uv_signal_t term, interrupt;
    uv_timer_t late; /* not ready in time; later: not down in time */
    uv_timer_t care;
    char *listen; /* file with the TCP address, while there is one */
    char bound[LT_ADDRESS_TEXT];
    bool ready, going;
};

static bool has_role(const struct lt_daemon *d, Lt__V1__DaemonConfig__Role role)
{
    return d->config->role == LT__V1__DAEMON_CONFIG__ROLE__BOTH || d->config->role == role;
}

/* ---- down ---- */

static void close_handles(void *arg)
{
    struct lt_daemon *d = arg;

    uv_close((uv_handle_t *)&d->term, NULL);
    uv_close((uv_handle_t *)&d->interrupt, NULL);
    uv_close((uv_handle_t *)&d->late, NULL);
    uv_close((uv_handle_t *)&d->care, NULL);
}

static void coord_gone(void *arg)
{
    struct lt_daemon *d = arg;

    lt_rpc_loop_close(d->loop, close_handles, d);
}

static void server_gone(void *arg)
{
    struct lt_daemon *d = arg;

    d->server = NULL;
    if (d->service.coord)
        lt_coord_close(d->service.coord, coord_gone, d);
    else
        coord_gone(d);
}

static void node_gone(void *arg)
{
    struct lt_daemon *d = arg;

    d->node = NULL;
    if (d->server)
        lt_rpc_server_close(d->server, GRACE_MS, server_gone, d);
    else
        server_gone(d);
}

static void too_late(uv_timer_t *t)
{
    (void)t;
    lt_err("something doesn't end; leaving it");
    _exit(1);
}

static void go_down(struct lt_daemon *d, const char *why)
{
    if (d->going) {
        lt_warning("asked again: leaving at once");
        _exit(1);
    }
    d->going = true;
    lt_info("going down: %s", why);
    lt_notify("STOPPING=1");
    if (d->server)
        lt_rpc_server_set_serving(d->server, false);
    if (d->listen)
        lt_file_unlink(d->listen, NULL);
    uv_timer_start(&d->late, too_late, DOWN_WITHIN_MS, 0);
    if (d->node)
        lt_node_close(d->node, node_gone, d);
    else
        node_gone(d);
}

static void on_signal(uv_signal_t *s, int number)
{
    go_down(s->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* ---- ready ---- */

/* For scripts: on stdout, and in <state>/listen. */
static void tell_address(struct lt_daemon *d)
{
    LT_AUTO(lt_free) char *line = lt_format("%s\n", d->bound);
    struct lt_error err = {0};

    if (lt_file_replace(d->listen, line, strlen(line), 0600, &err) < 0)
        lt_warning("%s", err.text);
    printf("ltd listens on %s\n", d->bound);
    fflush(stdout);
}

static void ready(void *arg)
{
    struct lt_daemon *d = arg;

    if (d->ready || d->going)
        return;
    d->ready = true;
    uv_timer_stop(&d->late);
    if (d->server) {
        lt_rpc_server_hold(d->server, false);
        lt_rpc_server_set_serving(d->server, true);
        lt_info("ltd %s ready on %s", LT_VERSION, d->config->socket);
        if (d->bound[0])
            tell_address(d);
    } else {
        lt_info("ltd %s ready, agent of %s", LT_VERSION, d->config->coordinator);
    }
    lt_notify("READY=1");
    malloc_trim(0);
}

static void not_ready(uv_timer_t *t)
{
    lt_warning("the agent isn't ready yet; calls are answered without it");
    ready(t->data);
}

/* ---- now and then ---- */

static bool idle(const struct lt_daemon *d)
{
    const struct lt_core *core;

    if (!d->server || (d->node && lt_node_running(d->node) > 0))
        return false;
    core = lt_coord_core(d->service.coord);
    return core && lt_core_live_count(core) == 0 &&
           lt_rpc_server_calls(d->server) <= lt_coord_agents(d->service.coord) &&
           lt_clock_mono_ns() - lt_rpc_server_last_call_ns(d->server) >=
               d->config->idle_exit * NS_PER_S;
}

static void care(uv_timer_t *t)
{
    struct lt_daemon *d = t->data;

    malloc_trim(0);
    if (d->config->embedded && !d->going && idle(d))
        go_down(d, "nothing to do");
}

/* ---- up ---- */

static void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = LT_MIN(limit.rlim_max, (rlim_t)FILES);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void start_handles(struct lt_daemon *d)
{
    uint64_t every = LT_MIN((uint64_t)CARE_EVERY_MS, d->config->idle_exit * 1000 / 4 + 1);

    uv_signal_init(&d->uv, &d->term);
    uv_signal_init(&d->uv, &d->interrupt);
    uv_timer_init(&d->uv, &d->late);
    uv_timer_init(&d->uv, &d->care);
    d->term.data = d->interrupt.data = d->late.data = d->care.data = d;
    uv_signal_start(&d->term, on_signal, SIGTERM);
    uv_signal_start(&d->interrupt, on_signal, SIGINT);
    uv_timer_start(&d->care, care, d->config->embedded ? every : CARE_EVERY_MS,
                   d->config->embedded ? every : CARE_EVERY_MS);
}

static int start_coordinator(struct lt_daemon *d, struct lt_error *err)
{
    LT_AUTO(lt_free) char *state = lt_path_join(d->config->state_dir, "coord");
    struct lt_coord_config coord = {
        .loop = d->loop, .state_dir = state, .runs_dir = d->config->runs_dir};
    struct lt_rpc_server_config server = {.loop = d->loop,
                                          .methods = lt_methods,
                                          .context = &d->service,
                                          .rights = lt_service_rights};
    int rc = lt_coord_open(&coord, &d->service.coord, err);

    if (rc < 0)
        return rc;
    d->service.owner = getuid();
    rc = lt_rpc_server_open(&server, &d->server, err);
    if (rc < 0)
        return rc;
    lt_rpc_server_hold(d->server, true);
    rc = lt_rpc_server_listen(d->server, d->config->socket, err);
    if (rc < 0)
        return rc;
    d->listen = lt_path_join(d->config->state_dir, "listen");
    lt_file_unlink(d->listen, NULL); /* of one that crashed */
    return d->config->listen ? lt_rpc_server_listen_tcp(d->server, d->config->listen,
                                                        d->config->token_file, d->bound, err)
                             : 0;
}

static int start_agent(struct lt_daemon *d, const char *runtime_dir, struct lt_error *err)
{
    LT_AUTO(lt_free) char *state = lt_path_join(d->config->state_dir, "node");
    struct lt_node_config node = {.loop = d->loop,
                                  .state_dir = state,
                                  .runtime_dir = runtime_dir,
                                  .name = d->config->node,
                                  .coordinator = d->config->coordinator,
                                  .hang_ms = (unsigned)LT_MIN(d->config->hang_after, 1000000) * 1000,
                                  .on_ready = ready,
                                  .user = d};

    return lt_node_open(&node, &d->node, err);
}

/* <state>/embedded: the clients start this one again where it was an embedded one. */
static void leave_mark(const struct lt_daemon *d)
{
    LT_AUTO(lt_free) char *mark = lt_path_join(d->config->state_dir, "embedded");

    if (d->config->embedded)
        lt_file_replace(mark, d->config->socket, strlen(d->config->socket), 0600, NULL);
    else
        lt_file_unlink(mark, NULL);
}

static int start_roles(struct lt_daemon *d, struct lt_error *err)
{
    LT_AUTO(lt_free) char *runtime_dir = lt_path_runtime_dir();
    int rc = lt_path_make_runtime_dir(runtime_dir, err);

    if (rc == 0 && has_role(d, LT__V1__DAEMON_CONFIG__ROLE__COORDINATOR))
        rc = start_coordinator(d, err);
    if (rc == 0 && has_role(d, LT__V1__DAEMON_CONFIG__ROLE__AGENT))
        rc = start_agent(d, runtime_dir, err);
    if (rc < 0)
        return rc;
    leave_mark(d);
    if (!d->node)
        ready(d);
    else if (d->server)
        uv_timer_start(&d->late, not_ready, READY_WITHIN_MS, 0);
    return 0;
}

int lt_daemon_run(const Lt__V1__DaemonConfig *config, struct lt_error *err)
{
    struct lt_daemon *d = lt_calloc(1, sizeof *d);
    int rc;

    d->config = config;
    signal(SIGPIPE, SIG_IGN);
    if (config->embedded)
        signal(SIGHUP, SIG_IGN);
    raise_files();
    uv_loop_init(&d->uv);
    start_handles(d);
    rc = lt_file_mkdirs(config->state_dir, 0700, err);
    if (rc == 0)
        rc = lt_rpc_loop_open(&d->uv, &d->loop, err);
    if (rc == 0)
        rc = start_roles(d, err);
    if (rc < 0)
        return rc; /* the process ends: nothing to be tidy about */
    uv_run(&d->uv, UV_RUN_DEFAULT);
    uv_loop_close(&d->uv);
    lt_rpc_shutdown();
    lt_free(d->listen);
    lt_free(d);
    lt_info("gone");
    return 0;
}
