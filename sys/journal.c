/* journal.c - one pwrite(2) per record at the end we know
 *
 * A torn record can only be the last. What may lie there: a record cut short, one whose bytes never reached
 * the disk though its length did (a bad checksum right at the end, or zeros to the end). The writer cuts
 * that off when it opens; a reader waits in front of it. Anything bad with good bytes behind it is damage.
 *
 * A failed append leaves no trace: the file is cut back before anything else is appended, else a shorter
 * record would leave the longer one's rest behind it, which reads as damage.
 */
#include "sys/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/journal_format.h"
#include "sys/paths.h"

#define SCAN_BYTES ((size_t)LT_JOURNAL_RECORD_MAX + LT_JOURNAL_RECORD_HEADER)

const unsigned char lt_journal_magic[8] = {'L', 'T', 'J', '1', LT_JOURNAL_VERSION, 0, 0, 0};

struct lt_journal {
    int fd;
    bool dirty; /* bytes of a failed append may lie behind `size` */
    bool named; /* the folder's entry is durable: by the first sync, so that opening waits for no disk */
    uint64_t size;
    char *path;
    struct lt_buf record;
};

static uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool all_zero(const unsigned char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int lt_journal_header_look(const unsigned char *p, size_t left, uint64_t size)
{
    if (size <= LT_JOURNAL_HEADER && all_zero(p, left))
        return 0;
    if (memcmp(p, lt_journal_magic, left) != 0)
        return -EPROTO;
    return left == LT_JOURNAL_HEADER;
}

enum lt_journal_state lt_journal_look(const unsigned char *p, size_t left, bool at_end, size_t *need)
{
    uint32_t length;

    *need = LT_JOURNAL_RECORD_HEADER;
    if (left < LT_JOURNAL_RECORD_HEADER)
        return LT_JOURNAL_TORN;
    length = load32(p);
    if (length > LT_JOURNAL_RECORD_MAX)
        return LT_JOURNAL_DAMAGED;
    *need += length;
    if (left < *need)
        return LT_JOURNAL_TORN;
    if (load32(p + 4) == lt_crc32c(lt_crc32c(0, p, 4), p + LT_JOURNAL_RECORD_HEADER, length))
        return LT_JOURNAL_RECORD;
    return at_end && (left == *need || all_zero(p, left)) ? LT_JOURNAL_TORN : LT_JOURNAL_DAMAGED;
}

int lt_journal_parse(const void *data, size_t left, bool at_end, const void **payload, size_t *n, size_t *size)
{
    enum lt_journal_state s = lt_journal_look(data, left, at_end, size);

    if (s != LT_JOURNAL_RECORD)
        return s == LT_JOURNAL_TORN ? 0 : -EPROTO;
    *payload = (const char *)data + LT_JOURNAL_RECORD_HEADER;
    *n = *size - LT_JOURNAL_RECORD_HEADER;
    return 1;
}

/* pread until n bytes or the end of the file; bytes read or -errno. */
static ssize_t read_at(int fd, void *buf, size_t n, uint64_t at)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pread(fd, (char *)buf + done, n - done, (off_t)(at + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Where the good records end. window: SCAN_BYTES to read into. */
static int scan(struct lt_journal *j, uint64_t file_size, unsigned char *window, struct lt_error *err)
{
    uint64_t at = LT_JOURNAL_HEADER;

    while (at < file_size) {
        ssize_t got = read_at(j->fd, window, SCAN_BYTES, at);
        bool at_end;
        size_t used = 0, need;

        if (got < 0)
            return lt_error_set(err, (int)got, "read %s: %s", j->path, strerror((int)-got));
        at_end = at + (size_t)got >= file_size;
        for (;;) {
            enum lt_journal_state s = lt_journal_look(window + used, (size_t)got - used, at_end, &need);

            if (s == LT_JOURNAL_DAMAGED)
                return lt_error_set(err, -EPROTO, "%s: damaged record at byte %llu", j->path,
                                    (unsigned long long)(at + used));
            if (s == LT_JOURNAL_TORN)
                break;
            used += need;
        }
        at += used;
        if (at_end || used == 0)
            break;
    }
    j->size = at;
    return 0;
}

/* A new file, or one whose header never got to the disk. */
static int write_header(struct lt_journal *j, struct lt_error *err)
{
    int rc = lt_file_truncate(j->fd, 0, err);

    if (rc == 0)
        rc = lt_file_pwrite(j->fd, lt_journal_magic, sizeof lt_journal_magic, 0, err);
    if (rc == 0)
        j->size = LT_JOURNAL_HEADER;
    return rc;
}

static int load(struct lt_journal *j, struct lt_error *err)
{
    LT_AUTO(lt_free) char *window = NULL;
    unsigned char header[LT_JOURNAL_HEADER];
    struct stat st;
    ssize_t got;
    int rc;

    if (fstat(j->fd, &st) < 0)
        return lt_error_set(err, -errno, "stat %s: %s", j->path, strerror(errno));
    got = read_at(j->fd, header, sizeof header, 0);
    if (got < 0)
        return lt_error_set(err, (int)got, "read %s: %s", j->path, strerror((int)-got));
    rc = lt_journal_header_look(header, (size_t)got, (uint64_t)st.st_size);
    if (rc < 0)
        return lt_error_set(err, rc, "%s: not a journal", j->path);
    if (rc == 0)
        return write_header(j, err);
    window = lt_malloc(SCAN_BYTES);
    rc = scan(j, (uint64_t)st.st_size, (unsigned char *)window, err);
    if (rc == 0 && (uint64_t)st.st_size > j->size)
        rc = lt_file_truncate(j->fd, (off_t)j->size, err);
    return rc;
}

int lt_journal_open(const char *path, struct lt_journal **out, struct lt_error *err)
{
    LT_AUTO(lt_journal_close) struct lt_journal *j = lt_calloc(1, sizeof *j);
    int rc;

    j->path = lt_strdup(path);
    j->fd = lt_file_open(path, O_RDWR | O_CREAT, 0600, err);
    if (j->fd < 0)
        return j->fd;
    rc = load(j, err);
    if (rc < 0)
        return rc;
    *out = LT_TAKE(j);
    return 0;
}

int lt_journal_append(struct lt_journal *j, const void *buf, size_t n, struct lt_error *err)
{
    uint32_t length = (uint32_t)n, crc;
    int rc;

    if (n > LT_JOURNAL_RECORD_MAX)
        return lt_error_set(err, -EMSGSIZE, "%s: a record of %zu bytes, at most %u fit", j->path, n,
                            LT_JOURNAL_RECORD_MAX);
    if (j->dirty) {
        rc = lt_file_truncate(j->fd, (off_t)j->size, err);
        if (rc < 0)
            return rc;
        j->dirty = false;
    }
    j->record.len = 0;
    lt_buf_u32(&j->record, length);
    crc = lt_crc32c(lt_crc32c(0, j->record.data, 4), buf, n);
    lt_buf_u32(&j->record, crc);
    lt_buf_append(&j->record, buf, n);
    rc = lt_file_pwrite(j->fd, j->record.data, j->record.len, (off_t)j->size, err);
    if (rc < 0) {
        j->dirty = lt_file_truncate(j->fd, (off_t)j->size, NULL) < 0;
        return rc;
    }
    j->size += j->record.len;
    return 0;
}

int lt_journal_sync(struct lt_journal *j, struct lt_error *err)
{
    LT_AUTO(lt_free) char *dir = j->named ? NULL : lt_path_dirname(j->path);
    int rc = lt_file_datasync(j->fd, err);

    if (rc < 0 || j->named)
        return rc;
    rc = lt_file_sync_dir(dir, err);
    j->named = rc == 0;
    return rc;
}

uint64_t lt_journal_size(const struct lt_journal *j)
{
    return j->size;
}

void lt_journal_close(struct lt_journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    lt_buf_done(&j->record);
    lt_free(j->path);
    lt_free(j);
}
