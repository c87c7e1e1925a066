/* crashfs.c - see crashfs.h */
#include "tests/store/crashfs.h"

#include <sqlite3.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define FILES 8
#define SECTOR 512

struct change { /* not synced yet: bytes at `at`, or, with data NULL, a truncation to `at` */
    uint8_t *data;
    size_t at, n;
};

struct image {
    uint8_t *data;
    size_t len;
};

struct disk_file {
    char *name;
    bool exists, durable_name;
    struct image now, durable;
    struct change *changes;
    size_t n_changes, cap_changes;
};

static struct disk_file files[FILES];
static enum crashfs_fault fault;
static unsigned countdown;
static bool fired, dead;

struct handle {
    sqlite3_file base;
    struct disk_file *f;
};

static struct disk_file *file_of(sqlite3_file *h)
{
    return ((struct handle *)h)->f;
}

static struct disk_file *find(const char *name)
{
    for (int i = 0; i < FILES; i++)
        if (lt_str_eq(files[i].name, name))
            return &files[i];
    return NULL;
}

static struct disk_file *find_suffix(const char *suffix)
{
    for (int i = 0; i < FILES; i++)
        if (files[i].name && files[i].exists && lt_str_ends(files[i].name, suffix))
            return &files[i];
    return NULL;
}

/* SQLITE_OK, or what the fault wants. `grows`: needs room. */
static int operation(bool grows, int failure)
{
    if (dead)
        return failure;
    if (fault == CRASHFS_NONE)
        return SQLITE_OK;
    if (countdown) {
        countdown--;
        return SQLITE_OK;
    }
    if (fault == CRASHFS_FULL) {
        fired = fired || grows;
        return grows ? SQLITE_FULL : SQLITE_OK;
    }
    if (fired)
        return SQLITE_OK;
    fired = true;
    dead = fault == CRASHFS_DIE;
    return failure;
}

/* ---- images */

static void image_resize(struct image *m, size_t len)
{
    m->data = lt_realloc(m->data, len, 1);
    if (len > m->len)
        memset(m->data + m->len, 0, len - m->len);
    m->len = len;
}

static void image_apply(struct image *m, const struct change *c, size_t n)
{
    if (!c->data) {
        image_resize(m, c->at);
        return;
    }
    if (c->at + n > m->len)
        image_resize(m, c->at + n);
    memcpy(m->data + c->at, c->data, n);
}

static void remember(struct disk_file *f, size_t at, const void *data, size_t n)
{
    struct change *c;

    LT_GROW(f->changes, f->n_changes, f->cap_changes);
    c = &f->changes[f->n_changes++];
    *c = (struct change){data ? lt_malloc(n) : NULL, at, n};
    if (data)
        memcpy(c->data, data, n);
    image_apply(&f->now, c, n);
}

static void drop_changes(struct disk_file *f)
{
    for (size_t i = 0; i < f->n_changes; i++)
        lt_free(f->changes[i].data);
    f->n_changes = 0;
}

static void image_copy(struct image *to, const struct image *from)
{
    image_resize(to, from->len);
    if (from->len)
        memcpy(to->data, from->data, from->len);
}

/* ---- one open file */

static int x_close(sqlite3_file *h)
{
    (void)h;
    return SQLITE_OK;
}

static int x_read(sqlite3_file *h, void *out, int n, sqlite3_int64 at)
{
    const struct image *m = &file_of(h)->now;
    size_t have = (size_t)at < m->len ? m->len - (size_t)at : 0;

    if (dead)
        return SQLITE_IOERR_READ;
    if (have >= (size_t)n) {
        memcpy(out, m->data + at, (size_t)n);
        return SQLITE_OK;
    }
    memset(out, 0, (size_t)n);
    if (have)
        memcpy(out, m->data + at, have);
    return SQLITE_IOERR_SHORT_READ;
}

static int x_write(sqlite3_file *h, const void *data, int n, sqlite3_int64 at)
{
    struct disk_file *f = file_of(h);
    int rc = operation((size_t)at + (size_t)n > f->now.len, SQLITE_IOERR_WRITE);

    if (rc == SQLITE_OK ||
        (rc == SQLITE_IOERR_WRITE && fired && n > 1)) /* the one that fails writes half */
        remember(f, (size_t)at, data, rc == SQLITE_OK ? (size_t)n : (size_t)n / 2);
    return rc;
}

static int x_truncate(sqlite3_file *h, sqlite3_int64 size)
{
    int rc = operation(false, SQLITE_IOERR_TRUNCATE);

    if (rc == SQLITE_OK)
        remember(file_of(h), (size_t)size, NULL, 0);
    return rc;
}

static int x_sync(sqlite3_file *h, int flags)
{
    struct disk_file *f = file_of(h);
    int rc = operation(false, SQLITE_IOERR_FSYNC);

    (void)flags;
    if (rc != SQLITE_OK)
        return rc;
    image_copy(&f->durable, &f->now);
    f->durable_name = true;
    drop_changes(f);
    return SQLITE_OK;
}

