/* pmi.c - the socket at which ranks of this node find each other: <state>/node/pmi
 *
 * One connection a rank, from its shim. The first line says whom it is about; it must be a rank that
 * we have and that runs, of the newest generation we know of its job. What the ranks of a generation
 * put and wait for is a group (pmi_group.c), which lives as long as a connection to it: all of it
 * comes again from the shims when this agent was new. Whoever sends anything malformed is told so
 * and hung up on; nobody may keep more here than a line, and what he is owed, up to OUT_MAX.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "daemon/node/pmi_group.h"
#include "sys/attempt.h"
#include "sys/local.h"
#include "sys/log.h"
#include "sys/paths.h"
#include "sys/pmi.h"

#define BACKLOG 128
#define CONNECTIONS_MAX 4096
#define OUT_MAX (1u << 20)

struct conn {
    struct lt_node_pmi *server;
    struct conn *next;
    struct group *group; /* NULL: it hasn't said whom it is about */
    uint32_t rank;
    uv_pipe_t pipe;
    struct lt_buf in;
    bool closing;
};

struct group {
    struct lt_node_pmi *server;
    struct group *next;
    struct lt_pmi_group *ranks;
    char *job;
    uint32_t generation, world, n_conns;
    struct conn **conn; /* by rank */
};

struct lt_node_pmi {
    struct lt_node *node;
    char *path;
    uv_pipe_t listener;
    struct conn *conns;
    struct group *groups;
    unsigned n_conns;
    bool closing, listening;
};

/* ---- groups */

static void send_line(struct conn *c, const struct lt_pmi_msg *m);

static void on_emit(void *user, uint32_t rank, const struct lt_pmi_msg *m)
{
    struct group *g = user;

    if (g->conn[rank])
        send_line(g->conn[rank], m);
}

static struct group *group_of(struct lt_node_pmi *p, const struct lt_pmi_msg *m)
{
    struct group *g;

    for (g = p->groups; g; g = g->next) {
        if (lt_pmi_group_is(g->ranks, m->job, m->attempt, m->generation))
            return g;
    }
    g = lt_calloc(1, sizeof *g);
    g->server = p;
    g->job = lt_strdup(m->job);
    g->generation = m->generation;
    g->world = m->world;
    g->conn = lt_calloc(m->world, sizeof *g->conn);
    g->ranks = lt_pmi_group_new(m->job, m->attempt, m->generation, m->world, on_emit, g);
    g->next = p->groups;
    p->groups = g;
    return g;
}

static void drop_group(struct lt_node_pmi *p, struct group *g)
{
    struct group **at = &p->groups;

    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    lt_pmi_group_free(g->ranks);
    lt_free(g->conn);
    lt_free(g->job);
    lt_free(g);
}

/* ---- connections */

static void free_server(struct lt_node_pmi *p)
{
    struct lt_node *n = p->node;

    if (!p->closing || p->listening || p->n_conns > 0)
        return;
    lt_free(p->path);
    lt_free(p);
    lt_node_release(n);
}

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct lt_node_pmi *p = c->server;
    struct conn **at = &p->conns;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    p->n_conns--;
    lt_buf_done(&c->in);
    lt_free(c);
    free_server(p);
}

/* Nothing of it is heard or told any more. */
static void leave_group(struct conn *c)
{
    struct group *g = c->group;

    c->group = NULL;
    if (!g || g->conn[c->rank] != c)
        return;
    g->conn[c->rank] = NULL;
    lt_pmi_group_lost(g->ranks, c->rank);
    if (--g->n_conns == 0)
        drop_group(c->server, g);
}

static void close_conn(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    leave_group(c);
    uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
}

struct write {
    uv_write_t request;
    struct lt_buf bytes;
    bool last; /* hang up behind it */
};

static void on_written(uv_write_t *w, int status)
{
    struct write *x = w->data;
    struct conn *c = w->handle->data;

    if (status < 0 || x->last)
        close_conn(c);
    lt_buf_done(&x->bytes);
    lt_free(x);
}

