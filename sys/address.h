/* address.h - HOST:PORT, as far as it may be used without TLS: this machine alone */
#ifndef LT_SYS_ADDRESS_H
#define LT_SYS_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

struct lt_error;

#define LT_ADDRESS_TEXT 64

struct lt_address {
    struct sockaddr_storage a;
    socklen_t len;
};

/* 127.x.y.z:PORT, [::1]:PORT, localhost:PORT (which is 127.0.0.1). Port 0: any free one, for
 * listening. Nothing is looked up. -EINVAL: not that form; -EPERM: an address that others could
 * reach, or a name. */
int lt_address_local(const char *text, struct lt_address *out, struct lt_error *err);
void lt_address_print(const struct lt_address *a, char out[LT_ADDRESS_TEXT]);
/* A listening socket, non-blocking; -EADDRINUSE. *a becomes what it is bound to. */
int lt_address_listen(struct lt_address *a, struct lt_error *err);
/* Does somebody listen there? 0 or -errno. */
int lt_address_try(const struct lt_address *a);

#endif
