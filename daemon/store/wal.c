/* wal.c - walks the frames as SQLite's recovery would
 * (https://www.sqlite.org/fileformat2.html#walformat)
 *
 * Header: magic, version, page size, checkpoint number, salt 1, salt 2, checksum 1, 2. Frame: page
 * number, size of the database after a commit (else 0), both salts, checksum 1, 2, the page. Big
 * endian; the checksum's words are of the order that the magic's last bit names, and each frame's
 * continues the one before. Every commit is synced (synchronous=FULL) before the next transaction
 * is written. So a bad frame with a commit and then a further frame of the same chain behind it was
 * whole once: that is damage, not a torn write.
 */
#include "daemon/store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define HEADER 32
#define FRAME 24
#define PAGE_MAX 65536

struct wal {
    int fd;
    char *path;
    bool big_endian;
    uint32_t page_size;
    uint8_t salts[8];
    uint8_t *frame; /* FRAME + page_size bytes */
};

struct sum {
    uint32_t a, b;
};

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t little32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static struct sum add(struct sum s, bool big_endian, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        s.a += (big_endian ? big32(p + i) : little32(p + i)) + s.b;
        s.b += (big_endian ? big32(p + i + 4) : little32(p + i + 4)) + s.a;
    }
    return s;
}

static bool read_frame(const struct wal *w, uint64_t index)
{
    size_t size = FRAME + w->page_size;
    off_t at = (off_t)(HEADER + index * size);

    return pread(w->fd, w->frame, size, at) == (ssize_t)size &&
           memcmp(w->frame + 8, w->salts, 8) == 0;
}

static struct sum told(const struct wal *w)
{
    return (struct sum){big32(w->frame + 16), big32(w->frame + 20)};
}

static struct sum computed(const struct wal *w, struct sum before)
{
    return add(add(before, w->big_endian, w->frame, 8), w->big_endian, w->frame + FRAME,
               w->page_size);
}

static bool same(struct sum x, struct sum y)
{
    return x.a == y.a && x.b == y.b;
}

/* Behind the bad frame `index` (in w->frame): does its chain go on past a commit? */
static bool goes_on(struct wal *w, uint64_t index, struct sum before)
{
    struct sum seeds[2] = {told(w), computed(w, before)}; /* its content or its checksum was hit */
    bool commit = big32(w->frame + 4) != 0;

    for (uint64_t i = index + 1; read_frame(w, i); i++) {
        struct sum sum = told(w);

        if (!same(computed(w, seeds[0]), sum) && !same(computed(w, seeds[1]), sum))
            return false;
        if (commit)
            return true;
        commit = big32(w->frame + 4) != 0;
        seeds[0] = seeds[1] = sum;
    }
    return false;
}

static int walk(struct wal *w, struct sum sum, struct lt_error *err)
{
    for (uint64_t i = 0; read_frame(w, i); i++) {
        struct sum next = computed(w, sum);

        if (!same(next, told(w)))
            return !goes_on(w, i, sum)
                       ? 0
                       : lt_error_set(err, -EBADMSG,
                                      "%s: frame %llu (byte %llu) is damaged, and acknowledged "
                                      "changes lie behind it. "
                                      "Nothing was changed. Restore events.db and events.db-wal "
                                      "from a backup; or, to "
                                      "give up what came after, delete %s",
                                      w->path, (unsigned long long)i + 1,
                                      (unsigned long long)(HEADER + i * (FRAME + w->page_size)),
                                      w->path);
        sum = next;
    }
    return 0;
}

static int check_open(struct wal *w, struct lt_error *err)
{
    uint8_t h[HEADER];
    struct sum sum;
    int rc;

    if (pread(w->fd, h, sizeof h, 0) != sizeof h || (big32(h) & ~1u) != 0x377f0682)
        return 0; /* empty, or cut when it was begun */
    w->big_endian = big32(h) & 1;
    w->page_size = big32(h + 8);
    memcpy(w->salts, h + 16, 8);
    sum = add((struct sum){0, 0}, w->big_endian, h, HEADER - 8);
    if (!same(sum, (struct sum){big32(h + 24), big32(h + 28)}) || w->page_size < 512 ||
        w->page_size > PAGE_MAX)
        return 0;
    w->frame = lt_malloc(FRAME + w->page_size);
    rc = walk(w, sum, err);
    lt_free(w->frame);
    return rc;
}

int lt_wal_check(const char *path, struct lt_error *err)
{
    struct wal w = {.path = lt_format("%s-wal", path)};
    int rc = 0;

    w.fd = open(w.path, O_RDONLY | O_CLOEXEC);
    if (w.fd >= 0) {
        rc = check_open(&w, err);
        close(w.fd);
    }
    lt_free(w.path);
    return rc;
}
