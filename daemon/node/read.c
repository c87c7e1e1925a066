/* read.c - a run's files, for the coordinator
 *
 * Each request is one open and pread on libuv's thread pool. A path never leaves its run folder:
 * openat2 resolves it beneath (links inside may point inside); where the kernel lacks that, links
 * are refused. A request that may wait for bytes is tried again every 20 ms, and whenever a rank
 * said that it wrote something.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/clock.h"
#include "sys/file.h"

#define READ_MAX (512u << 10)
#define RETRY_MS 20
#define ENTRY_FRAME 4 /* at least what a name takes beside itself */
#define ENTRIES_BYTES (2u << 20) /* of names: they go in one message */

struct read {
    struct read *next; /* among the waiting */
    struct lt_node_reads *owner;
    uv_work_t work;
    uint64_t id, offset;
    uint32_t max;
    uint64_t deadline_ns;
    char *run_dir, *path;
    unsigned session; /* an answer for an earlier one is dropped */
    /* the result */
    int error;
    uint64_t size;
    uint64_t start; /* where data begin, behind `offset`: of a log whose front was cut off; else 0 */
    uint8_t *data;
    size_t n;
    char **entries;
    size_t n_entries, cap_entries;
};

struct lt_node_reads {
    struct lt_node *node;
    struct read *waiting;
    uv_timer_t retry;
    unsigned session;
    unsigned refs; /* the timer, and one per request */
    bool closed;
};

static void reads_release(struct lt_node_reads *r)
{
    struct lt_node *n = r->node;

    if (--r->refs > 0)
        return;
    lt_free(r);
    lt_node_release(n);
}

static void drop_result(struct read *q)
{
    for (size_t i = 0; i < q->n_entries; i++)
        lt_free(q->entries[i]);
    lt_free(q->entries);
    lt_free(q->data);
    q->entries = NULL;
    q->data = NULL;
    q->n = q->n_entries = q->cap_entries = 0;
    q->size = q->start = 0;
    q->error = 0;
}

static void read_free(struct read *q)
{
    struct lt_node_reads *r = q->owner;

    drop_result(q);
    lt_free(q->run_dir);
    lt_free(q->path);
    lt_free(q);
    reads_release(r);
}

/* ---- on the thread pool */

/* Part by part, no links, no `..`. Takes over dir. */
static int open_parts(int dir, const char *path)
{
    LT_AUTO(lt_free) char *copy = lt_strdup(path);
    char *save = NULL;
    int fd = dir;

    for (char *part = strtok_r(copy, "/", &save); part && fd >= 0;
         part = strtok_r(NULL, "/", &save)) {
        int next = strcmp(part, "..") == 0
                       ? -1
                       : openat(fd, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

        if (strcmp(part, "..") == 0)
            errno = EXDEV;
        next = next < 0 ? -errno : next;
        close(fd);
        fd = next;
    }
    return fd;
}

static int open_beneath(const char *run_dir, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH};
    int dir = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd;

    if (dir < 0)
        return -errno;
    fd = (int)syscall(SYS_openat2, dir, path[0] ? path : ".", &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return path[0] == '/' ? (close(dir), -EXDEV) : open_parts(dir, path);
    fd = fd < 0 ? -errno : fd;
    close(dir);
    return fd;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names, folders with a slash behind. Takes over fd. -EFBIG: more than a message should hold. */
static int list_folder(struct read *q, int fd)
{
    DIR *d = fdopendir(fd);
    const struct dirent *e;
    size_t bytes = 0;

    if (!d) {
        close(fd);
        return -errno;
    }
    while (bytes <= ENTRIES_BYTES && (e = readdir(d))) {
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(fd, e->d_name, &st, 0) < 0)
            continue;
        LT_GROW(q->entries, q->n_entries, q->cap_entries);
        q->entries[q->n_entries++] = lt_format("%s%s", e->d_name, S_ISDIR(st.st_mode) ? "/" : "");
        bytes += strlen(q->entries[q->n_entries - 1]) + ENTRY_FRAME;
    }
    closedir(d);
    if (bytes > ENTRIES_BYTES) {
        drop_result(q);
        return -EFBIG;
    }
    if (q->n_entries)
        qsort(q->entries, q->n_entries, sizeof *q->entries, by_name);
    return 0;
}

/* A hole in a log is what was cut off; in any other file it is zeros. */
static bool is_log(const struct read *q)
{
    return strncmp(q->path, "logs/", 5) == 0;
}

/* From where data begin. What is cut off while we read is left out afterwards. */
static int read_log(struct read *q, int fd)
{
    uint64_t from = (uint64_t)lt_file_data_from(fd, (off_t)q->offset), now, gone;
    ssize_t n = 0;

    q->data = lt_malloc(q->max + 1);
    if (q->max > 0)
        n = pread(fd, q->data, q->max, (off_t)from);
    if (n < 0)
        return -errno;
    now = (uint64_t)lt_file_data_from(fd, (off_t)from);
    gone = LT_MIN(now - from, (uint64_t)n);
    memmove(q->data, q->data + gone, (size_t)n - gone);
    q->n = (size_t)n - gone;
    q->start = now > q->offset ? now : 0;
    return 0;
}

static int read_bytes(struct read *q, int fd)
{
    ssize_t n = 0;

    if (q->offset < q->size && q->max > 0) {
        uint64_t left = q->size - q->offset;

        q->data = lt_malloc(left < q->max ? left : q->max);
        n = pread(fd, q->data, left < q->max ? left : q->max, (off_t)q->offset);
    }
    if (n < 0)
        return -errno;
    q->n = (size_t)n;
    return 0;
}

static int read_once(struct read *q)
{
    int fd = open_beneath(q->run_dir, q->path), rc;
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        close(fd);
        return -EINVAL;
    }
    q->size = (uint64_t)st.st_size;
    if (S_ISDIR(st.st_mode))
        return list_folder(q, fd);
    rc = is_log(q) && q->offset < q->size ? read_log(q, fd) : read_bytes(q, fd);
    close(fd);
    return rc;
}

