/* wake.c - see wake.h */
#include "engine/worker/wake.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <zmq.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "sys/attempt.h"
#include "sys/file.h"

#define LIBRARY "libzmq.so.5"
#define ADDRESS_MAX 512
#define QUEUE 16

struct lt_wake {
    char *dir;
    const char *name; /* its last part */
    bool tried;
    void *context, *socket; /* socket NULL: nobody to tell */
    __typeof__(zmq_ctx_new) *ctx_new;
    __typeof__(zmq_socket) *make_socket;
    __typeof__(zmq_setsockopt) *set;
    __typeof__(zmq_connect) *connect;
    __typeof__(zmq_send) *send;
    __typeof__(zmq_close) *close;
    __typeof__(zmq_ctx_term) *term;
};

struct lt_wake *lt_wake_new(const char *attempt_dir)
{
    struct lt_wake *w = lt_calloc(1, sizeof *w);

    w->dir = lt_strdup(attempt_dir);
    w->name = strrchr(w->dir, '/') ? strrchr(w->dir, '/') + 1 : w->dir;
    return w;
}

static bool load(struct lt_wake *w)
{
    void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* stays: its threads do */
    const struct {
        void **to;
        const char *name;
    } wanted[] = {
        {(void **)&w->ctx_new, "zmq_ctx_new"}, {(void **)&w->make_socket, "zmq_socket"},
        {(void **)&w->set, "zmq_setsockopt"},  {(void **)&w->connect, "zmq_connect"},
        {(void **)&w->send, "zmq_send"},       {(void **)&w->close, "zmq_close"},
        {(void **)&w->term, "zmq_ctx_term"},
    };

    for (size_t i = 0; lib && i < LT_ARRAY_LEN(wanted); i++) {
        *wanted[i].to = dlsym(lib, wanted[i].name);
        if (!*wanted[i].to)
            return false;
    }
    return lib != NULL;
}

static void open_socket(struct lt_wake *w)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(w->dir, "wake");
    LT_BUF_AUTO address = {0};
    int queue = QUEUE, linger = 0;
    void *socket;

    w->tried = true;
    if (lt_file_read(path, ADDRESS_MAX, &address, NULL) < 0 || !address.data || !load(w))
        return;
    address.data[strcspn(address.data, "\n")] = 0;
    w->context = w->ctx_new();
    socket = w->context ? w->make_socket(w->context, ZMQ_PUSH) : NULL;
    if (!socket)
        return;
    w->set(socket, ZMQ_SNDHWM, &queue, sizeof queue);
    w->set(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (w->connect(socket, address.data) == 0)
        w->socket = socket;
    else
        w->close(socket);
}

void lt_wake_poke(struct lt_wake *w)
{
    if (!w->tried)
        open_socket(w);
    if (w->socket)
        w->send(w->socket, w->name, strlen(w->name), ZMQ_DONTWAIT);
}

void lt_wake_free(struct lt_wake *w)
{
    if (!w)
        return;
    if (w->socket)
        w->close(w->socket);
    if (w->context)
        w->term(w->context);
    lt_free(w->dir);
    lt_free(w);
}
