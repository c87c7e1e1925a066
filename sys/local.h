/* local.h - Unix sockets at any path, also beyond sockaddr_un's 108 bytes */
#ifndef LT_SYS_LOCAL_H
#define LT_SYS_LOCAL_H

struct lt_error;

/* Bound, not listening yet, mode 0600; what was there is removed: the caller holds the lock of its folder. A descriptor
 * (non-blocking, close-on-exec), or -errno. */
int lt_local_bind(const char *path, struct lt_error *err);
/* A descriptor (non-blocking, close-on-exec), or -errno: -ENOENT, -ECONNREFUSED when nobody is there. */
int lt_local_connect(const char *path);

#endif
