/* versions.c - which MPICH and UCX this node has, for its inventory
 *
 * The libraries are asked by `lt-worker --libraries`: loading them costs milliseconds and megabytes,
 * and what they do when they are loaded is nothing for a daemon's process. A moment after the start,
 * when whoever started ltd has got his answer. What can't be learnt stays unknown, and is logged: a
 * node without them is no worse for jobs on one node. The program dies with us (lt-shim --bound).
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"
#include "sys/log.h"

#define DELAY_MS 1000
#define LIMIT_MS 30000
#define ANSWER_MAX 512

struct lt_node_versions {
    struct lt_node *node;
    uv_timer_t timer; /* until it is asked, then until it is late */
    uv_process_t process;
    uv_pipe_t out;
    char text[ANSWER_MAX];
    size_t len;
    int64_t status;
    unsigned waiting; /* for its exit and the end of its output */
    unsigned handles;
};

static void on_handle_closed(uv_handle_t *h)
{
    struct lt_node_versions *v = h->data;
    struct lt_node *n = v->node;

    if (--v->handles > 0)
        return;
    n->versions = NULL;
    lt_free(v);
    lt_node_release(n);
}

static void end(uv_handle_t *h)
{
    if (h->data && !uv_is_closing(h))
        uv_close(h, on_handle_closed);
}

void lt_node_versions_close(struct lt_node_versions *v)
{
    if (!v)
        return;
    if (v->waiting)
        uv_process_kill(&v->process, SIGKILL);
    v->waiting = 0;
    end((uv_handle_t *)&v->timer);
    end((uv_handle_t *)&v->process);
    end((uv_handle_t *)&v->out);
}

/* The rest of the line that begins with the word, or NULL. */
static char *said(const struct lt_node_versions *v, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = v->text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strncmp(p, word, n) == 0 && p[n] == ' ')
            return lt_strndup(p + n + 1, strcspn(p + n + 1, "\n"));
    return NULL;
}

static void learn(struct lt_node_versions *v)
{
    struct lt_node *n = v->node;
    char *mpich = said(v, "mpich"), *ucx = said(v, "ucx");

    if (v->status || !mpich || !ucx) {
        lt_warning("agent %s: %s --libraries: status %d: which MPICH is here isn't known", n->name,
                   n->worker, (int)v->status);
        lt_free(mpich);
        lt_free(ucx);
        return;
    }
    n->inventory->mpich = mpich;
    n->inventory->ucx = ucx;
    if (n->welcomed) /* else the hello says it */
        lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_INVENTORY, n->inventory);
}

static void one_less(struct lt_node_versions *v)
{
    if (v->waiting == 0 || --v->waiting > 0)
        return;
    learn(v);
    lt_node_versions_close(v);
}

static void on_ended(uv_process_t *p, int64_t status, int sig)
{
    struct lt_node_versions *v = p->data;

    v->status = sig ? sig : status;
    one_less(v);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct lt_node_versions *v = h->data;

    (void)suggested;
    *buf = uv_buf_init(v->text + v->len, (unsigned)(sizeof v->text - 1 - v->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct lt_node_versions *v = s->data;

    (void)buf;
    if (n > 0)
        v->len += (size_t)n;
    if (n >= 0)
        return; /* a full buffer ends it, too, as UV_ENOBUFS */
    uv_read_stop(s);
    one_less(v);
}

static void on_late(uv_timer_t *t)
{
    struct lt_node_versions *v = t->data;

    uv_process_kill(&v->process, SIGKILL);
}

static void on_time(uv_timer_t *t)
{
    struct lt_node_versions *v = t->data;
    LT_AUTO(lt_free) char *self = lt_format("%d", (int)getpid());
    char *argv[] = {v->node->shim,   (char *)"--bound",     self,
                    v->node->worker, (char *)"--libraries", NULL};
    uv_stdio_container_t io[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&v->out},
        {.flags = UV_IGNORE},
    };
    const uv_process_options_t options = {.file = v->node->shim,
                                          .args = argv,
                                          .exit_cb = on_ended,
                                          .stdio = io,
                                          .stdio_count = 3};
    int rc;

    uv_pipe_init(t->loop, &v->out, 0);
    v->process.data = v->out.data = v;
    v->handles += 2;
    rc = uv_spawn(t->loop, &v->process, &options);
    if (rc < 0) {
        lt_warning("agent %s: %s can't be started: %s", v->node->name, v->node->shim,
                   uv_strerror(rc));
        lt_node_versions_close(v);
        return;
    }
    v->waiting = 2;
    uv_read_start((uv_stream_t *)&v->out, on_alloc, on_read);
    uv_timer_start(t, on_late, LIMIT_MS, 0);
}

void lt_node_versions_open(struct lt_node *n)
{
    struct lt_node_versions *v = lt_calloc(1, sizeof *v);

    v->node = n;
    lt_node_hold(n);
    uv_timer_init(n->loop, &v->timer);
    v->timer.data = v;
    v->handles = 1;
    n->versions = v;
    uv_timer_start(&v->timer, on_time, DELAY_MS, 0);
}
