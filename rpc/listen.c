/* listen.c - our own listeners, so that we know who is at the other end
 *
 * gRPC's own unix: listener takes a live daemon's path away, and doesn't say who connected. We
 * accept, ask the kernel for the peer's credentials and hand the connection to the core under a
 * number from a range that is walked in a circle: grpc_call_get_peer() says "fd:N", the key to our
 * table. A number comes back only after the whole range was used once, so a call that still waits
 * when its connection dies can't be given the credentials of the next one.
 *
 * TCP connections, which any user of this machine can make, have numbers of their own: however many
 * there are, the Unix socket's users have theirs. Who is there shows by the call's token.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "rpc/internal.h"
#include "sys/address.h"
#include "sys/clock.h"
#include "sys/lock.h"
#include "sys/log.h"
#include "sys/token.h"

#define RANGE_FIRST 1024
#define RANGE_END 16384
#define TCP_UNREAD_MAX 65536 /* bytes of a connection; the kernel doubles it */
#define TCP_NUMBERS 2048 /* behind the range, or the last quarter of it where files are few */
#define BACKLOG SOMAXCONN
#define WARN_EVERY_NS UINT64_C(10000000000)
#define ACCEPTS_PER_TURN 64
#define TURNED_AWAY_MAX 256 /* calls of one connection */

struct lt_rpc_listener {
    struct lt_rpc_listener *next;
    struct lt_rpc_server *server;
    uv_poll_t poll;
    int fd, lock; /* lock: -1 when the socket isn't ours to remove */
    bool tcp;
    char *path;
};

struct connection {
    struct lt_rpc_peer who;
    unsigned turned_away; /* calls that it had too many */
};

struct numbers {
    int first, end, next;
};

/* Of the whole process, as numbers of files are. Touched by the loop's thread alone. */
static struct {
    int first, end; /* of all */
    struct numbers local, tcp;
    struct connection *peers; /* [number - first] */
    uint64_t warned_ns;       /* monotonic; 0: never */
    unsigned dropped;         /* since then */
} range;

static int range_init(struct lt_error *err)
{
    struct rlimit limit;

    if (range.peers)
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return lt_error_set(err, -errno, "getrlimit: %s", strerror(errno));
    range.end = (int)LT_MIN(limit.rlim_cur, (rlim_t)RANGE_END + TCP_NUMBERS);
    range.local.end = LT_MIN(range.end, RANGE_END);
    range.first = range.local.first = range.local.next =
        LT_MIN(RANGE_FIRST, range.local.end / 2);
    range.peers = lt_calloc((size_t)(range.end - range.first), sizeof *range.peers);
    return 0;
}

static void range_share_with_tcp(void)
{
    const struct numbers *local = &range.local;
    int spare = range.end - local->end;

    if (range.tcp.end)
        return;
    range.tcp = (struct numbers){.first = local->end, .end = range.end};
    if (spare < TCP_NUMBERS) {
        range.tcp.first = range.end - LT_MIN((range.end - local->first) / 4, TCP_NUMBERS);
        range.local.end = range.tcp.first;
        range.local.next = local->first;
    }
    range.tcp.next = range.tcp.first;
}

/* Moves fd to the next free number; -1: none is free. */
static int numbers_take(struct numbers *r, int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, r->next);

    if (moved < 0 || moved >= r->end) {
        if (moved >= 0)
            close(moved);
        moved = fcntl(fd, F_DUPFD_CLOEXEC, r->first);
        if (moved >= r->end) {
            close(moved);
            moved = -1;
        }
    }
    if (moved >= 0)
        r->next = moved + 1 < r->end ? moved + 1 : r->first;
    close(fd);
    return moved;
}

/* -1: not one of ours. */
static int number_of(const char *peer)
{
    uint64_t fd;

    if (!lt_str_starts(peer, "fd:") || lt_parse_u64(peer + 3, &fd) < 0 || !range.peers ||
        fd < (uint64_t)range.first || fd >= (uint64_t)range.end)
        return -1;
    return (int)fd;
}

