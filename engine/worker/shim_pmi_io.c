/* shim_pmi_io.c - the sockets of a rank that looks for its peers
 *
 * The shim waits for three things: its rank's end, its rank's requests, and the agent. The agent's
 * socket is tried again while it isn't there, at most four times a second.
 */
#include "engine/worker/shim_pmi.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/local.h"
#include "sys/pmi.h"

#define RETRY_MS 250
#define RETRY_FIRST_MS 10

void lt_shim_pmi_env(int fd, uint32_t rank, uint32_t world)
{
    const struct {
        const char *name;
        unsigned value;
    } numbers[] = {{"PMI_FD", (unsigned)fd}, {"PMI_RANK", rank}, {"PMI_SIZE", world}};
    /* Ranks of one node: shared memory is all they need, and looking for networks takes long. */
    static const char *const settings[][2] = {
        {"UCX_MODULES", "^rocm,ib,rdmacm"},
        {"UCX_TLS", "posix,sysv,cma,self"},
        {"UCX_WARN_UNUSED_ENV_VARS", "n"},
    };

    for (size_t i = 0; i < LT_ARRAY_LEN(numbers); i++) {
        char text[16];

        snprintf(text, sizeof text, "%u", numbers[i].value);
        setenv(numbers[i].name, text, 1);
    }
    for (size_t i = 0; i < LT_ARRAY_LEN(settings); i++)
        setenv(settings[i][0], settings[i][1], 0);
}

struct io {
    struct lt_shim_pmi *pmi;
    const char *path;
    int rank, agent; /* -1: closed */
    int retry_ms;
};

/* Writes what can be written. false: the other side is gone. */
static bool flush_out(int fd, struct lt_buf *b)
{
    while (b->len > 0) {
        ssize_t n = send(fd, b->data, b->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        b->len -= (size_t)n;
        memmove(b->data, b->data + n, b->len);
    }
    return true;
}

static void close_rank(struct io *io)
{
    close(io->rank);
    io->rank = -1;
}

static void close_agent(struct io *io)
{
    lt_shim_pmi_disconnected(io->pmi);
    close(io->agent);
    io->agent = -1;
    io->retry_ms = RETRY_FIRST_MS;
}

static void try_agent(struct io *io)
{
    if (io->agent >= 0 || lt_shim_pmi_refused(io->pmi))
        return;
    io->agent = lt_local_connect(io->path);
    if (io->agent >= 0)
        lt_shim_pmi_connected(io->pmi);
    else
        io->retry_ms = LT_MIN(io->retry_ms * 2, RETRY_MS);
}

/* n of a read: false when it ended. */
static bool still_open(ssize_t n)
{
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void read_rank(struct io *io)
{
    char bytes[LT_PMI_LINE_MAX];
    ssize_t n = recv(io->rank, bytes, lt_shim_pmi_room(io->pmi), MSG_DONTWAIT);
    bool open = still_open(n);

    if (n > 0 && !lt_shim_pmi_from_rank(io->pmi, bytes, (size_t)n)) {
        flush_out(io->rank, lt_shim_pmi_to_rank(io->pmi));
        open = false;
    }
    if (!open)
        close_rank(io);
}

static void read_agent(struct io *io)
{
    char bytes[LT_PMI_LINE_MAX];
    ssize_t n = recv(io->agent, bytes, sizeof bytes, MSG_DONTWAIT);

    if (!still_open(n) || (n > 0 && !lt_shim_pmi_from_agent(io->pmi, bytes, (size_t)n)))
        close_agent(io);
}

static void flush_all(struct io *io)
{
    if (io->rank >= 0 && !flush_out(io->rank, lt_shim_pmi_to_rank(io->pmi)))
        close_rank(io);
    if (io->agent >= 0 && !flush_out(io->agent, lt_shim_pmi_to_agent(io->pmi)))
        close_agent(io);
}

static short wanted(bool readable, const struct lt_buf *out)
{
    return (short)((readable ? POLLIN : 0) | (out->len ? POLLOUT : 0));
}

void lt_shim_pmi_serve(struct lt_shim_pmi *p, int fd, const char *agent_socket, int wake,
                       bool (*over)(void *arg), void *arg)
{
    struct io io = {p, agent_socket, fd, -1, RETRY_FIRST_MS};

    while (!over(arg)) {
        struct pollfd f[3];
        bool retry;

        try_agent(&io);
        flush_all(&io);
        retry = io.agent < 0 && !lt_shim_pmi_refused(p);
        f[0] = (struct pollfd){.fd = wake, .events = POLLIN};
        f[1] = (struct pollfd){io.rank, wanted(lt_shim_pmi_room(p), lt_shim_pmi_to_rank(p)), 0};
        f[2] = (struct pollfd){io.agent, wanted(true, lt_shim_pmi_to_agent(p)), 0};
        if (!f[1].events) /* one that hung up would wake us again and again */
            f[1].fd = -1;
        if (poll(f, LT_ARRAY_LEN(f), retry ? io.retry_ms : -1) <= 0)
            continue;
        if (f[1].revents & ~POLLOUT)
            read_rank(&io);
        if (f[2].revents & ~POLLOUT)
            read_agent(&io);
    }
    if (io.rank >= 0)
        close(io.rank);
    if (io.agent >= 0)
        close(io.agent);
}
