/* files.c - from a path in a plan to a blob of the daemon's
 *
 * A plan's hash depends on what its files hold, not on where they lie: the address replaces the
 * path before anything else is done with the plan. Then the daemon is asked whether it has the
 * content already, and given it if not; it compares the hash with what arrived. All of it may be
 * repeated: a daemon that was killed in the middle has the whole file, or nothing of it.
 */
#include "client/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "client/ctl.h"
#include "client/lost.h"
#include "client/plan_file.h"
#include "lt/v1/blobs.pb-c.h"
#include "proto/plan.h"
#include "rpc/client.h"
#include "sys/clock.h"
#include "sys/sha256.h"

#define CHUNK (256u << 10)
#define SHOWN_FROM (16u << 20) /* smaller files are there before anybody has read a line */
#define SHOW_NS 100000000u
#define GO_ON (-1)

struct lt_ctl_file {
    struct lt_ctl_file *next;
    char *path, *address; /* address: sha256:HASH */
    uint64_t size;
};

struct reader {
    int fd;
    const char *path, *doing;
    uint64_t size, at, shown_ns;
    bool shows;
    uint8_t data[CHUNK];
};

static int reader_open(struct reader *r, const char *path, const char *doing, struct lt_error *err)
{
    struct stat st;

    r->path = path;
    r->doing = doing;
    r->at = r->shown_ns = 0;
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->fd < 0 || fstat(r->fd, &st) < 0) {
        lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        lt_error_set(err, -EINVAL, "%s: is no file", path);
    } else {
        r->size = (uint64_t)st.st_size;
        r->shows = r->size >= SHOWN_FROM && isatty(2);
        return 0;
    }
    if (r->fd >= 0)
        close(r->fd);
    return err->code;
}

static void show(struct reader *r)
{
    uint64_t now = lt_clock_mono_ns();
    const char *name = strrchr(r->path, '/');

    if (!r->shows || now - r->shown_ns < SHOW_NS)
        return;
    r->shown_ns = now;
    fprintf(stderr, "\r\033[K%s %s: %u %%", r->doing, name ? name + 1 : r->path,
            (unsigned)(r->at * 100 / (r->size ? r->size : 1)));
}

/* Bytes read into r->data; 0: the end; <0: -errno. */
static ssize_t reader_next(struct reader *r, struct lt_error *err)
{
    ssize_t n = read(r->fd, r->data, sizeof r->data);

    if (n < 0)
        return lt_error_set(err, -errno, "%s: %s", r->path, strerror(errno));
    r->at += (uint64_t)n;
    show(r);
    return n;
}

static void reader_close(struct reader *r)
{
    close(r->fd);
    if (r->shows)
        fputs("\r\033[K", stderr);
}

/* ---- hashing */

static int hash_file(const char *path, char hash[65], uint64_t *size, struct lt_error *err)
{
    LT_AUTO(lt_sha256_free) struct lt_sha256 *h = lt_sha256_new();
    struct reader r;
    int rc = reader_open(&r, path, "reading", err);
    ssize_t n;

    if (rc < 0)
        return rc;
    while ((n = reader_next(&r, err)) > 0)
        lt_sha256_add(h, r.data, (size_t)n);
    reader_close(&r);
    lt_sha256_hex(h, hash);
    *size = r.at;
    return (int)n;
}

static void complain(struct lt_ctl *ctl, const char *field, const char *reason)
{
    Lt__V1__Problem p = LT__V1__PROBLEM__INIT, *list = &p;

    p.path = (char *)field;
    p.reason = (char *)reason;
    p.remedy = (char *)"name a file beside the plan, or node:/path for one that lies on the node";
    lt_plan_file_problems(ctl, &list, 1);
}

static void address(struct lt_ctl *ctl, char **field, const char *hash, uint64_t size)
{
    struct lt_ctl_file *f = lt_arena_alloc(ctl->arena, sizeof *f);

    f->path = *field;
    f->address = lt_arena_format(ctl->arena, LT_FILE_BLOB_PREFIX "%s", hash);
    f->size = size;
    f->next = ctl->files;
    ctl->files = f;
    *field = f->address;
}

