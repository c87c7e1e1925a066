/* address.c - see address.h; the port isn't shared: two daemons never listen on one */
#include "sys/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"

#define HOST_MAX 256

/* "[::1]:70" → "::1" and 70. */
static int split(const char *text, char host[HOST_MAX], uint64_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;

    if (!colon || n == 0 || n >= HOST_MAX || lt_parse_u64(colon + 1, port) < 0 || *port > 65535)
        return -EINVAL;
    if (text[0] == '[' && text[n - 1] == ']') {
        memcpy(host, text + 1, n - 2);
        host[n - 2] = 0;
        return strchr(host, ':') ? 0 : -EINVAL;
    }
    memcpy(host, text, n);
    host[n] = 0;
    return strpbrk(host, ":[]") ? -EINVAL : 0;
}

static bool set_local(struct lt_address *out, const char *host, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->a;

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out->len = sizeof *v4;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out->len = sizeof *v6;
    return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

int lt_address_local(const char *text, struct lt_address *out, struct lt_error *err)
{
    char host[HOST_MAX];
    uint64_t port;

    if (split(text, host, &port) < 0)
        return lt_error_set(err, -EINVAL, "`%.200s` isn't HOST:PORT; 127.0.0.1:7070, [::1]:7070",
                            text);
    if (!set_local(out, host, (uint16_t)port))
        return lt_error_set(err, -EPERM,
                            "%.200s: without TLS only this machine's own addresses (127.0.0.1, "
                            "[::1], localhost): a token would be readable on the way; `ssh -L` "
                            "brings one here",
                            text);
    return 0;
}

void lt_address_print(const struct lt_address *a, char out[LT_ADDRESS_TEXT])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->a;
    char host[INET6_ADDRSTRLEN] = "";

    if (a->a.ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, LT_ADDRESS_TEXT, "%s:%u", host, ntohs(v4->sin_port));
    } else {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(out, LT_ADDRESS_TEXT, "[%s]:%u", host, ntohs(v6->sin6_port));
    }
}

int lt_address_listen(struct lt_address *a, struct lt_error *err)
{
    int fd = socket(a->a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, rc = 0;
    char text[LT_ADDRESS_TEXT];

    lt_address_print(a, text);
    if (fd < 0)
        return lt_error_set(err, -errno, "listen on %s: %s", text, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* connections that linger */
    if (bind(fd, (struct sockaddr *)&a->a, a->len) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&a->a, &a->len) < 0)
        rc = lt_error_set(err, -errno, "listen on %s: %s", text, strerror(errno));
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

int lt_address_try(const struct lt_address *a)
{
    int fd = socket(a->a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    if (fd < 0)
        return -errno;
    rc = connect(fd, (const struct sockaddr *)&a->a, a->len) < 0 ? -errno : 0;
    close(fd);
    return rc;
}
