/* token.c - see token.h
 *
 * What is compared are SHA-256 digests, all of them, to their ends: the time says nothing about how
 * much of a guess was right, or which line it was.
 */
#include "sys/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/sha256.h"

#define FILE_MAX (64u << 10)
#define DIGEST 65

struct lt_tokens {
    char *path;
    struct stat seen;
    char (*digests)[DIGEST];
    size_t n, cap;
};

/* Is the line a token? 0: it is none (empty, comment). */
static int line_kind(const char *line, size_t n)
{
    if (n == 0 || line[0] == '#')
        return 0;
    for (size_t i = 0; i < n; i++)
        if (line[i] <= ' ' || line[i] > '~')
            return -EINVAL;
    return n < LT_TOKEN_MIN || n > LT_TOKEN_MAX ? -EINVAL : 1;
}

struct line {
    const char *at, *next;
    size_t n;
};

static bool next_line(const struct lt_buf *text, struct line *l)
{
    const char *end, *newline;

    if (!text->data)
        return false;
    end = text->data + text->len;
    l->at = l->next ? l->next : text->data;
    if (l->at >= end)
        return false;
    newline = memchr(l->at, '\n', (size_t)(end - l->at));
    l->next = newline ? newline + 1 : end;
    l->n = (size_t)((newline ? newline : end) - l->at);
    if (l->n && l->at[l->n - 1] == '\r')
        l->n--;
    return true;
}

static int bad_line(const char *path, int number, struct lt_error *err)
{
    return lt_error_set(err, -EINVAL,
                        "token file %s, line %d: a token has %d to %d printable characters and no "
                        "space",
                        path, number, LT_TOKEN_MIN, LT_TOKEN_MAX);
}

int lt_token_read(const char *path, struct lt_buf *out, struct lt_error *err)
{
    LT_BUF_AUTO text = {0};
    struct line l = {0};
    int rc = lt_file_read(path, FILE_MAX, &text, err);

    if (rc < 0) {
        lt_error_prefix(err, "token file");
        return rc;
    }
    for (int number = 1; next_line(&text, &l); number++) {
        rc = line_kind(l.at, l.n);
        if (rc < 0)
            return bad_line(path, number, err);
        if (rc > 0) {
            lt_buf_append(out, l.at, l.n);
            return 0;
        }
    }
    return lt_error_set(err, -ENODATA, "token file %s: there is no token in it", path);
}

static int digest_lines(struct lt_tokens *t, const struct lt_buf *text, struct lt_error *err)
{
    struct line l = {0};

    for (int number = 1; next_line(text, &l); number++) {
        int kind = line_kind(l.at, l.n);

        if (kind < 0)
            return bad_line(t->path, number, err);
        if (kind == 0)
            continue;
        LT_GROW(t->digests, t->n, t->cap);
        lt_sha256_hex_of(l.at, l.n, t->digests[t->n++]);
    }
    return t->n ? 0
                : lt_error_set(err, -ENODATA, "token file %s: there is no token in it", t->path);
}

static int read_all(int fd, struct lt_buf *out)
{
    char chunk[4096];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) > 0 && out->len < FILE_MAX)
        lt_buf_append(out, chunk, (size_t)n);
    return n < 0 ? -errno : out->len >= FILE_MAX ? -EFBIG : 0;
}

/* From the very file that was looked at. */
static int load_fd(struct lt_tokens *t, int fd, struct lt_error *err)
{
    LT_BUF_AUTO text = {0};
    int rc;

    if (fstat(fd, &t->seen) < 0)
        return lt_error_set(err, -errno, "token file %s: %s", t->path, strerror(errno));
    if (!S_ISREG(t->seen.st_mode))
        return lt_error_set(err, -EINVAL, "token file %s: is no file", t->path);
    if (t->seen.st_uid != 0 && t->seen.st_uid != geteuid())
        return lt_error_set(err, -EPERM, "token file %s belongs to user %u; it must be your own",
                            t->path, (unsigned)t->seen.st_uid);
    if (t->seen.st_mode & 077)
        return lt_error_set(err, -EPERM,
                            "token file %s: others may use it (mode %03o); chmod 600 it", t->path,
                            (unsigned)t->seen.st_mode & 0777);
    rc = read_all(fd, &text);
    if (rc < 0)
        return lt_error_set(err, rc, "token file %s: %s", t->path, strerror(-rc));
    rc = digest_lines(t, &text, err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    return rc;
}

static int load(struct lt_tokens *t, struct lt_error *err)
{
    int fd, rc;

    t->n = 0;
    memset(&t->seen, 0, sizeof t->seen);
    fd = lt_file_open(t->path, O_RDONLY | O_NONBLOCK, 0, err);
    if (fd < 0)
        return lt_error_set(err, fd,
                            "token file %s: %s; (umask 077; head -c 32 /dev/urandom | base64 > %s) "
                            "makes one",
                            t->path, strerror(-fd), t->path);
    rc = load_fd(t, fd, err);
    close(fd);
    if (rc < 0)
        t->n = 0;
    return rc;
}

int lt_tokens_open(const char *path, struct lt_tokens **out, struct lt_error *err)
{
    struct lt_tokens *t = lt_calloc(1, sizeof *t);
    int rc;

    t->path = lt_strdup(path);
    rc = load(t, err);
    if (rc < 0)
        lt_tokens_close(t);
    else
        *out = t;
    return rc;
}

void lt_tokens_close(struct lt_tokens *t)
{
    if (!t)
        return;
    lt_free(t->digests);
    lt_free(t->path);
    lt_free(t);
}

static bool has_changed(const struct lt_tokens *t)
{
    const struct stat *a = &t->seen;
    struct stat b;

    if (stat(t->path, &b) < 0)
        return a->st_ino != 0;
    return a->st_ino != b.st_ino || a->st_dev != b.st_dev || a->st_size != b.st_size ||
           a->st_mode != b.st_mode || a->st_uid != b.st_uid ||
           a->st_ctim.tv_sec != b.st_ctim.tv_sec || a->st_ctim.tv_nsec != b.st_ctim.tv_nsec;
}

static bool same_digest(const char *a, const char *b)
{
    unsigned char different = 0;

    for (int i = 0; i < DIGEST; i++)
        different |= (unsigned char)(a[i] ^ b[i]);
    return different == 0;
}

bool lt_tokens_match(struct lt_tokens *t, const char *token, size_t n)
{
    struct lt_error err = {0};
    char digest[DIGEST];
    bool found = false;

    if (has_changed(t)) {
        if (load(t, &err) < 0)
            lt_warning("nobody gets in by a token: %s", err.text);
        else
            lt_info("token file %s read anew: %zu token%s", t->path, t->n, t->n == 1 ? "" : "s");
    }
    if (n > LT_TOKEN_MAX)
        return false;
    lt_sha256_hex_of(token, n, digest);
    for (size_t i = 0; i < t->n; i++)
        found |= same_digest(digest, t->digests[i]);
    return found;
}