static void send_bytes(struct conn *c, const struct lt_pmi_msg *m, bool last)
{
    struct write *x;
    uv_buf_t b;

    if (c->closing)
        return;
    if (uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > OUT_MAX) {
        uv_read_stop((uv_stream_t *)&c->pipe);
        return; /* it reads nothing: the next write's end, or its own, closes it */
    }
    x = lt_calloc(1, sizeof *x);
    x->request.data = x;
    x->last = last;
    lt_pmi_print(m, &x->bytes);
    b = uv_buf_init(x->bytes.data, (unsigned)x->bytes.len);
    if (uv_write(&x->request, (uv_stream_t *)&c->pipe, &b, 1, on_written) < 0) {
        lt_buf_done(&x->bytes);
        lt_free(x);
    }
}

static void send_line(struct conn *c, const struct lt_pmi_msg *m)
{
    send_bytes(c, m, false);
}

static void refuse(struct conn *c, const struct lt_pmi_msg *m, const char *why)
{
    struct lt_pmi_msg answer = {.kind = LT_PMI_REFUSED,
                                .job = m->job && m->job[0] ? m->job : "-",
                                .attempt = m->attempt,
                                .generation = m->generation,
                                .rank = m->rank,
                                .text = why};

    lt_warning("agent: a rank that looked for its peers was refused: %s", why);
    leave_group(c);
    uv_read_stop((uv_stream_t *)&c->pipe);
    send_bytes(c, &answer, true);
}

/* ---- what they say */

static bool is_newest(const struct lt_node *n, const struct lt_rank *r)
{
    void *p;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        const struct lt_rank *other = p;

        if (other->spec->generation > r->spec->generation &&
            strcmp(other->spec->job, r->spec->job) == 0)
            return false;
    }
    return true;
}

static bool ended_well(const struct lt_rank *r)
{
    struct lt_exit_record e = {0}; /* read in any order by the compiler */

    return r->state == LT_RANK_ENDED && lt_attempt_read_exit(r->dir, &e, NULL) == 0 &&
           !e.signaled && e.status == 0;
}

/* Older generations of this job are over: what still asks for them is hung up on. */
static void end_older(struct lt_node_pmi *p, const struct lt_pmi_msg *m)
{
    for (struct conn *c = p->conns; c; c = c->next) {
        if (!c->closing && c->group && c->group->generation < m->generation &&
            strcmp(c->group->job, m->job) == 0)
            refuse(c, &(struct lt_pmi_msg){.job = m->job, .rank = c->rank}, "another generation");
    }
}

/* Those that had left before this group began. */
static void tell_ended(struct lt_node_pmi *p, struct group *g, const struct lt_pmi_msg *m)
{
    for (uint32_t i = 0; i < g->world; i++) {
        const struct lt_rank *r = lt_rank_find(p->node, m->job, m->attempt, i);

        if (r && ended_well(r))
            lt_pmi_group_ended(g->ranks, i);
    }
}

static void greet(struct conn *c, const struct lt_pmi_msg *m)
{
    struct lt_node_pmi *p = c->server;
    const struct lt_rank *r = lt_rank_find(p->node, m->job, m->attempt, m->rank);
    struct lt_error err = {0};
    struct group *g;

    if (m->kind != LT_PMI_HELLO || m->world < 1 || m->world > LT_PMI_WORLD_MAX) {
        refuse(c, m, "it didn't say whom it is about");
        return;
    }
    if (!r || r->spec->generation != m->generation || r->spec->world_size != m->world ||
        (r->state != LT_RANK_STARTING && r->state != LT_RANK_RUNNING) || !is_newest(p->node, r)) {
        refuse(c, m, "no such rank runs here, or its generation is over");
        return;
    }
    end_older(p, m);
    g = group_of(p, m);
    if (g->conn[m->rank]) { /* the shim's earlier connection; it may have been the group's last */
        close_conn(g->conn[m->rank]);
        g = group_of(p, m);
    }
    if (g->n_conns++ == 0)
        tell_ended(p, g, m);
    c->group = g;
    c->rank = m->rank;
    g->conn[c->rank] = c;
    if (lt_pmi_group_take(g->ranks, m, &err) < 0)
        refuse(c, m, err.text);
}

