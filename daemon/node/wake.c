/* wake.c - "there is something new in a journal", by ZeroMQ over ipc
 *
 * ZeroMQ's descriptor tells of edges only: readiness is asked again before the loop sleeps
 * (prepare) and after it woke (check), and an idle handle keeps it from sleeping while there is
 * something to take. A message is the name of the rank that wrote, and its journal alone is read: with
 * a thousand ranks on a node a look at all of them for one record would cost more than the record. An
 * empty one is of a worker that doesn't name itself yet, then every journal is read. Losing any of them
 * loses nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"
#include "sys/log.h"

#define SCHEME "ipc://"
#define BUDGET 500
#define QUEUE 1000
#define NAME_BYTES 128

struct lt_node_wake {
    struct lt_node *node;
    void *context, *socket;
    char *address;
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    unsigned open; /* handles */
    bool bound;
};

static bool readable(const struct lt_node_wake *w)
{
    int events = 0;
    size_t n = sizeof events;

    return zmq_getsockopt(w->socket, ZMQ_EVENTS, &events, &n) == 0 && (events & ZMQ_POLLIN);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    (void)h;
    (void)status;
    (void)events; /* only wakes the loop: on_check takes */
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* only keeps the loop from sleeping */
}

static void tail_named(struct lt_node *n, char *name, size_t len)
{
    struct lt_rank *r;

    if (len >= NAME_BYTES)
        return;
    name[len] = 0;
    r = lt_map_get(n->ranks, name);
    if (r)
        lt_rank_tail(r);
}

static void on_check(uv_check_t *h)
{
    struct lt_node_wake *w = h->data;
    char name[NAME_BYTES];
    bool all = false;
    unsigned n = 0;
    int len;

    while (n < BUDGET && readable(w) &&
           (len = zmq_recv(w->socket, name, sizeof name, ZMQ_DONTWAIT)) >= 0) {
        n++;
        all = all || len == 0;
        tail_named(w->node, name, (size_t)len);
    }
    if (n == 0)
        return;
    if (all)
        lt_node_tail_all(w->node);
    lt_node_reads_poke(w->node->reads);
}

static void on_prepare(uv_prepare_t *h)
{
    struct lt_node_wake *w = h->data;

    if (readable(w))
        uv_idle_start(&w->idle, on_idle);
    else
        uv_idle_stop(&w->idle);
}

/* Short enough for a socket's name, and the same for every agent of this state folder. */
static char *address_of(const struct lt_node *n, const char *runtime_dir)
{
    uint64_t h = lt_hash64(n->state_dir, strlen(n->state_dir));

    return lt_format(SCHEME "%s/wake-%016llx", runtime_dir, (unsigned long long)h);
}

static int bind_socket(struct lt_node_wake *w)
{
    int queue = QUEUE, linger = 0;

    zmq_setsockopt(w->socket, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(w->socket, ZMQ_LINGER, &linger, sizeof linger);
    w->bound = zmq_bind(w->socket, w->address) == 0;
    return w->bound ? 0 : -1;
}

/* ZeroMQ leaves the socket's file; nobody else binds there while we hold the node's lock. */
static void free_wake(struct lt_node_wake *w)
{
    if (w->bound)
        unlink(w->address + strlen(SCHEME));
    if (w->socket)
        zmq_close(w->socket);
    if (w->context)
        zmq_ctx_term(w->context);
    lt_free(w->address);
    lt_free(w);
}

static void start_handles(struct lt_node_wake *w, int fd)
{
    uv_loop_t *loop = w->node->loop;

    uv_poll_init(loop, &w->poll, fd);
    uv_prepare_init(loop, &w->prepare);
    uv_check_init(loop, &w->check);
    uv_idle_init(loop, &w->idle);
    w->poll.data = w->prepare.data = w->check.data = w->idle.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_poll);
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    w->open = 4;
}

struct lt_node_wake *lt_node_wake_open(struct lt_node *n, const char *runtime_dir)
{
    struct lt_node_wake *w = lt_calloc(1, sizeof *w);
    int fd = -1;
    size_t size = sizeof fd;

    w->node = n;
    w->address = address_of(n, runtime_dir);
    w->context = zmq_ctx_new();
    w->socket = w->context ? zmq_socket(w->context, ZMQ_PULL) : NULL;
    if (!w->socket || bind_socket(w) < 0 || zmq_getsockopt(w->socket, ZMQ_FD, &fd, &size) < 0) {
        lt_warning("agent: no wake-ups at %s: %s; journals are looked at every %d ms", w->address,
                   zmq_strerror(zmq_errno()), LT_NODE_TICK_MS);
        free_wake(w);
        return NULL;
    }
    start_handles(w, fd);
    lt_node_hold(n);
    return w;
}

const char *lt_node_wake_address(const struct lt_node_wake *w)
{
    return w ? w->address : NULL;
}

static void on_handle_closed(uv_handle_t *h)
{
    struct lt_node_wake *w = h->data;
    struct lt_node *n = w->node;

    if (--w->open > 0)
        return;
    free_wake(w);
    lt_node_release(n);
}

void lt_node_wake_close(struct lt_node_wake *w)
{
    if (!w)
        return;
    uv_close((uv_handle_t *)&w->poll, on_handle_closed);
    uv_close((uv_handle_t *)&w->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&w->check, on_handle_closed);
    uv_close((uv_handle_t *)&w->idle, on_handle_closed);
}
