/* lock.c - flock(2) and /proc
 *
 * Asking whether a lock is held takes it, shared and for an instant. Whoever wants it and is refused therefore
 * asks, too: when a shared lock is to be had, only other askers stood in the way, and it tries again.
 *
 * A lock outlives its holder where that was killed just after a fork: the child has it until it becomes another
 * program, or dies. Whoever is refused by a dead holder waits for that, too.
 */
#include "sys/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "sys/file.h"

/* <sys/file.h> declares it, but that name is ours in this tree; fcntl.h has the constants. */
extern int flock(int fd, int operation);

#define TRIES 5000 /* against askers, and children of the dead */
#define TRY_PAUSE_NS 1000000

static int lock_now(int fd, int how)
{
    int rc;

    do
        rc = flock(fd, how | LOCK_NB) < 0 ? -errno : 0;
    while (rc == -EINTR);
    return rc;
}

/* Does the path still name the file that we locked? */
static bool same_file(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

struct stat_fields {
    char state;                     /* field 3 */
    long threads;                   /* 20 */
    unsigned long long start_ticks; /* 22 */
};

/* The fields stand behind the last ')', as a name may hold anything. */
static int read_stat(pid_t pid, struct stat_fields *out)
{
    char path[40], text[1024], *p;
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ESRCH;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -ESRCH;
    text[n] = '\0';
    p = strrchr(text, ')');
    if (!p || sscanf(p + 1,
                     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d "
                     "%llu",
                     &out->state, &out->threads, &out->start_ticks) != 3)
        return -EPROTO;
    return 0;
}

/* A first thread that has ended is a zombie while others still run, and hold files and locks. */
static bool is_dead(const struct stat_fields *stat)
{
    return stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
}

static void read_holder(int fd, char text[32])
{
    ssize_t n = pread(fd, text, 31, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static bool holder_is_dead(int fd)
{
    struct stat_fields stat;
    char text[32];
    pid_t pid;

    read_holder(fd, text);
    pid = (pid_t)strtol(text, NULL, 10);
    return pid > 0 && (read_stat(pid, &stat) < 0 || is_dead(&stat));
}

/* True: nobody holds it who was meant to. */
static bool is_passing(int fd)
{
    bool askers = lock_now(fd, LOCK_SH) == 0;

    if (askers)
        lock_now(fd, LOCK_UN);
    return askers || holder_is_dead(fd);
}

static int lock_exclusive(int fd)
{
    int rc = -EWOULDBLOCK;

    for (int i = 0; i < TRIES; i++) {
        rc = lock_now(fd, LOCK_EX);
        if (rc != -EWOULDBLOCK || !is_passing(fd))
            break;
        nanosleep(&(struct timespec){0, TRY_PAUSE_NS}, NULL);
    }
    return rc;
}

static int held_error(int fd, const char *path, struct lt_error *err)
{
    char text[32];

    read_holder(fd, text);
    return lt_error_set(err, -EWOULDBLOCK, "%s is held by process %s", path,
                        text[0] ? text : "(unknown)");
}

int lt_lock_take(const char *path, struct lt_error *err)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int rc;
        char text[24];
        int n;

        if (fd < 0)
            return lt_error_set(err, -errno, "open %s: %s", path, strerror(errno));
        rc = lock_exclusive(fd);
        if (rc < 0) {
            rc = rc == -EWOULDBLOCK ? held_error(fd, path, err)
                                    : lt_error_set(err, rc, "lock %s: %s", path, strerror(-rc));
            close(fd);
            return rc;
        }
        if (!same_file(fd, path)) { /* removed or replaced between open and lock */
            close(fd);
            continue;
        }
        n = snprintf(text, sizeof text, "%d\n", (int)getpid());
        /* The number is for people; a full disk must not keep us from holding the lock. */
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
            errno = 0;
        return fd;
    }
}

bool lt_lock_held(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool held;

    if (fd < 0) /* who can't look hasn't seen that it is free */
        return lt_file_is_lack(-errno);
    held = lock_now(fd, LOCK_SH) == -EWOULDBLOCK;
    close(fd);
    return held;
}

static int read_boot_id(char out[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = read(fd, out, 39);
    close(fd);
    if (n < 0)
        return -EIO;
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return 0;
}

int lt_identity_of(pid_t pid, struct lt_identity *out)
{
    struct lt_identity id = {.pid = pid};
    struct stat_fields stat;
    int rc = read_stat(pid, &stat);

    if (rc == 0)
        rc = read_boot_id(id.boot_id);
    if (rc < 0)
        return rc;
    id.start_ticks = stat.start_ticks;
    *out = id;
    return 0;
}

bool lt_identity_alive(const struct lt_identity *id)
{
    struct stat_fields stat;
    char boot_id[40];

    if (id->pid <= 0 || read_stat(id->pid, &stat) < 0 || read_boot_id(boot_id) < 0)
        return false;
    if (stat.start_ticks != id->start_ticks || strcmp(boot_id, id->boot_id) != 0)
        return false;
    return !is_dead(&stat);
}
