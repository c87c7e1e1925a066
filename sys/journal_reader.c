/* journal_reader.c - tails a journal by offset
 *
 * Reads a window ahead and hands records out of it. In front of an incomplete record the window is dropped:
 * the next call looks at the file again, as the writer may have gone on, or cut the record off and written
 * another one there.
 */
#include "sys/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "sys/journal_format.h"

#define WINDOW 65536

struct lt_journal_reader {
    int fd; /* -1 while there is no file */
    char *path;
    uint64_t offset;    /* of the next record */
    bool header_checked;
    struct lt_buf window; /* bytes of the file from `offset - used` on */
    size_t used;
};

int lt_journal_reader_open(const char *path, uint64_t offset, struct lt_journal_reader **out,
                           struct lt_error *err)
{
    struct lt_journal_reader *r;

    if (offset && offset < LT_JOURNAL_HEADER)
        return lt_error_set(err, -EINVAL, "%s: %llu is no position in a journal", path,
                            (unsigned long long)offset);
    r = lt_calloc(1, sizeof *r);
    r->fd = -1;
    r->path = lt_strdup(path);
    r->offset = LT_MAX(offset, (uint64_t)LT_JOURNAL_HEADER);
    *out = r;
    return 0;
}

/* Fills the window with up to n bytes from r->offset. at_end: they reach the end of the file. */
static int fill(struct lt_journal_reader *r, size_t n, bool *at_end, struct lt_error *err)
{
    struct stat st;

    r->window.len = 0;
    r->used = 0;
    if (fstat(r->fd, &st) < 0)
        return lt_error_set(err, -errno, "stat %s: %s", r->path, strerror(errno));
    if ((uint64_t)st.st_size < r->offset)
        return lt_error_set(err, -EPROTO, "%s: ends at byte %lld, before our position %llu", r->path,
                            (long long)st.st_size, (unsigned long long)r->offset);
    lt_buf_reserve(&r->window, n);
    while (r->window.len < n) {
        ssize_t got = pread(r->fd, r->window.data + r->window.len, n - r->window.len,
                            (off_t)(r->offset + r->window.len));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lt_error_set(err, -errno, "read %s: %s", r->path, strerror(errno));
        if (got == 0)
            break;
        r->window.len += (size_t)got;
    }
    *at_end = r->window.len < n || r->offset + r->window.len >= (uint64_t)st.st_size;
    return 0;
}

/* 1: the header is there and good; 0: not yet. */
static int check_header(struct lt_journal_reader *r, struct lt_error *err)
{
    unsigned char header[LT_JOURNAL_HEADER];
    struct stat st;
    ssize_t n;
    int rc;

    if (r->fd < 0)
        r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return errno == ENOENT ? 0
                               : lt_error_set(err, -errno, "open %s: %s", r->path, strerror(errno));
    n = pread(r->fd, header, sizeof header, 0);
    if (n < 0)
        return lt_error_set(err, -errno, "read %s: %s", r->path, strerror(errno));
    if (fstat(r->fd, &st) < 0)
        return lt_error_set(err, -errno, "stat %s: %s", r->path, strerror(errno));
    rc = lt_journal_header_look(header, (size_t)n, (uint64_t)st.st_size);
    if (rc < 0)
        return lt_error_set(err, rc, "%s: not a journal", r->path);
    r->header_checked = rc;
    return rc;
}

/* Has the file grown since we looked? Then a bad record at its end was one being written. */
static bool grew(const struct lt_journal_reader *r)
{
    struct stat st;

    return fstat(r->fd, &st) == 0 && (uint64_t)st.st_size != r->offset + r->window.len;
}

static int refill_and_look(struct lt_journal_reader *r, size_t *need, struct lt_error *err)
{
    size_t want = WINDOW;

    for (int again = 0;; again++) {
        bool at_end = false;
        enum lt_journal_state s;
        int rc = fill(r, want, &at_end, err);

        if (rc < 0)
            return rc;
        s = lt_journal_look((unsigned char *)r->window.data, r->window.len, at_end, need);
        if (s == LT_JOURNAL_RECORD)
            return 1;
        if (s == LT_JOURNAL_TORN && !at_end && *need > want) {
            want = *need; /* larger than the window */
            continue;
        }
        if (s == LT_JOURNAL_TORN)
            return 0;
        if (again < 3 && grew(r))
            continue;
        return lt_error_set(err, -EPROTO, "%s: damaged record at byte %llu", r->path,
                            (unsigned long long)r->offset);
    }
}

int lt_journal_read(struct lt_journal_reader *r, const void **payload, size_t *n,
                    uint64_t *end_offset, struct lt_error *err)
{
    size_t need;
    int rc = 1;

    if (!r->header_checked) {
        rc = check_header(r, err);
        if (rc <= 0)
            return rc;
    }
    if (r->used >= r->window.len ||
        lt_journal_look((unsigned char *)r->window.data + r->used, r->window.len - r->used, false,
                        &need) != LT_JOURNAL_RECORD)
        rc = refill_and_look(r, &need, err);
    if (rc <= 0) {
        r->window.len = r->used = 0;
        return rc;
    }
    *payload = r->window.data + r->used + LT_JOURNAL_RECORD_HEADER;
    *n = need - LT_JOURNAL_RECORD_HEADER;
    r->used += need;
    r->offset += need;
    *end_offset = r->offset;
    return 1;
}

void lt_journal_reader_close(struct lt_journal_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    lt_buf_done(&r->window);
    lt_free(r->path);
    lt_free(r);
}