int lt_files_address(struct lt_ctl *ctl, Lt__V1__JobSpec *spec)
{
    struct lt_error err = {0};
    size_t bad = 0;
    const char *name;
    char **field, hash[65];
    uint64_t size;

    for (size_t i = 0; (field = lt_plan_file(spec, i, &name)); i++) {
        if (lt_file_place(*field) != LT_FILE_LOCAL)
            continue;
        if (hash_file(*field, hash, &size, &err) < 0) {
            complain(ctl, name, err.text);
            bad++;
        } else {
            address(ctl, field, hash, size);
        }
    }
    return bad ? lt_ctl_fail(ctl, LT_EXIT_REFUSED,
                             "%zu file%s of the plan can't be read; nothing was submitted", bad,
                             bad == 1 ? "" : "s")
               : 0;
}

/* ---- sending */

static int write_all(struct lt_client_stream *s, struct reader *r, const char *hash,
                     struct lt_error *err)
{
    Lt__V1__PutRequest q = LT__V1__PUT_REQUEST__INIT;
    ssize_t n;

    q.hash = (char *)hash;
    q.has_data = true;
    do {
        n = reader_next(r, err);
        q.data = (ProtobufCBinaryData){n > 0 ? (size_t)n : 0, r->data};
        if (n < 0 || lt_client_upload_write(s, &q.base) < 0)
            break;
        q.hash = NULL;
    } while (n > 0);
    return err->code;
}

/* 0, an exit code, or GO_ON when the connection broke. */
static int put(struct lt_ctl *ctl, const struct lt_ctl_file *f)
{
    LT_AUTO(lt_client_stream_close) struct lt_client_stream *s = NULL;
    struct lt_rpc_status status = {0};
    struct lt_error err = {0};
    ProtobufCMessage *reply;
    struct reader r;
    int rc = reader_open(&r, f->path, "uploading", &err);

    if (rc < 0)
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "%s; it was there a moment ago", err.text);
    rc = lt_client_upload_open(ctl->client, "/lt.v1.Blobs/Put", &lt__v1__put_response__descriptor,
                               0, &s, &status);
    if (rc == 0)
        write_all(s, &r, lt_file_hash(f->address), &err);
    reader_close(&r);
    if (err.code)
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "%s", err.text);
    if (rc == 0)
        rc = lt_client_upload_finish(s, ctl->arena, &reply, &status);
    if (rc < 0)
        rc = status.code == LT_RPC_UNAVAILABLE ? GO_ON
             : status.code == LT_RPC_DATA_LOSS
                 ? lt_ctl_fail(ctl, LT_EXIT_ERROR, "%s: %s; submit it again", f->path, status.text)
                 : lt_ctl_fail_status(ctl, &status);
    lt_rpc_status_done(&status);
    return rc;
}

static int send_file(struct lt_ctl *ctl, const struct lt_ctl_file *f)
{
    Lt__V1__StatRequest q = LT__V1__STAT_REQUEST__INIT;
    Lt__V1__StatResponse *r = NULL;
    struct lt_lost lost = {0};
    char size[32];
    int rc;

    q.hash = (char *)lt_file_hash(f->address);
    do {
        rc = lt_ctl_call(ctl, "/lt.v1.Blobs/Stat", &q, &lt__v1__stat_response__descriptor, &r);
        if (rc || r->exists)
            return rc;
        rc = put(ctl, f);
    } while (rc == GO_ON && !lt_lost_for_good(&lost, lt_clock_mono_ns()));
    if (rc == GO_ON)
        return lt_ctl_fail(ctl, LT_EXIT_UNREACHABLE, "%s: the connection broke while it was sent",
                           f->path);
    lt_print_size(size, sizeof size, f->size);
    if (rc == 0 && isatty(2))
        lt_ctl_note("uploaded %s, %s, as %.19s…", f->path, size, f->address);
    return rc;
}

int lt_files_send(struct lt_ctl *ctl)
{
    int rc = 0;

    for (const struct lt_ctl_file *f = ctl->files; f && rc == 0; f = f->next)
        rc = send_file(ctl, f);
    return rc;
}

/* ---- saying */

void lt_files_name(const struct lt_ctl *ctl, const char *text, struct lt_buf *out)
{
    while (*text) {
        const struct lt_ctl_file *f = ctl->files;

        while (f && !lt_str_starts(text, f->address))
            f = f->next;
        if (f) {
            lt_buf_printf(out, "%s", f->path);
            text += strlen(f->address);
        } else {
            lt_buf_char(out, *text++);
        }
    }
}