static int x_size(sqlite3_file *h, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)file_of(h)->now.len;
    return SQLITE_OK;
}

static int x_lock(sqlite3_file *h, int level)
{
    (void)h;
    (void)level;
    return SQLITE_OK;
}

static int x_reserved(sqlite3_file *h, int *out)
{
    (void)h;
    *out = 0;
    return SQLITE_OK;
}

static int x_control(sqlite3_file *h, int op, void *arg)
{
    (void)h;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int x_sector(sqlite3_file *h)
{
    (void)h;
    return SECTOR;
}

static int x_characteristics(sqlite3_file *h)
{
    (void)h;
    return 0;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_size,
    .xLock = x_lock,
    .xUnlock = x_lock,
    .xCheckReservedLock = x_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_characteristics,
};

/* ---- the folder */

static struct disk_file *make(const char *name)
{
    for (int i = 0; i < FILES; i++)
        if (!files[i].name) {
            files[i].name = lt_strdup(name);
            return &files[i];
        }
    return NULL;
}

static int x_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *h, int flags,
                  int *out_flags)
{
    struct handle *handle = (struct handle *)h;

    (void)vfs;
    h->pMethods = NULL;
    handle->f = find(name);
    if (dead || (!handle->f && !(flags & SQLITE_OPEN_CREATE)) ||
        (!handle->f && !(handle->f = make(name))))
        return SQLITE_CANTOPEN;
    handle->f->exists = true;
    h->pMethods = &methods;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    struct disk_file *f = find(name);
    int rc = operation(false, SQLITE_IOERR_DELETE);

    (void)vfs;
    (void)sync;
    if (rc != SQLITE_OK || !f)
        return rc;
    f->exists = f->durable_name = false;
    drop_changes(f);
    image_resize(&f->now, 0);
    image_resize(&f->durable, 0);
    return SQLITE_OK;
}

static int x_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    const struct disk_file *f = find(name);

    (void)vfs;
    (void)flags;
    *out = f && f->exists;
    return SQLITE_OK;
}

static int x_path(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
    (void)vfs;
    sqlite3_snprintf(n, out, "%s", name);
    return SQLITE_OK;
}

void crashfs_reset(void)
{
    static sqlite3_vfs vfs;
    const sqlite3_vfs *system = sqlite3_vfs_find(NULL);

    if (!vfs.zName) {
        vfs = *system; /* clock, randomness, sleep */
        vfs.iVersion = 1;
        vfs.szOsFile = sizeof(struct handle);
        vfs.zName = "crashfs";
        vfs.pNext = NULL;
        vfs.xOpen = x_open;
        vfs.xDelete = x_delete;
        vfs.xAccess = x_access;
        vfs.xFullPathname = x_path;
        sqlite3_vfs_register(&vfs, 0);
    }
    for (int i = 0; i < FILES; i++) {
        drop_changes(&files[i]);
        lt_free(files[i].changes);
        lt_free(files[i].name);
        lt_free(files[i].now.data);
        lt_free(files[i].durable.data);
        memset(&files[i], 0, sizeof files[i]);
    }
    crashfs_arm(CRASHFS_NONE, 0);
}

void crashfs_arm(enum crashfs_fault f, unsigned at)
{
    fault = f;
    countdown = at;
    fired = dead = false;
}

bool crashfs_fired(void)
{
    return fired;
}

static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void survive(struct disk_file *f, uint64_t seed, uint64_t *state)
{
    struct image left = {0};

    image_copy(&left, &f->durable);
    for (size_t i = 0; seed && i < f->n_changes; i++) {
        const struct change *c = &f->changes[i];

        switch (draw(state) % 3) {
        case 0:
            image_apply(&left, c, c->n);
            break;
        case 1:
            if (c->data && c->n > SECTOR)
                image_apply(&left, c, (size_t)draw(state) % (c->n / SECTOR) * SECTOR);
            break;
        default:
            break;
        }
    }
    drop_changes(f);
    image_copy(&f->now, &left);
    image_copy(&f->durable, &left);
    f->exists = f->durable_name || (seed && f->exists && draw(state) % 2);
    if (!f->exists)
        image_resize(&f->now, 0);
    lt_free(left.data);
}

void crashfs_power_cut(uint64_t seed)
{
    uint64_t state = seed * 77 + 5;

    for (int i = 0; i < FILES; i++)
        if (files[i].name)
            survive(&files[i], seed, &state);
    crashfs_arm(CRASHFS_NONE, 0);
}

bool crashfs_flip(const char *suffix, size_t from_end)
{
    struct disk_file *f = find_suffix(suffix);

    if (!f || from_end >= f->now.len)
        return false;
    f->now.data[f->now.len - 1 - from_end] ^= 0x10;
    return true;
}

size_t crashfs_size(const char *suffix)
{
    const struct disk_file *f = find_suffix(suffix);

    return f ? f->now.len : 0;
}
