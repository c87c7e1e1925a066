/* page.c - maps the shared page
 *
 * Creation is two steps (zeros, then magic); the magic is written last, so that whoever maps it
 * meanwhile gets -EPROTO, not half a page.
 */
#include "sys/page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "sys/file.h"

#define PAGE_BYTES 4096
#define PAGE_VERSION 2
#define PAGE_VERSION_LEAST 1 /* of the release before; what came later is zeros there */

_Static_assert(sizeof(struct lt_page) <= PAGE_BYTES, "the page is one page");

const char *const lt_phase_names[LT_PHASE_N] = {
    "starting",   "compiling", "sanity",        "training",
    "validating", "testing",   "checkpointing", "finishing",
};

static int map_fd(int fd, const char *path, struct lt_page **out, struct lt_error *err)
{
    struct stat st;
    void *p;

    if (fstat(fd, &st) < 0)
        return lt_error_set(err, -errno, "stat %s: %s", path, strerror(errno));
    if (st.st_size < PAGE_BYTES) /* touching it would be a SIGBUS */
        return lt_error_set(err, -EPROTO, "%s: not a shared page (%lld bytes)", path,
                            (long long)st.st_size);
    p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return lt_error_set(err, -errno, "mmap %s: %s", path, strerror(errno));
    *out = p;
    return 0;
}

static int check(struct lt_page *p, const char *path, struct lt_error *err)
{
    if (__atomic_load_n(&p->magic, __ATOMIC_ACQUIRE) != LT_PAGE_MAGIC)
        return lt_error_set(err, -EPROTO, "%s: not a shared page", path);
    if (p->version < PAGE_VERSION_LEAST || p->version > PAGE_VERSION)
        return lt_error_set(err, -EPROTO, "%s: version %u of the shared page, we know %u to %u",
                            path, p->version, PAGE_VERSION_LEAST, PAGE_VERSION);
    return 0;
}

int lt_page_create(const char *path, struct lt_page **out, struct lt_error *err)
{
    static const char zeros[PAGE_BYTES];
    int fd = lt_file_open(path, O_RDWR | O_CREAT, 0600, err);
    struct lt_page *p = NULL;
    struct stat st;
    int rc = 0;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == 0 &&
        st.st_size == 0) /* no hole: touching it on a full disk would be a SIGBUS */
        rc = lt_file_pwrite(fd, zeros, sizeof zeros, 0, err);
    if (rc < 0)
        lt_file_truncate(fd, 0, NULL); /* half a page would be refused for ever */
    if (rc == 0)
        rc = map_fd(fd, path, &p, err);
    close(fd);
    if (rc < 0)
        return rc;
    if (p->magic == 0) {
        p->version = PAGE_VERSION;
        __atomic_store_n(&p->magic, LT_PAGE_MAGIC, __ATOMIC_RELEASE);
    }
    rc = check(p, path, err);
    if (rc < 0)
        lt_page_unmap(p);
    else
        *out = p;
    return rc;
}

int lt_page_map(const char *path, struct lt_page **out, struct lt_error *err)
{
    int fd = lt_file_open(path, O_RDWR, 0, err);
    struct lt_page *p = NULL;
    int rc;

    if (fd < 0)
        return fd;
    rc = map_fd(fd, path, &p, err);
    close(fd);
    if (rc < 0)
        return rc;
    rc = check(p, path, err);
    if (rc < 0)
        lt_page_unmap(p);
    else
        *out = p;
    return rc;
}

void lt_page_unmap(struct lt_page *p)
{
    if (p)
        munmap(p, PAGE_BYTES);
}

/* ---- flight recorder
 *
 * An entry being written has the number 0, so a reader takes nothing that is half of two.
 */
static void set_text(char *to, size_t n, const char *from)
{
    size_t len = strnlen(from, n - 1);

    memcpy(to, from, len);
    memset(to + len, 0, n - len);
}

void lt_page_collective_start(struct lt_page *p, uint64_t seq, const char *name, const char *kind,
                              uint64_t bytes, uint64_t now_ns)
{
    struct lt_page_collective *e = &p->collectives[seq % LT_PAGE_COLLECTIVES];

    atomic_store_explicit(&e->seq, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&e->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&e->started_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&e->state, LT_COLLECTIVE_STARTED, memory_order_relaxed);
    set_text(e->kind, sizeof e->kind, kind);
    set_text(e->name, sizeof e->name, name);
    atomic_store_explicit(&e->seq, seq, memory_order_release);
    atomic_store_explicit(&p->collective_seq, seq, memory_order_release);
}

void lt_page_collective_done(struct lt_page *p, uint64_t seq)
{
    struct lt_page_collective *e = &p->collectives[seq % LT_PAGE_COLLECTIVES];

    if (atomic_load_explicit(&e->seq, memory_order_relaxed) == seq)
        atomic_store_explicit(&e->state, LT_COLLECTIVE_DONE, memory_order_release);
    atomic_store_explicit(&p->collective_done, seq, memory_order_release);
}

bool lt_page_collective(const struct lt_page *p, uint64_t seq, struct lt_collective *out)
{
    const struct lt_page_collective *e = &p->collectives[seq % LT_PAGE_COLLECTIVES];

    if (seq == 0 || atomic_load_explicit(&e->seq, memory_order_acquire) != seq)
        return false;
    out->seq = seq;
    out->bytes = atomic_load_explicit(&e->bytes, memory_order_relaxed);
    out->started_ns = atomic_load_explicit(&e->started_ns, memory_order_relaxed);
    out->state = atomic_load_explicit(&e->state, memory_order_relaxed);
    memcpy(out->kind, e->kind, sizeof out->kind);
    memcpy(out->name, e->name, sizeof out->name);
    out->kind[sizeof out->kind - 1] = out->name[sizeof out->name - 1] = 0;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&e->seq, memory_order_relaxed) == seq;
}
