/* mapped.h - a data file in memory, decoded once if it is compressed
 *
 * NAME is mapped as it is; NAME.gz is inflated into <cache>/decoded/SHA256-of-the-compressed-file,
 * and that is mapped. <cache>/decoded/by-file remembers which state of a file (path, device, inode,
 * size, mtime) has which digest, so that nothing is read twice.
 */
#ifndef LT_DATA_MAPPED_H
#define LT_DATA_MAPPED_H

#include <stddef.h>
#include <stdint.h>

struct lt_error;

#define LT_DECODED_MAX ((uint64_t)1 << 40) /* a file that inflates to more is refused */

struct lt_mapped {
    char *path; /* the file that the user knows */
    const uint8_t *data;
    size_t size;
};

struct lt_mapped_config {
    const char *cache_dir;
    void (*progress)(void *arg, const char *text);
    void *arg;
};

/* dir/name, or dir/name.gz. -ENOENT: neither; -EPROTO: damaged; else -errno; path and reason in
 * err. */
int lt_mapped_open(const struct lt_mapped_config *c, const char *dir, const char *name,
                   struct lt_mapped *out, struct lt_error *err);
void lt_mapped_done(struct lt_mapped *m);

#endif