bool lt_rpc_peer_find(const char *peer, struct lt_rpc_peer *out)
{
    int fd = number_of(peer);

    if (fd >= 0)
        *out = range.peers[fd - range.first].who;
    return fd >= 0;
}

/* The core sees its end, and closes it. TCP is reset (connect(2), AF_UNSPEC): behind a shutdown the
 * peer would wait for the core to read what is still there. */
static void hang_up(int fd, const struct connection *c)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};

    if (!c->who.by_token || connect(fd, &none, sizeof none) < 0)
        shutdown(fd, SHUT_RDWR);
}

void lt_rpc_peer_turned_away(const char *peer)
{
    int fd = number_of(peer);
    struct connection *c = fd >= 0 ? &range.peers[fd - range.first] : NULL;

    if (!c || ++c->turned_away != TURNED_AWAY_MAX)
        return;
    if (c->who.by_token)
        lt_warning("a TCP connection is closed: it asks on and on");
    else
        lt_warning("the connection of pid %d is closed: it asks on and on", (int)c->who.pid);
    hang_up(fd, c);
}

/* A flood must not become one of the log. */
static void warn_of_drop(const struct numbers *r, pid_t pid)
{
    uint64_t now = lt_clock_mono_ns();
    char from[32] = "TCP";

    range.dropped++;
    if (range.warned_ns && now - range.warned_ns < WARN_EVERY_NS)
        return;
    if (pid)
        snprintf(from, sizeof from, "pid %d", (int)pid);
    lt_warning("%u connection%s dropped, the last from %s: %d are open", range.dropped,
               range.dropped == 1 ? "" : "s", from, r->end - r->first);
    range.warned_ns = now;
    range.dropped = 0;
}

/* Of TCP: who a token stands for. The kernel would let a TCP connection's receive buffer grow to
 * megabytes: tens of thousands of calls, which the core reads through before it sees that the
 * connection was closed. */
static int credentials(const struct lt_rpc_listener *l, int fd, struct ucred *who)
{
    socklen_t n = sizeof *who;
    int on = 1, bytes = TCP_UNREAD_MAX;

    if (!l->tcp)
        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &n);
    *who = (struct ucred){.uid = geteuid(), .gid = getegid()};
    return setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0
               ? -1
               : setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* A connection on its way to the core. */
struct adoption {
    uv_work_t work;
    struct lt_rpc_server *server;
    int number;
};

static void adopt(uv_work_t *w)
{
    const struct adoption *a = w->data;
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();

    grpc_server_add_channel_from_fd(a->server->core, a->number, plain);
    grpc_server_credentials_release(plain);
}

static void adopted(uv_work_t *w, int status)
{
    struct adoption *a = w->data;

    (void)status;
    lt_rpc_server_unref(a->server);
    lt_free(a);
}

/* In a thread of the pool: the core reads what the peer sent before it gives the thread back, and
 * goes on for as long as there is more. */
static void to_core(struct lt_rpc_server *s, int number)
{
    struct adoption *a = lt_calloc(1, sizeof *a);

    a->work.data = a;
    a->server = s;
    a->number = number;
    s->handles++;
    uv_queue_work(lt_rpc_loop_uv(s->config.loop), &a->work, adopt, adopted);
}

static void hand_over(struct lt_rpc_listener *l, int fd)
{
    struct numbers *numbers = l->tcp ? &range.tcp : &range.local;
    struct ucred who;
    int number;

    if (credentials(l, fd, &who) < 0) {
        close(fd);
        return;
    }
    number = numbers_take(numbers, fd);
    if (number < 0) {
        warn_of_drop(numbers, who.pid);
        return;
    }
    range.peers[number - range.first] = (struct connection){.who = {.uid = who.uid,
                                                                    .gid = who.gid,
                                                                    .pid = who.pid,
                                                                    .by_token = l->tcp,
                                                                    .connection = number}};
    to_core(l->server, number);
}

