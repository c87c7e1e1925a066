/* file.c - system calls behind a table that tests may replace
 *
 * Retries (EINTR, short writes) live above the table, so that a hook sees what a kernel would see.
 */
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/paths.h"

#define READ_CHUNK 65536

static int sys_open(const char *path, int flags, mode_t mode)
{
    int fd = open(path, flags, mode);

    return fd < 0 ? -errno : fd;
}

static ssize_t sys_pwrite(int fd, const void *buf, size_t n, off_t at)
{
    ssize_t done = at < 0 ? write(fd, buf, n) : pwrite(fd, buf, n, at);

    return done < 0 ? -errno : done;
}

static int sys_fsync(int fd)
{
    return fsync(fd) < 0 ? -errno : 0;
}

static int sys_fdatasync(int fd)
{
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int sys_rename(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : 0;
}

static int sys_unlink(const char *path)
{
    return unlink(path) < 0 ? -errno : 0;
}

static int sys_rmdir(const char *path)
{
    return rmdir(path) < 0 ? -errno : 0;
}

static int sys_mkdir(const char *path, mode_t mode)
{
    return mkdir(path, mode) < 0 ? -errno : 0;
}

static int sys_ftruncate(int fd, off_t size)
{
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

static const struct lt_file_hooks system_hooks = {
    .open = sys_open,
    .pwrite = sys_pwrite,
    .fsync = sys_fsync,
    .fdatasync = sys_fdatasync,
    .rename = sys_rename,
    .unlink = sys_unlink,
    .rmdir = sys_rmdir,
    .mkdir = sys_mkdir,
    .ftruncate = sys_ftruncate,
};
static struct lt_file_hooks hooks = {
    .open = sys_open,
    .pwrite = sys_pwrite,
    .fsync = sys_fsync,
    .fdatasync = sys_fdatasync,
    .rename = sys_rename,
    .unlink = sys_unlink,
    .rmdir = sys_rmdir,
    .mkdir = sys_mkdir,
    .ftruncate = sys_ftruncate,
};

void lt_file_set_hooks(const struct lt_file_hooks *h)
{
    hooks = h ? *h : system_hooks;
#define FILL(member) hooks.member = hooks.member ? hooks.member : system_hooks.member
    FILL(open);
    FILL(pwrite);
    FILL(fsync);
    FILL(fdatasync);
    FILL(rename);
    FILL(unlink);
    FILL(rmdir);
    FILL(mkdir);
    FILL(ftruncate);
#undef FILL
}

static int fail(struct lt_error *err, int rc, const char *what, const char *path)
{
    return lt_error_set(err, rc, "%s %s: %s", what, path, strerror(-rc));
}

/* The same for an open file: /proc knows its name. */
static int fail_fd(struct lt_error *err, int rc, const char *what, int fd)
{
    char link[40], path[PATH_MAX];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return lt_error_set(err, rc, "%s: %s", what, strerror(-rc));
    path[n] = '\0';
    return fail(err, rc, what, path);
}

int lt_file_open(const char *path, int flags, mode_t mode, struct lt_error *err)
{
    int fd;

    do
        fd = hooks.open(path, flags | O_CLOEXEC, mode);
    while (fd == -EINTR);
    return fd < 0 ? fail(err, fd, "open", path) : fd;
}

static int write_all(int fd, const char *p, size_t n, off_t at, struct lt_error *err)
{
    while (n) {
        ssize_t done = hooks.pwrite(fd, p, n, at);

        if (done == -EINTR)
            continue;
        if (done <= 0)
            return fail_fd(err, done < 0 ? (int)done : -EIO, "write", fd);
        p += done;
        n -= (size_t)done;
        if (at >= 0)
            at += done;
    }
    return 0;
}

int lt_file_write(int fd, const void *buf, size_t n, struct lt_error *err)
{
    return write_all(fd, buf, n, -1, err);
}

int lt_file_pwrite(int fd, const void *buf, size_t n, off_t at, struct lt_error *err)
{
    return write_all(fd, buf, n, at, err);
}

int lt_file_sync(int fd, struct lt_error *err)
{
    int rc = hooks.fsync(fd);

    return rc < 0 ? fail_fd(err, rc, "fsync", fd) : 0;
}

int lt_file_datasync(int fd, struct lt_error *err)
{
    int rc = hooks.fdatasync(fd);

    return rc < 0 ? fail_fd(err, rc, "fdatasync", fd) : 0;
}

void lt_file_write_behind(int fd, off_t at, size_t n)
{
    sync_file_range(fd, at, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

int lt_file_cut_front(int fd, off_t end, struct lt_error *err)
{
    if (end <= 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) == 0)
        return 0;
    return lt_error_set(err, -errno, "cutting its front off: %s", strerror(errno));
}

off_t lt_file_data_from(int fd, off_t at)
{
    off_t data = lseek(fd, at, SEEK_DATA);
    struct stat st;

    if (data >= 0)
        return data;
    return errno == ENXIO && fstat(fd, &st) == 0 && st.st_size > at ? st.st_size : at;
}

int lt_file_truncate(int fd, off_t size, struct lt_error *err)
{
    int rc;

    do
        rc = hooks.ftruncate(fd, size);
    while (rc == -EINTR);
    return rc < 0 ? fail_fd(err, rc, "truncate", fd) : 0;
}

int lt_file_rename(const char *from, const char *to, struct lt_error *err)
{
    int rc = hooks.rename(from, to);

    return rc < 0 ? lt_error_set(err, rc, "rename %s to %s: %s", from, to, strerror(-rc)) : 0;
}

int lt_file_unlink(const char *path, struct lt_error *err)
{
    int rc = hooks.unlink(path);

    return rc < 0 && rc != -ENOENT ? fail(err, rc, "unlink", path) : 0;
}

int lt_file_sync_dir(const char *dir, struct lt_error *err)
{
    int fd = lt_file_open(dir, O_RDONLY | O_DIRECTORY, 0, err);
    int rc;

    if (fd < 0)
        return fd;
    rc = hooks.fsync(fd);
    close(fd);
    if (rc == -EINVAL || rc == -ENOTSUP) /* some network file systems have no fsync of folders */
        rc = 0;
    return rc < 0 ? fail(err, rc, "fsync", dir) : 0;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_dirs(const char *path, mode_t mode, bool durable, struct lt_error *err)
{
    LT_AUTO(lt_free) char *parent = NULL;
    int rc = is_dir(path) ? -EEXIST : hooks.mkdir(path, mode);

    if (rc == -ENOENT) {
        parent = lt_path_dirname(path);
        if (lt_str_eq(parent, path))
            return fail(err, rc, "mkdir", path);
        rc = make_dirs(parent, mode, durable, err);
        if (rc < 0)
            return rc;
        rc = hooks.mkdir(path, mode);
    }
    if (rc == -EEXIST)
        return is_dir(path) ? 0 : lt_error_set(err, -ENOTDIR, "mkdir %s: not a folder", path);
    if (rc < 0)
        return fail(err, rc, "mkdir", path);
    if (!durable)
        return 0;
    if (!parent)
        parent = lt_path_dirname(path);
    return lt_file_sync_dir(parent, err);
}

int lt_file_mkdirs(const char *path, mode_t mode, struct lt_error *err)
{
    return make_dirs(path, mode, true, err);
}

int lt_file_make_dirs(const char *path, mode_t mode, struct lt_error *err)
{
    return make_dirs(path, mode, false, err);
}

static int remove_entries(const char *path, struct lt_error *err)
{
    int fd = lt_file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    int rc = 0;

    if (fd < 0)
        return fd;
    if (!dir) {
        rc = fail(err, -errno, "read folder", path);
        close(fd);
        return rc;
    }
    while (rc == 0 && (e = readdir(dir)) != NULL) {
        LT_AUTO(lt_free) char *child = NULL;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        child = lt_path_join(path, e->d_name);
        rc = lt_file_remove_tree(child, err);
    }
    closedir(dir);
    return rc;
}

int lt_file_remove_tree(const char *path, struct lt_error *err)
{
    struct stat st;
    int rc;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : fail(err, -errno, "stat", path);
    if (!S_ISDIR(st.st_mode))
        return lt_file_unlink(path, err);
    rc = remove_entries(path, err);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = hooks.rmdir(path);
    return rc < 0 && rc != -ENOENT ? fail(err, rc, "rmdir", path) : 0;
}

static int put(const char *path, const void *data, size_t n, mode_t mode, bool durable,
               struct lt_error *err)
{
    static atomic_uint counter;
    LT_AUTO(lt_free)
    char *tmp = lt_format("%s.tmp-%d-%u", path, (int)getpid(), atomic_fetch_add(&counter, 1u));
    int fd = lt_file_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, mode, err);
    int rc;

    if (fd < 0)
        return fd;
    rc = lt_file_write(fd, data, n, err);
    if (rc == 0 && durable)
        rc = lt_file_sync(fd, err);
    close(fd);
    if (rc == 0)
        rc = lt_file_rename(tmp, path, err);
    if (rc < 0)
        hooks.unlink(tmp);
    return rc;
}

int lt_file_replace(const char *path, const void *data, size_t n, mode_t mode, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = lt_path_dirname(path);
    int rc = put(path, data, n, mode, true, err);

    return rc < 0 ? rc : lt_file_sync_dir(dir, err);
}

int lt_file_put(const char *path, const void *data, size_t n, mode_t mode, struct lt_error *err)
{
    return put(path, data, n, mode, false, err);
}

int lt_file_read(const char *path, size_t max, struct lt_buf *out, struct lt_error *err)
{
    LT_BUF_AUTO got = {0};
    int fd = lt_file_open(path, O_RDONLY, 0, err);
    int rc = 0;

    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t n;

        lt_buf_reserve(&got, READ_CHUNK);
        n = read(fd, got.data + got.len, READ_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = fail(err, -errno, "read", path);
        if (n <= 0)
            break;
        got.len += (size_t)n;
        if (got.len > max) {
            rc = lt_error_set(err, -EFBIG, "%s: larger than %zu bytes", path, max);
            break;
        }
    }
    close(fd);
    if (rc == 0)
        lt_buf_append(out, got.data, got.len);
    return rc;
}

bool lt_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool lt_file_is_lack(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}
