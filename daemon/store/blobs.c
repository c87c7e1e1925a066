/* blobs.c - see blobs.h; temporary names are <dir>/blobs/tmp/N */
#include "daemon/store/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/paths.h"
#include "sys/sha256.h"

#define BEHIND (8ull << 20) /* the disk gets so much at a time, before the sync at the end */

struct lt_blob_writer {
    int fd;
    char *dir;
    char *temporary;
    struct lt_sha256 *hash;
    uint64_t size, max;
};

static char *temporary_dir(const char *dir)
{
    return lt_format("%s/blobs/tmp", dir);
}

int lt_blobs_open(const char *dir, struct lt_error *err)
{
    char *tmp = temporary_dir(dir);
    int rc = lt_file_exists(tmp) ? lt_file_remove_tree(tmp, err) : 0;

    if (rc == 0)
        rc = lt_file_mkdirs(tmp, 0700, err);
    lt_free(tmp);
    return rc;
}

int lt_blob_writer_open(const char *dir, uint64_t max, struct lt_blob_writer **out,
                        struct lt_error *err)
{
    static unsigned long long number;
    LT_AUTO(lt_blob_writer_close) struct lt_blob_writer *w = lt_calloc(1, sizeof *w);
    char *tmp = temporary_dir(dir);

    w->dir = lt_strdup(dir);
    w->max = max;
    w->temporary = lt_format("%s/%llu", tmp, ++number);
    w->hash = lt_sha256_new();
    w->fd = lt_file_open(w->temporary, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
    lt_free(tmp);
    if (w->fd < 0)
        return w->fd;
    *out = LT_TAKE(w);
    return 0;
}

int lt_blob_writer_add(struct lt_blob_writer *w, const void *data, size_t n, struct lt_error *err)
{
    const uint64_t at = w->size;

    int rc;

    if (n > w->max - w->size)
        return lt_error_set(err, -EFBIG, "blob: more than %llu bytes", (unsigned long long)w->max);
    rc = lt_file_write(w->fd, data, n, err);
    if (rc < 0)
        return rc;
    lt_sha256_add(w->hash, data, n);
    w->size += n;
    if (at / BEHIND != w->size / BEHIND)
        lt_file_write_behind(w->fd, (off_t)(at / BEHIND * BEHIND), BEHIND);
    return 0;
}

uint64_t lt_blob_writer_size(const struct lt_blob_writer *w)
{
    return w->size;
}

void lt_blob_writer_close(struct lt_blob_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary)
        lt_file_unlink(w->temporary, NULL);
    lt_sha256_free(w->hash);
    lt_free(w->temporary);
    lt_free(w->dir);
    lt_free(w);
}

static bool hash_valid(const char *hash)
{
    return strlen(hash) == 64 && strspn(hash, "0123456789abcdef") == 64;
}

char *lt_blob_path(const char *dir, const char *hash)
{
    return hash_valid(hash) ? lt_path_blob(dir, hash) : NULL;
}

/* The blob, then its name, then the name of a folder that may be new. */
static int move_into_place(struct lt_blob_writer *w, const char *hash, struct lt_error *err)
{
    char *root = lt_format("%s/blobs", w->dir), *folder = lt_format("%s/%.2s", root, hash);
    char *path = lt_blob_path(w->dir, hash);
    int rc = lt_file_mkdirs(folder, 0700, err);

    if (rc == 0)
        rc = lt_file_rename(w->temporary, path, err);
    if (rc == 0) {
        lt_free(w->temporary);
        w->temporary = NULL;
        rc = lt_file_sync_dir(folder, err);
    }
    if (rc == 0)
        rc = lt_file_sync_dir(root, err);
    lt_free(root);
    lt_free(folder);
    lt_free(path);
    return rc;
}

int lt_blob_writer_finish(struct lt_blob_writer *writer, const char *expected, char hash[65],
                          uint64_t *size, struct lt_error *err)
{
    LT_AUTO(lt_blob_writer_close) struct lt_blob_writer *w = writer;
    char digest[65];
    int rc;

    lt_sha256_hex(w->hash, digest);
    if (expected && strcmp(expected, digest) != 0)
        return lt_error_set(err, -EBADMSG,
                            "damaged on the way, or changed meanwhile: the content's SHA-256 is "
                            "%s, not %s",
                            digest, expected);
    rc = lt_file_sync(w->fd, err);
    if (rc < 0)
        return rc;
    rc = move_into_place(w, digest, err);
    if (rc < 0)
        return rc;
    memcpy(hash, digest, sizeof digest);
    *size = w->size;
    return 0;
}

