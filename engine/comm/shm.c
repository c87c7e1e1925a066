/* shm.c - collectives between ranks of one node, through memory that they share
 *
 * The segment has no name: rank 0 makes a memfd and says by the rendezvous which descriptor of which
 * process it is; the others open it through /proc, and when all have it mapped nobody needs the
 * descriptor any more. So nothing is left behind, whoever is killed when. How data moves:
 * shm_move.c. Why not MPI: docs/decisions/0051-shared-memory-on-one-node.md
 */
#include "engine/comm/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/comm/rendezvous.h"

#define KEY "ltd-shm"
#define PAGE ((size_t)4096)

static size_t round_up(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE;
}

/* A slot holds a chunk, and what rounding up to whole slices may add. */
static size_t slot_bytes(size_t world)
{
    return round_up(SHM_CHUNK + world * 16);
}

static size_t head_bytes(size_t world)
{
    return round_up(round_up(sizeof(struct shm_header)) + world * sizeof(struct shm_marks));
}

size_t lt_comm_shm_bytes(const struct lt_comm_config *c)
{
    size_t world = (size_t)c->world, slots = SHM_SLOTS * slot_bytes(world);

    return head_bytes(world) + (world + 1) * slots + slot_bytes(world);
}

static void place(struct shm *s)
{
    size_t world = (size_t)s->world;
    char *p = (char *)s->header;

    s->marks = (struct shm_marks *)(void *)(p + round_up(sizeof(struct shm_header)));
    s->result = p + head_bytes(world);
    s->areas = s->result + SHM_SLOTS * slot_bytes(world);
}

static int map(struct shm *s, int fd, struct lt_error *err)
{
    void *p = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

    if (p == MAP_FAILED)
        return lt_error_set(err, -errno, "%zu bytes shared with the other ranks: %s", s->bytes,
                            strerror(errno));
    s->header = p;
    place(s);
    return 0;
}

static int make(struct shm *s, struct lt_error *err)
{
    int fd = memfd_create("ltd-collectives", MFD_CLOEXEC), rc;

    if (fd < 0)
        return lt_error_set(err, -errno, "memfd_create: %s", strerror(errno));
    rc = posix_fallocate(fd, 0, (off_t)s->bytes); /* no SIGBUS later */
    rc = rc ? lt_error_set(err, -rc, "%zu bytes shared with the other ranks: %s", s->bytes,
                           strerror(rc))
            : map(s, fd, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    s->header->world = (uint32_t)s->world;
    s->header->slots = SHM_SLOTS;
    s->header->chunk = SHM_CHUNK;
    s->header->bytes = s->bytes;
    atomic_store(&s->header->magic, SHM_MAGIC);
    return fd;
}

static int attach(struct shm *s, const char *name, struct lt_error *err)
{
    unsigned long pid, number;
    char path[64];
    int fd, rc;

    if (sscanf(name, "%lu.%lu", &pid, &number) != 2)
        return lt_error_set(err, -EPROTO, "'%s' is no descriptor of rank 0", name);
    snprintf(path, sizeof path, "/proc/%lu/fd/%lu", pid, number);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return lt_error_set(err, -errno, "rank 0's memory, %s: %s", path, strerror(errno));
    if (lseek(fd, 0, SEEK_END) != (off_t)s->bytes)
        rc = lt_error_set(err, -EPROTO, "rank 0's memory, %s: not what this build shares", path);
    else
        rc = map(s, fd, err);
    close(fd);
    if (rc == 0 && (atomic_load(&s->header->magic) != SHM_MAGIC ||
                    s->header->world != (uint32_t)s->world))
        rc = lt_error_set(err, -EPROTO, "rank 0's memory, %s: not what this build shares", path);
    return rc;
}

/* Until every rank has it mapped. */
static int meet(const struct shm *s, const struct lt_comm *c, struct lt_error *err)
{
    atomic_fetch_add(&s->header->attached, 1);
    while (atomic_load(&s->header->attached) < (uint32_t)s->world) {
        if (c->config.give_up && c->config.give_up(c->config.arg))
            return lt_error_set(err, -ECANCELED, "gave up waiting for the other ranks");
        usleep(100);
    }
    return 0;
}

static int join(struct shm *s, const struct lt_comm *c, struct lt_error *err)
{
    struct lt_rendezvous r = {.give_up = c->config.give_up, .arg = c->config.arg};
    int fd = -1, rc = lt_rendezvous_init(&r, err);
    char name[64];

    if (rc == 0 && s->rank == 0) {
        fd = make(s, err);
        snprintf(name, sizeof name, "%d.%d", (int)getpid(), fd);
        rc = fd < 0 ? fd : lt_rendezvous_put(&r, KEY, name, err);
    }
    if (rc == 0)
        rc = lt_rendezvous_barrier(&r, err);
    if (rc == 0 && s->rank != 0) {
        rc = lt_rendezvous_get(&r, KEY, name, sizeof name, err);
        if (rc == 0)
            rc = attach(s, name, err);
    }
    if (rc == 0)
        rc = meet(s, c, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int shm_open_(struct lt_comm *c, struct lt_error *err)
{
    struct shm *s = lt_calloc(1, sizeof *s);

    c->own = s;
    s->rank = c->rank;
    s->world = c->world;
    s->bytes = lt_comm_shm_bytes(&c->config) - slot_bytes((size_t)s->world);
    s->scratch = lt_calloc(1, slot_bytes((size_t)s->world));
    s->sources = lt_calloc(LT_MAX((size_t)s->world, (size_t)LT_COLL_TERMS_MAX), sizeof *s->sources);
    if (c->config.local_world && c->config.local_world != c->world)
        return lt_error_set(err, -EINVAL, "shared memory joins ranks of one node: %d of %d are here",
                            c->config.local_world, c->world);
    return join(s, c, err);
}

static void shm_close(struct lt_comm *c)
{
    struct shm *s = c->own;

    if (!s)
        return;
    if (s->header)
        munmap(s->header, s->bytes);
    lt_free(s->scratch);
    lt_free(s->sources);
    lt_free(s);
}

static int progress(struct lt_comm *c, struct lt_coll *k)
{
    struct shm *s = c->own;
    bool done = shm_progress(s, k);

    c->stats.sent += s->sent;
    c->moves += s->moves;
    s->sent = s->moves = 0;
    return done;
}

static int begin(struct lt_comm *c, struct lt_coll *k)
{
    shm_begin(c->own, k);
    return progress(c, k);
}

const struct lt_comm_impl lt_comm_shm = {
    .name = "shm",
    .open = shm_open_,
    .close = shm_close,
    .begin = begin,
    .progress = progress,
    .sleep = shm_sleep,
};
