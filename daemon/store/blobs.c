/* blobs.c - see blobs.h; temporary names are <dir>/blobs/tmp/N */
#include "daemon/store/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/sha256.h"

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
    int rc;

    if (n > w->max - w->size)
        return lt_error_set(err, -EFBIG, "blob: more than %llu bytes", (unsigned long long)w->max);
    rc = lt_file_write(w->fd, data, n, err);
    if (rc < 0)
        return rc;
    lt_sha256_add(w->hash, data, n);
    w->size += n;
    return 0;
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
    return hash_valid(hash) ? lt_format("%s/blobs/%.2s/%s", dir, hash, hash) : NULL;
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

int lt_blob_writer_finish(struct lt_blob_writer *writer, char hash[65], uint64_t *size,
                          struct lt_error *err)
{
    LT_AUTO(lt_blob_writer_close) struct lt_blob_writer *w = writer;
    char digest[65];
    int rc = lt_file_sync(w->fd, err);

    if (rc < 0)
        return rc;
    lt_sha256_hex(w->hash, digest);
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
