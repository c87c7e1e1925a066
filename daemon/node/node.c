/* node.c - opening, the tick, and closing of the agent
 *
 * The tick runs only while a rank runs: it takes samples for people, saves acknowledged offsets,
 * and finds what a lost wake-up would have told. An idle agent doesn't wake.
 */
#include "daemon/node/node.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "rpc/loop.h"
#include "rpc/session.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/paths.h"

#define LADDER_MS 10000
#define HANG_MS 60000
#define CHECKS 2

void lt_node_hold(struct lt_node *n)
{
    n->refs++;
}

void lt_node_release(struct lt_node *n)
{
    void (*done)(void *) = n->on_closed;
    void *user = n->closed_user;

    if (--n->refs > 0)
        return;
    lt_map_free(n->ranks);
    lt_node_out_free(n->out);
    lt_node_inventory_free(n->inventory);
    if (n->lock >= 0)
        close(n->lock);
    lt_free(n->state_dir);
    lt_free(n->attempts_dir);
    lt_free(n->name);
    lt_free(n->shim);
    lt_free(n->worker);
    lt_free(n);
    if (done)
        done(user);
}

void lt_node_tail_all(struct lt_node *n)
{
    void *r;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &r);)
        lt_rank_tail(r);
}

static void on_tick(uv_timer_t *t)
{
    struct lt_node *n = t->data;
    size_t running = 0;
    void *p;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        struct lt_rank *r = p;

        lt_rank_save_ack(r);
        if (r->state != LT_RANK_RUNNING && !r->unread)
            continue;
        running++;
        if (r->state == LT_RANK_RUNNING)
            lt_rank_watch(r);
        lt_rank_tail(r);
    }
    lt_still_look(n);
    lt_node_sample(n);
    lt_node_trim_tick(n->trim, running == 0);
    if (running == 0) {
        uv_timer_stop(t);
        n->ticking = false;
    }
}

void lt_node_tick_start(struct lt_node *n)
{
    if (n->ticking)
        return;
    n->ticking = true;
    uv_timer_start(&n->tick, on_tick, LT_NODE_TICK_MS, LT_NODE_TICK_MS);
}

size_t lt_node_running(const struct lt_node *n)
{
    size_t running = 0;
    void *r;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &r);)
        running += ((struct lt_rank *)r)->state != LT_RANK_ENDED;
    return running;
}

static char *host_name(void)
{
    char text[256] = "";

    return gethostname(text, sizeof text - 1) == 0 && text[0] ? lt_strdup(text)
                                                              : lt_strdup("localhost");
}

static int open_state(struct lt_node *n, struct lt_error *err)
{
    LT_AUTO(lt_free) char *lock = lt_path_join(n->state_dir, "lock");
    int rc = lt_file_mkdirs(n->attempts_dir, 0700, err);

    if (rc < 0)
        return rc;
    n->lock = lt_lock_take(lock, err);
    if (n->lock == -EWOULDBLOCK)
        lt_error_prefix(err, "another agent uses %s", n->state_dir);
    return n->lock < 0 ? n->lock : 0;
}

static struct lt_node *node_new(const struct lt_node_config *c)
{
    struct lt_node *n = lt_calloc(1, sizeof *n);

    n->loop = lt_rpc_loop_uv(c->loop);
    n->refs = 1;
    n->lock = -1;
    n->state_dir = lt_strdup(c->state_dir);
    n->attempts_dir = lt_path_join(c->state_dir, "attempts");
    n->name = c->name ? lt_strdup(c->name) : host_name();
    n->shim = c->shim ? lt_strdup(c->shim) : lt_path_program("lt-shim");
    n->worker = c->worker ? lt_strdup(c->worker) : lt_path_program("lt-worker");
    n->hang_ns = (uint64_t)(c->hang_ms ? c->hang_ms : HANG_MS) * 1000000;
    n->ladder_ms = c->ladder_ms ? c->ladder_ms : LADDER_MS;
    n->on_ready = c->on_ready;
    n->user = c->user;
    n->ranks = lt_map_new(NULL);
    n->out = lt_node_out_new();
    return n;
}

int lt_node_open(const struct lt_node_config *c, struct lt_node **out, struct lt_error *err)
{
    struct lt_node *n = node_new(c);
    int rc = open_state(n, err);

    if (rc < 0) {
        lt_node_release(n);
        return rc;
    }
    uv_timer_init(n->loop, &n->tick);
    n->tick.data = n;
    lt_node_hold(n);
    n->inventory = lt_node_inventory(n->worker);
    n->wake = lt_node_wake_open(n, c->runtime_dir);
    n->checks = lt_node_checks_new(n, c->max_checks ? c->max_checks : CHECKS);
    n->reads = lt_node_reads_new(n);
    n->trim = lt_node_trim_new(n);
    lt_node_versions_open(n);
    rc = lt_node_blobs_open(n, &n->blobs, err);
    if (rc == 0)
        rc = lt_ranks_scan(n, err);
    if (rc == 0)
        n->pmi = lt_node_pmi_open(n); /* it asks for ranks */
    if (rc == 0)
        rc = lt_node_connect(n, c->loop, c->coordinator, err);
    if (rc < 0) {
        lt_node_close(n, NULL, NULL);
        return rc;
    }
    *out = n;
    return 0;
}

static void on_session_closed(void *arg)
{
    lt_node_release(arg);
}

static void on_tick_closed(uv_handle_t *h)
{
    lt_node_release(h->data);
}

void lt_node_close(struct lt_node *n, void (*on_closed)(void *user), void *user)
{
    void *r;

    if (!n)
        return;
    n->closing = true;
    n->on_closed = on_closed;
    n->closed_user = user;
    n->open = n->welcomed = false;
    if (n->session) {
        lt_node_hold(n);
        lt_rpc_session_close(n->session, on_session_closed, n);
        n->session = NULL;
    }
    uv_close((uv_handle_t *)&n->tick, on_tick_closed);
    lt_node_wake_close(n->wake);
    lt_node_pmi_close(n->pmi);
    lt_node_checks_close(n->checks);
    lt_node_reads_close(n->reads);
    lt_node_trim_close(n->trim);
    lt_node_versions_close(n->versions);
    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &r);) {
        lt_rank_save_ack(r);
        lt_rank_drop(r);
    }
    lt_node_blobs_close(n->blobs);
    lt_node_release(n);
}
