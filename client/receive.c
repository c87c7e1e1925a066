/* receive.c - files of a Download stream
 *
 * Each file gets its name when all of it is there and durable; a stream that doesn't say that it is
 * over leaves the unfinished one under its temporary name, and an error.
 */
#include "client/receive.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/stream.h"
#include "sys/file.h"
#include "sys/paths.h"

struct target {
    struct lt_ctl *ctl;
    const Lt__V1__DownloadRequest *request;
    const char *dir, *as;
    int fd;
    char *path, *temporary;
    uint64_t size, written;
    unsigned files;
    bool ended;
};

static const ProtobufCMessage *request(void *arg, ProtobufCBinaryData cursor)
{
    const struct target *t = arg;

    (void)cursor;
    return &t->request->base;
}

static int fail(struct target *t, const struct lt_error *err)
{
    return -lt_ctl_fail(t->ctl, LT_EXIT_ERROR, "%s", err->text);
}

static int finish_file(struct target *t)
{
    struct lt_error err = {0};
    int rc;

    if (t->fd < 0)
        return 0;
    if (t->written != t->size)
        return -lt_ctl_fail(t->ctl, LT_EXIT_ERROR, "%s: %llu bytes came instead of %llu; try again",
                            t->path, (unsigned long long)t->written, (unsigned long long)t->size);
    rc = lt_file_sync(t->fd, &err);
    close(t->fd);
    t->fd = -1;
    if (rc == 0)
        rc = lt_file_rename(t->temporary, t->path, &err);
    lt_free(t->path);
    lt_free(t->temporary);
    t->path = t->temporary = NULL;
    t->files++;
    return rc < 0 ? fail(t, &err) : 0;
}

/* A name that leads out of the folder can only come from a daemon that isn't ours. */
static bool is_safe(const char *name)
{
    if (name[0] == '/' || !name[0])
        return false;
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0))
            return false;
    }
    return true;
}

static int begin_file(struct target *t, const Lt__V1__DownloadResponse *r)
{
    struct lt_error err = {0};
    char *slash;

    if (!t->as && !is_safe(r->file))
        return -lt_ctl_fail(t->ctl, LT_EXIT_ERROR,
                            "the daemon sent the file name `%s`, which leads elsewhere", r->file);
    t->path = t->as ? lt_strdup(t->as) : lt_path_join(t->dir, r->file);
    t->temporary = lt_format("%s.part", t->path);
    slash = t->as ? NULL : strrchr(t->path, '/');
    if (slash) {
        *slash = 0;
        if (lt_file_mkdirs(t->path, 0777, &err) < 0)
            return fail(t, &err);
        *slash = '/';
    }
    t->size = r->size;
    t->written = 0;
    t->fd = lt_file_open(t->temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666, &err);
    return t->fd < 0 ? fail(t, &err) : 0;
}

static int reply(void *arg, const ProtobufCMessage *m, ProtobufCBinaryData *cursor)
{
    const Lt__V1__DownloadResponse *r = (const Lt__V1__DownloadResponse *)m;
    struct target *t = arg;
    struct lt_error err = {0};
    int rc = 0;

    (void)cursor;
    if (r->file || r->end)
        rc = finish_file(t);
    if (rc == 0 && r->file)
        rc = begin_file(t, r);
    if (rc == 0 && r->data.len && t->fd >= 0) {
        t->written += r->data.len;
        rc = lt_file_write(t->fd, r->data.data, r->data.len, &err) < 0 ? fail(t, &err) : 0;
    }
    t->ended = r->end;
    return rc ? rc : r->end;
}

int lt_receive(struct lt_ctl *ctl, const Lt__V1__DownloadRequest *q, const char *dir, const char *as)
{
    struct target t = {.ctl = ctl, .request = q, .dir = dir, .as = as, .fd = -1};
    const struct lt_stream s = {.method = "/lt.v1.Jobs/Download",
                                .out = &lt__v1__download_response__descriptor,
                                .request = request,
                                .reply = reply,
                                .arg = &t};
    int rc = lt_stream_run(ctl, &s);

    if (rc == 0 && !t.ended)
        rc = lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE, "the stream broke off; try again");
    if (t.fd >= 0)
        close(t.fd);
    lt_free(t.path);
    lt_free(t.temporary);
    if (rc == 0 && dir && isatty(2))
        lt_ctl_note("%u files in %s", t.files, dir);
    return rc;
}
