/* manifest.h - what a checkpoint folder says of itself (docs/checkpoints.md)
 *
 *   ltd checkpoint 1
 *   job ID · step N · epoch N · sequence N · callback N · kind full|weights · in_epoch 0|1     (one
 * a line) file NAME BYTES CRC32C end CRC32C                                     (of everything
 * above) `sequence` grows with every checkpoint of a run: the highest is the newest. A folder
 * without a whole MANIFEST is no checkpoint.
 */
#ifndef LT_TRAIN_MANIFEST_H
#define LT_TRAIN_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

struct lt_buf;
struct lt_error;

#define LT_MANIFEST_FILES 4
#define LT_MANIFEST_MAX 4096

struct lt_manifest {
    char job[128];
    uint64_t step, epoch, sequence;
    int callback; /* index in the plan's list; -1: the system's */
    bool weights_only, in_epoch;
    int n_files;
    struct lt_manifest_file {
        char name[64];
        uint64_t bytes;
        uint32_t crc;
    } files[LT_MANIFEST_FILES];
};

void lt_manifest_print(const struct lt_manifest *m, struct lt_buf *out);
/* -EPROTO: damaged; path stands in the text. */
int lt_manifest_parse(const char *text, const char *path, struct lt_manifest *out,
                      struct lt_error *err);
/* The one of a folder. -ENOENT: none. */
int lt_manifest_read(const char *dir, struct lt_manifest *out, struct lt_error *err);
/* And every file's size and checksum. */
int lt_manifest_verify(const char *dir, struct lt_manifest *out, struct lt_error *err);

#endif