static void take(struct conn *c, char *line)
{
    struct lt_error err = {0};
    struct lt_pmi_msg m;

    if (lt_pmi_parse(line, &m, &err) < 0) {
        refuse(c, &m, err.text);
        return;
    }
    if (!c->group) {
        greet(c, &m);
        return;
    }
    if (m.rank != c->rank)
        refuse(c, &m, "a message about another rank");
    else if (lt_pmi_group_take(c->group->ranks, &m, &err) < 0)
        refuse(c, &m, err.text);
}

/* Whole lines out of c->in. A refused connection has none any more. */
static void take_lines(struct conn *c)
{
    size_t at = 0;

    while (!c->closing && uv_is_active((uv_handle_t *)&c->pipe)) {
        char *from = c->in.data + at, *end = memchr(from, '\n', c->in.len - at);

        if (!end)
            break;
        *end = 0;
        at = (size_t)(end - c->in.data) + 1;
        take(c, from);
    }
    c->in.len -= at;
    memmove(c->in.data, c->in.data + at, c->in.len);
    if (c->in.len >= LT_PMI_LINE_MAX && !c->closing)
        refuse(c, &(struct lt_pmi_msg){.rank = c->rank}, "a line that is too long");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
    struct conn *c = h->data;

    (void)suggested;
    lt_buf_reserve(&c->in, LT_PMI_LINE_MAX + 1);
    *b = uv_buf_init(c->in.data + c->in.len, LT_PMI_LINE_MAX);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = s->data;

    (void)b;
    if (n < 0) {
        close_conn(c);
        return;
    }
    c->in.len += (size_t)n;
    take_lines(c);
}

static bool is_friend(const uv_pipe_t *pipe)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t n = sizeof peer;
    uv_os_fd_t fd;

    return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void on_connection(uv_stream_t *s, int status)
{
    struct lt_node_pmi *p = s->data;
    struct conn *c;

    if (status < 0 || p->closing)
        return;
    c = lt_calloc(1, sizeof *c);
    c->server = p;
    c->next = p->conns;
    p->conns = c;
    p->n_conns++;
    uv_pipe_init(p->node->loop, &c->pipe, 0);
    c->pipe.data = c;
    if (uv_accept(s, (uv_stream_t *)&c->pipe) < 0 || p->n_conns > CONNECTIONS_MAX ||
        !is_friend(&c->pipe) || uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
        close_conn(c);
}

/* ---- the server */

static int listen_at(struct lt_node_pmi *p, struct lt_error *err)
{
    int fd = lt_local_bind(p->path, err), rc;

    if (fd < 0)
        return fd;
    rc = uv_pipe_open(&p->listener, fd);
    if (rc < 0)
        close(fd);
    else
        rc = uv_listen((uv_stream_t *)&p->listener, BACKLOG, on_connection);
    return rc < 0 ? lt_error_set(err, rc, "socket %s: %s", p->path, uv_strerror(rc)) : 0;
}

struct lt_node_pmi *lt_node_pmi_open(struct lt_node *n)
{
    struct lt_node_pmi *p = lt_calloc(1, sizeof *p);
    struct lt_error err = {0};

    p->node = n;
    p->path = lt_path_join(n->state_dir, "pmi");
    p->listening = true;
    uv_pipe_init(n->loop, &p->listener, 0);
    p->listener.data = p;
    lt_node_hold(n);
    if (listen_at(p, &err) == 0)
        return p;
    lt_err("agent: %s; jobs of more than one rank won't find each other", err.text);
    lt_node_pmi_close(p);
    return NULL;
}

void lt_node_pmi_ended(struct lt_node_pmi *p, const struct lt_rank *r)
{
    if (!p || !ended_well(r))
        return;
    for (struct group *g = p->groups; g; g = g->next) {
        if (lt_pmi_group_is(g->ranks, r->spec->job, r->spec->attempt, r->spec->generation))
            lt_pmi_group_ended(g->ranks, r->spec->rank);
    }
}

static void on_listener_closed(uv_handle_t *h)
{
    struct lt_node_pmi *p = h->data;

    p->listening = false;
    free_server(p);
}

void lt_node_pmi_close(struct lt_node_pmi *p)
{
    if (!p)
        return;
    p->closing = true;
    unlink(p->path);
    for (struct conn *c = p->conns; c; c = c->next)
        close_conn(c);
    uv_close((uv_handle_t *)&p->listener, on_listener_closed);
}
