/* powercut.c - durable contents by inode, durable entries by folder
 *
 * Nothing is recorded when files change; the moments that matter are syncs. A descriptor is kept on every
 * inode that we know, so that its number isn't given to another file meanwhile.
 */
#include "tests/support/powercut.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
    char *name;
    int inode; /* index into `inodes` */
};

struct inode {
    dev_t dev;
    ino_t ino;
    mode_t mode;
    int hold; /* O_PATH */
    char *data, *newer; /* files: durable content; content at the time of the cut */
    size_t size, newer_size;
    struct entry *entries; /* folders: durable entries */
    int entry_count;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char *root;
static struct inode *inodes;
static int inode_count, inode_cap;
static uint32_t random_state;

static void die(const char *what)
{
    perror(what);
    abort();
}

/* Numbers only decide which unsynced part survives; any generator will do. */
static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return n ? (random_state >> 8) % n : 0;
}

/* The inode of an open descriptor (O_PATH is enough), known or new. */
static int inode_of(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        die("fstat");
    for (int i = 0; i < inode_count; i++)
        if (inodes[i].dev == st.st_dev && inodes[i].ino == st.st_ino)
            return i;
    if (inode_count == inode_cap) {
        inode_cap = inode_cap ? inode_cap * 2 : 64;
        inodes = realloc(inodes, (size_t)inode_cap * sizeof *inodes);
        if (!inodes)
            die("realloc");
    }
    inodes[inode_count] = (struct inode){.dev = st.st_dev, .ino = st.st_ino, .mode = st.st_mode,
                                         .hold = fcntl(fd, F_DUPFD_CLOEXEC, 200)};
    if (inodes[inode_count].hold < 0)
        die("dup");
    return inode_count++;
}

/* Opens what a descriptor stands for again, for reading. */
static int reopen(int fd)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static char *content(int hold, size_t *n)
{
    int fd = reopen(hold);
    struct stat st;
    char *data;
    size_t done = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        die("reopen");
    data = malloc((size_t)st.st_size + 1);
    while (data && done < (size_t)st.st_size) {
        ssize_t got = pread(fd, data + done, (size_t)st.st_size - done, (off_t)done);

        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(fd);
    *n = done;
    return data;
}

static void entries_clear(struct inode *d)
{
    for (int i = 0; i < d->entry_count; i++)
        free(d->entries[i].name);
    free(d->entries);
    d->entries = NULL;
    d->entry_count = 0;
}

static void folder_take(int index, bool deep);

/* What is there now is durable. deep: below it, too. */
static void take(int index, bool deep)
{
    if (S_ISDIR(inodes[index].mode)) {
        folder_take(index, deep);
        return;
    }
    free(inodes[index].data);
    inodes[index].data = content(inodes[index].hold, &inodes[index].size);
}

static void folder_take(int index, bool deep)
{
    int fd = reopen(inodes[index].hold);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!dir)
        die("fdopendir");
    entries_clear(&inodes[index]);
    while ((e = readdir(dir)) != NULL) {
        int child, known = inode_count, fd2;
        struct inode *d;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        fd2 = openat(dirfd(dir), e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd2 < 0)
            continue; /* gone meanwhile */
        child = inode_of(fd2);
        close(fd2);
        if (!S_ISDIR(inodes[child].mode) && !S_ISREG(inodes[child].mode))
            continue;
        if (deep)
            take(child, child >= known);
        d = &inodes[index];
        d->entries = realloc(d->entries, (size_t)(d->entry_count + 1) * sizeof *d->entries);
        d->entries[d->entry_count++] = (struct entry){strdup(e->d_name), child};
    }
    closedir(dir);
}

static void forget(void)
{
    for (int i = 0; i < inode_count; i++) {
        entries_clear(&inodes[i]);
        free(inodes[i].data);
        free(inodes[i].newer);
        close(inodes[i].hold);
    }
    free(inodes);
    inodes = NULL;
    inode_count = inode_cap = 0;
    free(root);
    root = NULL;
}

void lt_powercut_begin(const char *dir)
{
    int fd;

    pthread_mutex_lock(&mutex);
    forget();
    root = realpath(dir, NULL);
    fd = root ? open(root, O_PATH | O_CLOEXEC) : -1;
    if (fd < 0)
        die(dir);
    take(inode_of(fd), true); /* index 0 is the root */
    close(fd);
    pthread_mutex_unlock(&mutex);
}

void lt_powercut_synced(int fd)
{
    pthread_mutex_lock(&mutex);
    if (root)
        take(inode_of(fd), false);
    pthread_mutex_unlock(&mutex);
}

/* Lets through a part of what wasn't synced. */
static void survive(int index)
{
    struct inode *n = &inodes[index];

    if (S_ISDIR(n->mode)) {
        if (draw(2))
            folder_take(index, false);
        return;
    }
    n->newer = content(n->hold, &n->newer_size);
    switch (draw(4)) {
    case 0: /* the last synced content */
        return;
    case 1: /* all of the new */
        break;
    case 2: /* the beginning of it */
        n->newer_size = draw((uint32_t)n->newer_size + 1);
        break;
    default: /* the length got there, the end of the data didn't */
        if (n->newer_size) {
            size_t from = draw((uint32_t)n->newer_size);

            memset(n->newer + from, 0, n->newer_size - from);
        }
    }
    /* What was synced once stays where nothing was written over it. */
    if (n->size && n->newer_size < n->size)
        return;
    if (n->size && n->newer_size >= n->size)
        memcpy(n->newer, n->data, n->size);
    free(n->data);
    n->data = n->newer;
    n->size = n->newer_size;
    n->newer = NULL;
}

static int remove_below(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    return ftw->level == 0 ? 0 : remove(path);
}

static void rebuild(const char *path, int index)
{
    for (int i = 0; i < inodes[index].entry_count; i++) {
        const struct entry *e = &inodes[index].entries[i];
        const struct inode *n = &inodes[e->inode];
        char child[PATH_MAX];
        int fd;

        snprintf(child, sizeof child, "%s/%s", path, e->name);
        if (S_ISDIR(n->mode)) {
            if (mkdir(child, n->mode & 07777) < 0)
                die(child);
            rebuild(child, e->inode);
            continue;
        }
        fd = open(child, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, n->mode & 07777);
        if (fd < 0 || write(fd, n->data ? n->data : "", n->size) != (ssize_t)n->size)
            die(child);
        close(fd);
    }
}

void lt_powercut_happen(uint32_t seed)
{
    pthread_mutex_lock(&mutex);
    if (!root)
        abort();
    random_state = seed;
    for (int i = 0, n = inode_count; seed && i < n; i++)
        survive(i);
    nftw(root, remove_below, 16, FTW_DEPTH | FTW_PHYS);
    rebuild(root, 0);
    forget();
    pthread_mutex_unlock(&mutex);
}

void lt_powercut_end(void)
{
    pthread_mutex_lock(&mutex);
    forget();
    pthread_mutex_unlock(&mutex);
}
