/* tmp.c - temporary folders */
#include "tests/support/tmp.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRS_MAX 256

static char dirs[DIRS_MAX][128];
static int dir_count;
static pid_t owner;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_all(void)
{
    if (getpid() != owner) /* a child that ran exit() */
        return;
    for (int i = 0; i < dir_count; i++)
        nftw(dirs[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *lt_test_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = dirs[dir_count];

    if (dir_count == DIRS_MAX)
        abort();
    if (dir_count == 0) {
        owner = getpid();
        atexit(remove_all);
    }
    snprintf(dir, sizeof dirs[0], "%s/ltd-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir)) {
        perror(dir);
        abort();
    }
    dir_count++;
    return dir;
}

const char *lt_test_path(const char *dir, const char *name)
{
    static char ring[16][PATH_MAX];
    static unsigned next;
    char *p = ring[next++ % 16];

    snprintf(p, PATH_MAX, "%s/%s", dir, name);
    return p;
}

void lt_test_write(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "we");

    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        abort();
    }
}

char *lt_test_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "re");
    char *data = NULL;
    size_t len = 0, cap = 0;

    if (!f)
        return NULL;
    for (;;) {
        if (len + 4096 > cap) {
            cap = cap ? cap * 2 : 8192;
            data = realloc(data, cap);
            if (!data)
                abort();
        }
        size_t got = fread(data + len, 1, 4095, f);

        len += got;
        if (got == 0)
            break;
    }
    fclose(f);
    data[len] = '\0';
    if (n)
        *n = len;
    return data;
}