int lt_blob_stat(const char *dir, const char *hash, uint64_t *size, struct lt_error *err)
{
    char *path = lt_blob_path(dir, hash);
    struct stat st;
    int rc = 0;

    if (!path)
        return lt_error_set(err, -EINVAL, "%.80s is not a SHA-256 in hexadecimal", hash);
    if (stat(path, &st) < 0)
        rc = lt_error_set(err, -errno, "blob %s: %s", hash, strerror(errno));
    else
        *size = (uint64_t)st.st_size;
    lt_free(path);
    return rc;
}

int lt_blob_own(const char *dir, const char *hash, uint32_t uid, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_blob_path(dir, hash);
    LT_AUTO(lt_free) char *owner = lt_format("%s.%u", path ? path : "", uid);
    LT_AUTO(lt_free) char *folder = path ? lt_path_dirname(path) : NULL;
    int fd;

    if (!path)
        return lt_error_set(err, -EINVAL, "%.80s is not a SHA-256 in hexadecimal", hash);
    if (uid == 0 || lt_file_exists(owner))
        return 0;
    fd = lt_file_open(owner, O_WRONLY | O_CREAT, 0600, err);
    if (fd < 0)
        return fd;
    close(fd);
    return lt_file_sync_dir(folder, err);
}

int lt_blob_stat_owned(const char *dir, const char *hash, uint32_t uid, uint64_t *size,
                       struct lt_error *err)
{
    int rc = lt_blob_stat(dir, hash, size, err);

    if (rc < 0 || uid == 0)
        return rc;
    LT_AUTO(lt_free) char *path = lt_blob_path(dir, hash);
    LT_AUTO(lt_free) char *owner = lt_format("%s.%u", path, uid);

    return lt_file_exists(owner) ? 0
                                 : lt_error_set(err, -ENOENT, "blob %s: %s", hash, strerror(ENOENT));
}

void lt_blob_touch(const char *dir, const char *hash)
{
    LT_AUTO(lt_free) char *path = lt_blob_path(dir, hash);
    uint64_t now = lt_clock_wall_ns();
    const struct timespec t = {(time_t)(now / 1000000000u), (long)(now % 1000000000u)};

    if (path)
        utimensat(AT_FDCWD, path, (const struct timespec[2]){t, t}, 0);
}

/* ---- sweep */

struct sweep {
    const char *dir;
    lt_blob_keep_fn *keep;
    void *arg;
    int64_t now_s;
};

/* The blob last: a crash in between leaves one that nobody owns, and the next sweep finds. */
static int remove_blob(const char *folder, const char *hash, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_path_join(folder, hash);
    const struct dirent *e;
    DIR *d = opendir(folder);
    int rc = 0;

    while (d && rc == 0 && (e = readdir(d))) {
        if (!lt_str_starts(e->d_name, hash) || e->d_name[strlen(hash)] != '.')
            continue;
        LT_AUTO(lt_free) char *owner = lt_path_join(folder, e->d_name);
        rc = lt_file_unlink(owner, err);
    }
    if (d)
        closedir(d);
    return rc == 0 ? lt_file_unlink(path, err) : rc;
}

static int sweep_folder(const struct sweep *s, const char *folder, struct lt_error *err)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    int rc = 0;

    while (d && rc == 0 && (e = readdir(d))) {
        struct stat st;

        if (!hash_valid(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!s->keep(s->arg, e->d_name, s->now_s - (int64_t)st.st_mtim.tv_sec))
            rc = remove_blob(folder, e->d_name, err);
    }
    if (d)
        closedir(d);
    return rc;
}

int lt_blobs_sweep(const char *dir, lt_blob_keep_fn *keep, void *arg, struct lt_error *err)
{
    const struct sweep s = {dir, keep, arg, (int64_t)(lt_clock_wall_ns() / 1000000000u)};
    LT_AUTO(lt_free) char *root = lt_path_join(dir, "blobs");
    DIR *d = opendir(root);
    const struct dirent *e;
    int rc = 0;

    if (!d)
        return lt_error_set(err, -errno, "%s: %s", root, strerror(errno));
    while (rc == 0 && (e = readdir(d))) {
        if (strlen(e->d_name) != 2 || strspn(e->d_name, "0123456789abcdef") != 2)
            continue;
        LT_AUTO(lt_free) char *folder = lt_path_join(root, e->d_name);
        rc = sweep_folder(&s, folder, err);
    }
    closedir(d);
    return rc;
}
