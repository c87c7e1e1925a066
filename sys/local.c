/* local.c - by way of the folder's descriptor: /proc/self/fd/N/name is short whatever the path is */
#include "sys/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "sys/paths.h"

/* The folder's descriptor, to be closed when the address was used. */
static int address_of(const char *path, struct sockaddr_un *out)
{
    LT_AUTO(lt_free) char *dir = lt_path_dirname(path);
    const char *slash = strrchr(path, '/');
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int n;

    if (fd < 0)
        return -errno;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    n = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", fd,
                 slash ? slash + 1 : path);
    if (n > 0 && (size_t)n < sizeof out->sun_path)
        return fd;
    close(fd);
    return -ENAMETOOLONG;
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

int lt_local_bind(const char *path, struct lt_error *err)
{
    struct sockaddr_un a;
    int dir = address_of(path, &a), fd, rc = 0;
    mode_t mask;

    if (dir < 0)
        return lt_error_set(err, dir, "socket %s: %s", path, strerror(-dir));
    fd = new_socket();
    if (fd < 0) {
        close(dir);
        return lt_error_set(err, fd, "socket %s: %s", path, strerror(-fd));
    }
    unlink(a.sun_path);
    mask = umask(0177);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
        rc = lt_error_set(err, -errno, "bind %s: %s", path, strerror(errno));
    umask(mask);
    close(dir);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

int lt_local_connect(const char *path)
{
    struct sockaddr_un a;
    int dir = address_of(path, &a), fd, rc = 0;

    if (dir < 0)
        return dir;
    fd = new_socket();
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        rc = -errno;
        close(fd);
    }
    close(dir);
    return rc < 0 ? rc : fd;
}