static void work(uv_work_t *w)
{
    struct read *q = w->data;

    q->error = -read_once(q);
}

/* ---- on the loop */

static void start(struct read *q);

static void on_retry(uv_timer_t *t)
{
    lt_node_reads_poke(t->data);
}

static bool may_wait(const struct read *q)
{
    return q->n == 0 && q->n_entries == 0 && q->start == 0 && (q->error == 0 || q->error == ENOENT) &&
           lt_clock_mono_ns() < q->deadline_ns;
}

static void answer(struct read *q)
{
    Lt__V1__ReadReply m = LT__V1__READ_REPLY__INIT;

    m.has_id = m.has_size = m.has_error = true;
    m.id = q->id;
    m.size = q->size;
    m.error = (uint32_t)q->error;
    m.has_start = q->start > 0;
    m.start = q->start;
    m.has_data = q->n > 0;
    m.data.data = q->data;
    m.data.len = q->n;
    m.entries = q->entries;
    m.n_entries = q->n_entries;
    lt_node_send(q->owner->node, LT__V1__AGENT_MESSAGE__MESSAGE_READ_REPLY, &m);
}

static void after(uv_work_t *w, int status)
{
    struct read *q = w->data;
    struct lt_node_reads *r = q->owner;

    (void)status;
    if (r->closed || q->session != r->session) {
        read_free(q);
        return;
    }
    if (!may_wait(q)) {
        answer(q);
        read_free(q);
        return;
    }
    drop_result(q);
    q->next = r->waiting;
    r->waiting = q;
    if (!uv_is_active((uv_handle_t *)&r->retry))
        uv_timer_start(&r->retry, on_retry, RETRY_MS, RETRY_MS);
}

static void start(struct read *q)
{
    q->work.data = q;
    uv_queue_work(q->owner->node->loop, &q->work, work, after);
}

void lt_node_reads_poke(struct lt_node_reads *r)
{
    struct read *q = r->waiting;

    r->waiting = NULL;
    if (!q)
        uv_timer_stop(&r->retry);
    while (q) {
        struct read *next = q->next;

        start(q);
        q = next;
    }
}

void lt_node_read(struct lt_node_reads *r, const Lt__V1__ReadRequest *m)
{
    struct read *q = lt_calloc(1, sizeof *q);

    q->owner = r;
    q->id = m->id;
    q->offset = m->offset;
    q->max = m->max_bytes && m->max_bytes < READ_MAX ? m->max_bytes : READ_MAX;
    q->deadline_ns = m->wait_ms ? lt_clock_mono_ns() + m->wait_ms * 1000000ull : 0;
    q->run_dir = lt_strdup(m->run_dir ? m->run_dir : "");
    q->path = lt_strdup(m->path ? m->path : "");
    q->session = r->session;
    r->refs++;
    start(q);
}

struct lt_node_reads *lt_node_reads_new(struct lt_node *n)
{
    struct lt_node_reads *r = lt_calloc(1, sizeof *r);

    r->node = n;
    r->refs = 1;
    uv_timer_init(n->loop, &r->retry);
    r->retry.data = r;
    lt_node_hold(n);
    return r;
}

void lt_node_reads_drop(struct lt_node_reads *r)
{
    r->session++;
    while (r->waiting) {
        struct read *q = r->waiting;

        r->waiting = q->next;
        read_free(q);
    }
}

static void on_timer_closed(uv_handle_t *h)
{
    reads_release(h->data);
}

void lt_node_reads_close(struct lt_node_reads *r)
{
    r->closed = true;
    lt_node_reads_drop(r);
    uv_close((uv_handle_t *)&r->retry, on_timer_closed);
}
