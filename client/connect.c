/* connect.c - finding the daemon
 *
 * --server or --socket, $LTD_SERVER, $LTD_SOCKET, the user's socket, /run/ltd/ltd.sock, in this
 * order; what is named is the only place that is looked at. Somebody must answer: a socket that
 * nobody listens on is as good as none. (connect_tcp.c: servers.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/embedded.h"
#include "rpc/client.h"
#include "sys/address.h"
#include "sys/file.h"
#include "sys/paths.h"

#define SYSTEM_SOCKET "/run/ltd/ltd.sock"

static int try_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(path) >= sizeof a.sun_path)
        return -ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    rc = connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

bool lt_embedded_answers(const char *socket)
{
    return try_socket(socket) == 0;
}

/* Where a daemon is, or should be. *asked: the user named it. */
static char *choose(const struct lt_ctl *ctl, bool *asked)
{
    const char *named = lt_ctl_string(ctl, "socket");
    char *users;

    if (!named)
        named = getenv("LTD_SOCKET");
    *asked = named && named[0];
    if (*asked)
        return lt_strdup(named);
    users = lt_path_user_socket();
    if (!lt_file_exists(SYSTEM_SOCKET) || try_socket(users) == 0) /* a try costs the daemon one, too */
        return users;
    lt_free(users);
    return lt_strdup(SYSTEM_SOCKET);
}

static int open_client(struct lt_ctl *ctl)
{
    LT_AUTO(lt_free) char *target = lt_format("unix:%s", ctl->socket);
    struct lt_error err = {0};

    if (lt_client_open(target, &ctl->client, &err) < 0)
        return lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE, "%s", err.text);
    return 0;
}

static int explain(const struct lt_ctl *ctl, int rc)
{
    if (rc == -EACCES || rc == -EPERM)
        return lt_ctl_fail(ctl, LT_EXIT_NOT_PERMITTED, "%s: %s; the daemon is another user's",
                           ctl->socket, strerror(-rc));
    if (rc == -ENOENT)
        return lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE,
                           "no daemon: %s doesn't exist; `ltctl run` or `submit` start one, `ltd` "
                           "runs one by hand",
                           ctl->socket);
    return lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE,
                       "no daemon answers at %s: %s; start `ltd`, or name another with --socket",
                       ctl->socket, strerror(-rc));
}

int lt_ctl_connect(struct lt_ctl *ctl)
{
    const char *server = lt_ctl_server(ctl);
    struct lt_error err = {0};
    bool asked;
    int rc;

    if (lt_ctl_string(ctl, "server") && lt_ctl_string(ctl, "socket"))
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--server and --socket name two daemons; say one");
    if (server)
        return lt_ctl_connect_tcp(ctl, server);
    if (lt_ctl_string(ctl, "token-file"))
        return lt_ctl_fail(ctl, LT_EXIT_USAGE,
                           "--token-file is for a server; name it with --server HOST:PORT");
    ctl->socket = choose(ctl, &asked);
    rc = try_socket(ctl->socket);
    if (rc == -ENOENT || rc == -ECONNREFUSED) {
        if ((ctl->verb->flags & LT_VERB_STARTS) || lt_embedded_wanted(ctl->socket))
            rc = lt_embedded_start(ctl->socket, true, &err);
        if (err.code)
            return lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE, "%s", err.text);
    }
    return rc < 0 ? explain(ctl, rc) : open_client(ctl);
}

bool lt_ctl_reconnect(struct lt_ctl *ctl)
{
    if (ctl->tcp)
        return lt_address_try(ctl->tcp) == 0;
    if (try_socket(ctl->socket) == 0)
        return true;
    return lt_embedded_wanted(ctl->socket) && lt_embedded_start(ctl->socket, isatty(2), NULL) == 0;
}
