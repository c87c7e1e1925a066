/* poke.c - ZeroMQ PUSH to the address in the attempt's `wake`, of its folder's name */
#include "tests/node/poke.h"

#include <string.h>
#include <zmq.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/attempt.h"
#include "sys/file.h"

void poke_agent(const char *dir)
{
    static void *socket;
    LT_AUTO(lt_free) char *path = lt_attempt_path(dir, "wake");
    LT_BUF_AUTO address = {0};
    const char *name = strrchr(dir, '/');
    int linger = 200;

    if (!socket && lt_file_read(path, 256, &address, NULL) == 0) {
        address.data[strcspn(address.data, "\n")] = 0;
        socket = zmq_socket(zmq_ctx_new(), ZMQ_PUSH);
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_connect(socket, address.data);
    }
    if (socket)
        zmq_send(socket, name ? name + 1 : dir, strlen(name ? name + 1 : dir), ZMQ_DONTWAIT);
}
