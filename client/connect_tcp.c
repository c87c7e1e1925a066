/* connect_tcp.c - a daemon that listens on TCP: its address, and the token that opens it
 *
 * Nothing is started here, and nothing else is tried: who names a server means it. An address that
 * isn't this machine's is refused before a token is sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "rpc/client.h"
#include "sys/address.h"
#include "sys/token.h"

const char *lt_ctl_server(const struct lt_ctl *ctl)
{
    const char *server = lt_ctl_string(ctl, "server");

    if (!server && !lt_ctl_string(ctl, "socket"))
        server = getenv("LTD_SERVER");
    return server && server[0] ? server : NULL;
}

static int read_token(const struct lt_ctl *ctl, struct lt_buf *token)
{
    const char *path = lt_ctl_string(ctl, "token-file");
    struct lt_error err = {0};
    int rc;

    if (!path)
        path = getenv("LTD_TOKEN_FILE");
    if (!path || !path[0])
        return lt_ctl_fail(ctl, LT_EXIT_USAGE,
                           "a server wants a token: --token-file FILE, or LTD_TOKEN_FILE");
    rc = lt_token_read(path, token, &err);
    if (rc < 0)
        return lt_ctl_fail(ctl,
                           rc == -ENOENT   ? LT_EXIT_NOT_FOUND
                           : rc == -EACCES ? LT_EXIT_NOT_PERMITTED
                                           : LT_EXIT_ERROR,
                           "%s", err.text);
    return 0;
}

static int open_client(struct lt_ctl *ctl, const char *token)
{
    struct lt_error err = {0};

    if (lt_client_open(ctl->socket, &ctl->client, &err) < 0)
        return lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE, "%s", err.text);
    lt_client_set_token(ctl->client, token);
    return 0;
}

int lt_ctl_connect_tcp(struct lt_ctl *ctl, const char *server)
{
    struct lt_error err = {0};
    LT_BUF_AUTO token = {0};
    char text[LT_ADDRESS_TEXT];
    int rc;

    ctl->tcp = lt_arena_alloc(ctl->arena, sizeof *ctl->tcp);
    if (lt_address_local(server, ctl->tcp, &err) < 0)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "server %s", err.text);
    rc = read_token(ctl, &token);
    if (rc)
        return rc;
    lt_address_print(ctl->tcp, text);
    ctl->socket = lt_strdup(text);
    rc = lt_address_try(ctl->tcp);
    if (rc == 0)
        rc = open_client(ctl, token.data);
    else
        rc = lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE,
                         "no daemon answers at %s: %s; `ltd --listen %s --token-file FILE` does",
                         text, strerror(-rc), text);
    explicit_bzero(token.data, token.len);
    return rc;
}
