/* make_idx.h - small idx files made by a test: known bytes, optionally gzipped or broken */
#ifndef LT_TESTS_MAKE_IDX_H
#define LT_TESTS_MAKE_IDX_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "tests/support/tmp.h"

/* A new folder; the caller may remove it earlier than the program's end. lt_free(). */
static inline char *make_dir(void)
{
    return lt_strdup(lt_test_dir());
}

static inline void write_bytes(const char *dir, const char *name, const void *data, size_t n)
{
    char *path = lt_format("%s/%s", dir, name);
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(data, 1, n, f) != n || fclose(f))
        abort();
    lt_free(path);
}

static inline void write_gz(const char *dir, const char *name, const void *data, size_t n)
{
    char *path = lt_format("%s/%s.gz", dir, name);
    gzFile f = gzopen(path, "wb");

    if (!f || gzwrite(f, data, (unsigned)n) != (int)n || gzclose(f) != Z_OK)
        abort();
    lt_free(path);
}

/* Header and n bytes: fill(i) gives byte i of the content. */
static inline unsigned char *idx_bytes(int ndim, const uint32_t *dim, unsigned char (*fill)(size_t),
                                       size_t *size)
{
    size_t n = 1, header = 4 + 4 * (size_t)ndim;
    unsigned char *p;

    for (int d = 0; d < ndim; d++)
        n *= dim[d];
    p = lt_malloc(header + n);
    memcpy(p, (unsigned char[4]){0, 0, 8, (unsigned char)ndim}, 4);
    for (int d = 0; d < ndim; d++)
        for (int b = 0; b < 4; b++)
            p[4 + 4 * d + b] = (unsigned char)(dim[d] >> (24 - 8 * b));
    for (size_t i = 0; i < n; i++)
        p[header + i] = fill(i);
    *size = header + n;
    return p;
}

static inline unsigned char pixel_of(size_t i)
{
    return (unsigned char)((i * 2654435761u) >> 13);
}

static inline unsigned char label_of(size_t i)
{
    return (unsigned char)((i * 7 + i / 3) % 4);
}

/* images [n, side, side] and labels 0 … 3 of one part ("train" or "t10k"). */
static inline void make_part(const char *dir, const char *part, uint32_t n, uint32_t side, int gz)
{
    size_t size;
    char name[64];
    unsigned char *p = idx_bytes(3, (uint32_t[]){n, side, side}, pixel_of, &size);

    snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
    (gz ? write_gz : write_bytes)(dir, name, p, size);
    lt_free(p);
    p = idx_bytes(1, &n, label_of, &size);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
    (gz ? write_gz : write_bytes)(dir, name, p, size);
    lt_free(p);
}

#endif
