/* mapped.c - data files in memory, and the cache of decoded ones
 *
 * The cache is only ever added to, by a temporary file that is synced and renamed: two processes
 * that decode the same file at once write the same bytes under the same name. An entry of by-file
 * that names a missing or shorter object counts as absent.
 */
#include "engine/data/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/paths.h"
#include "sys/sha256.h"

#define CHUNK (1u << 20)

static int map_file(const char *path, const uint8_t **data, size_t *size, struct stat *st,
                    struct lt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = NULL;
    int rc = 0;

    if (fd < 0)
        return lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, st) < 0)
        rc = lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st->st_mode))
        rc = lt_error_set(err, -EINVAL, "%s: not a regular file", path);
    else if (st->st_size &&
             (p = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        rc = lt_error_set(err, -errno, "%s: cannot be mapped: %s", path, strerror(errno));
    close(fd);
    if (rc < 0)
        return rc;
    *data = p;
    *size = (size_t)st->st_size;
    return 0;
}

/* The name under by-file of this state of this file. */
static char *state_path(const struct lt_mapped_config *c, const char *path, const struct stat *st)
{
    LT_BUF_AUTO key = {0};
    char hex[65];

    lt_buf_printf(&key, "%s|%" PRIu64 "|%" PRIu64 "|%" PRId64 "|%" PRId64 ".%09ld", path,
                  (uint64_t)st->st_dev, (uint64_t)st->st_ino, (int64_t)st->st_size,
                  (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    lt_sha256_hex_of(key.data, key.len, hex);
    return lt_format("%s/decoded/by-file/%s", c->cache_dir, hex);
}

static char *object_path(const struct lt_mapped_config *c, const char *digest)
{
    return lt_format("%s/decoded/%s", c->cache_dir, digest);
}

/* by-file entry: "DIGEST SIZE\n". Maps the object it names. */
static bool cache_find(const struct lt_mapped_config *c, const char *state, struct lt_mapped *out)
{
    LT_BUF_AUTO text = {0};
    LT_AUTO(lt_free) char *object = NULL;
    char digest[65];
    uint64_t size;
    struct stat st;

    if (lt_file_read(state, 256, &text, NULL) < 0 || !text.data ||
        sscanf(text.data, "%64[0-9a-f] %" SCNu64, digest, &size) != 2)
        return false;
    object = object_path(c, digest);
    if (stat(object, &st) < 0 || (uint64_t)st.st_size != size)
        return false;
    return map_file(object, &out->data, &out->size, &st, NULL) == 0;
}

static int inflate_error(int code, const z_stream *z, const char *path, struct lt_error *err)
{
    if (code == Z_BUF_ERROR || code == Z_OK)
        return lt_error_set(err, -EPROTO, "%s: damaged gzip file: it ends too early", path);
    return lt_error_set(err, -EPROTO, "%s: damaged gzip file at byte %lu: %s", path, z->total_in,
                        z->msg ? z->msg : zError(code));
}

struct decoder {
    const struct lt_mapped_config *c;
    const char *path;
    z_stream z;
    const uint8_t *src;
    size_t n, at; /* compressed bytes, and how many zlib was given */
    uint64_t out;
    int fd;
    uint8_t *chunk;
    int percent;
};

static void decode_progress(struct decoder *d)
{
    int percent = (int)((double)(d->at - d->z.avail_in) / (double)d->n * 100);

    if (!d->c->progress || percent < d->percent + 10)
        return;
    d->percent = percent;
    LT_AUTO(lt_free) char *text = lt_format("decoding %s: %d %%", d->path, percent);
    d->c->progress(d->c->arg, text);
}

/* One chunk of output. 1: the member ended. */
static int decode_chunk(struct decoder *d, struct lt_error *err)
{
    int code;

    if (!d->z.avail_in && d->at < d->n) {
        d->z.next_in = (Bytef *)(uintptr_t)(d->src + d->at);
        d->z.avail_in = (uInt)LT_MIN(d->n - d->at, (size_t)CHUNK);
        d->at += d->z.avail_in;
    }
    d->z.next_out = d->chunk;
    d->z.avail_out = CHUNK;
    code = inflate(&d->z, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END)
        return inflate_error(code, &d->z, d->path, err);
    size_t got = CHUNK - d->z.avail_out;
    if (!got && !d->z.avail_in && d->at == d->n && code == Z_OK)
        return inflate_error(code, &d->z, d->path, err);
    d->out += got;
    if (d->out > LT_DECODED_MAX)
        return lt_error_set(err, -EFBIG, "%s: inflates to more than %" PRIu64 " bytes", d->path,
                            LT_DECODED_MAX);
    int rc = lt_file_write(d->fd, d->chunk, got, err);
    if (rc < 0)
        return rc;
    lt_file_write_behind(d->fd, (off_t)(d->out - got), got);
    decode_progress(d);
    return code == Z_STREAM_END;
}

/* All members of the file (gzip allows several). */
static int decode_all(struct decoder *d, struct lt_error *err)
{
    int rc;

    for (;;) {
        while ((rc = decode_chunk(d, err)) == 0)
            ;
        if (rc < 0)
            return rc;
        if (!d->z.avail_in && d->at == d->n)
            return 0;
        if (inflateReset(&d->z) != Z_OK)
            return lt_error_set(err, -EPROTO, "%s: damaged gzip file", d->path);
    }
}

static int decode_to(const struct lt_mapped_config *c, const char *path, const uint8_t *src,
                     size_t n, int fd, uint64_t *size, struct lt_error *err)
{
    struct decoder d = {.c = c, .path = path, .src = src, .n = n, .fd = fd};
    int rc;

    if (inflateInit2(&d.z, 15 + 16) != Z_OK) /* 16: gzip framing */
        return lt_error_set(err, -ENOMEM, "%s: zlib is out of memory", path);
    d.chunk = lt_malloc(CHUNK);
    rc = decode_all(&d, err);
    *size = d.out;
    lt_free(d.chunk);
    inflateEnd(&d.z);
    return rc;
}

/* Decodes into the cache under a temporary name, syncs, renames. */
static int cache_add(const struct lt_mapped_config *c, const char *path, const uint8_t *src,
                     size_t n, const char *digest, uint64_t *size, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = lt_format("%s/decoded", c->cache_dir);
    LT_AUTO(lt_free) char *object = object_path(c, digest);
    LT_AUTO(lt_free) char *tmp = lt_format("%s.%d.tmp", object, (int)getpid());
    int fd, rc = lt_file_mkdirs(dir, 0700, err);

    if (rc < 0)
        return rc;
    fd = lt_file_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600, err);
    if (fd < 0)
        return fd;
    rc = decode_to(c, path, src, n, fd, size, err);
    if (rc == 0)
        rc = lt_file_sync(fd, err);
    close(fd);
    if (rc == 0)
        rc = lt_file_rename(tmp, object, err);
    if (rc == 0)
        rc = lt_file_sync_dir(dir, err);
    if (rc < 0)
        lt_file_unlink(tmp, NULL);
    return rc;
}

static int cache_note(const struct lt_mapped_config *c, const char *state, const char *digest,
                      uint64_t size, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = lt_format("%s/decoded/by-file", c->cache_dir);
    LT_AUTO(lt_free) char *text = lt_format("%s %" PRIu64 "\n", digest, size);
    int rc = lt_file_mkdirs(dir, 0700, err);

    return rc < 0 ? rc : lt_file_replace(state, text, strlen(text), 0600, err);
}

static int open_compressed(const struct lt_mapped_config *c, struct lt_mapped *out,
                           struct lt_error *err)
{
    LT_AUTO(lt_free) char *state = NULL, *object = NULL;
    const uint8_t *src = NULL;
    char digest[65];
    struct stat st;
    uint64_t size = 0;
    size_t n;
    int rc;

    if ((rc = map_file(out->path, &src, &n, &st, err)) < 0)
        return rc;
    state = state_path(c, out->path, &st);
    if (!cache_find(c, state, out)) {
        lt_sha256_hex_of(src, n, digest);
        object = object_path(c, digest);
        rc = cache_add(c, out->path, src, n, digest, &size, err);
        if (rc == 0)
            rc = cache_note(c, state, digest, size, err);
        if (rc == 0)
            rc = map_file(object, &out->data, &out->size, &st, err);
    }
    if (src)
        munmap((void *)(uintptr_t)src, n);
    return rc;
}

int lt_mapped_open(const struct lt_mapped_config *c, const char *dir, const char *name,
                   struct lt_mapped *out, struct lt_error *err)
{
    struct lt_mapped m = {.path = lt_path_join(dir, name)};
    struct stat st;
    int rc;

    if (stat(m.path, &st) == 0) {
        rc = map_file(m.path, &m.data, &m.size, &st, err);
    } else {
        LT_AUTO(lt_free) char *plain = m.path;

        m.path = lt_format("%s.gz", plain);
        if (stat(m.path, &st) == 0)
            rc = open_compressed(c, &m, err);
        else
            rc = lt_error_set(err, -errno, "%s: neither this file nor %s.gz: %s", plain, name,
                              strerror(errno));
    }
    if (rc < 0)
        lt_mapped_done(&m);
    else
        *out = m;
    return rc;
}

void lt_mapped_done(struct lt_mapped *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
    lt_free(m->path);
    *m = (struct lt_mapped){0};
}