static void acceptable(uv_poll_t *h, int status, int events)
{
    struct lt_rpc_listener *l = h->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        hand_over(l, fd);
    }
}

static struct lt_rpc_listener *listener_new(struct lt_rpc_server *s, int fd)
{
    struct lt_rpc_listener *l = lt_calloc(1, sizeof *l);

    l->server = s;
    l->fd = fd;
    l->lock = -1;
    l->next = s->listeners;
    s->listeners = l;
    s->handles++;
    uv_poll_init(lt_rpc_loop_uv(s->config.loop), &l->poll, fd);
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, acceptable);
    return l;
}

int lt_rpc_server_listen_fd(struct lt_rpc_server *s, int fd, struct lt_error *err)
{
    int rc = range_init(err);

    if (rc < 0)
        return rc;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    listener_new(s, fd);
    return 0;
}

static int bind_path(const char *path, struct lt_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, rc = 0;

    if (strlen(path) >= sizeof address.sun_path)
        return lt_error_set(err, -ENAMETOOLONG, "socket %s: a socket's path has at most %zu bytes",
                            path, sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return lt_error_set(err, -errno, "socket: %s", strerror(errno));
    if (unlink(path) < 0 && errno != ENOENT)
        rc = lt_error_set(err, -errno, "remove %s: %s", path, strerror(errno));
    /* nobody can connect before listen(), so there is no moment with a wrong mode */
    else if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 ||
             listen(fd, BACKLOG) < 0)
        rc = lt_error_set(err, -errno, "listen on %s: %s", path, strerror(errno));
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

int lt_rpc_server_listen(struct lt_rpc_server *s, const char *path, struct lt_error *err)
{
    LT_AUTO(lt_free) char *lock_path = lt_format("%s.lock", path);
    struct lt_rpc_listener *l;
    int lock, fd, rc = range_init(err);

    if (rc < 0)
        return rc;
    lock = lt_lock_take(lock_path, err);
    if (lock == -EWOULDBLOCK) {
        lt_error_prefix(err, "socket %s is in use", path);
        return -EADDRINUSE;
    }
    if (lock < 0)
        return lock;
    fd = bind_path(path, err);
    if (fd < 0) {
        close(lock);
        return fd;
    }
    l = listener_new(s, fd);
    l->lock = lock;
    l->path = lt_strdup(path);
    return 0;
}

int lt_rpc_server_listen_tcp(struct lt_rpc_server *s, const char *address, const char *token_file,
                             char *bound, struct lt_error *err)
{
    struct lt_address a;
    int fd, rc = range_init(err);

    if (rc == 0)
        rc = lt_address_local(address, &a, err);
    if (rc == 0)
        rc = lt_tokens_open(token_file, &s->tokens, err);
    if (rc < 0)
        return rc;
    fd = lt_address_listen(&a, err);
    if (fd < 0)
        return fd;
    range_share_with_tcp();
    listener_new(s, fd)->tcp = true;
    lt_address_print(&a, bound);
    return 0;
}

static void listener_closed(uv_handle_t *h)
{
    struct lt_rpc_listener *l = h->data;

    close(l->fd);
    if (l->lock >= 0)
        close(l->lock);
    lt_rpc_server_unref(l->server);
    lt_free(l->path);
    lt_free(l);
}

/* The lock file stays: removing it would let two daemons hold locks on two files of one name. */
void lt_rpc_listeners_close(struct lt_rpc_server *s)
{
    struct lt_rpc_listener *l;

    while ((l = s->listeners)) {
        s->listeners = l->next;
        if (l->lock >= 0)
            unlink(l->path);
        uv_close((uv_handle_t *)&l->poll, listener_closed);
    }
}
