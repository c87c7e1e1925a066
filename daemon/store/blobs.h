/* blobs.h - files by the SHA-256 of their content: <dir>/blobs/ab/abcdef…
 *
 * Written under a temporary name, synced, renamed: a blob is there whole or not at all. All writes
 * go through sys/file.h.
 */
#ifndef LT_DAEMON_STORE_BLOBS_H
#define LT_DAEMON_STORE_BLOBS_H

#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_blob_writer;
struct lt_error;

/* Removes what an interrupted upload left behind. Call once at start. */
int lt_blobs_open(const char *dir, struct lt_error *err);

/* max: bytes it may hold (-EFBIG beyond). */
int lt_blob_writer_open(const char *dir, uint64_t max, struct lt_blob_writer **out,
                        struct lt_error *err);
int lt_blob_writer_add(struct lt_blob_writer *w, const void *data, size_t n, struct lt_error *err);
/* Durable under its name when this returns 0. Frees w in any case. */
int lt_blob_writer_finish(struct lt_blob_writer *w, char hash[65], uint64_t *size,
                          struct lt_error *err);
void lt_blob_writer_close(struct lt_blob_writer *w); /* gives up; NULL is fine */
LT_DEFINE_AUTO(struct lt_blob_writer *, lt_blob_writer_close)

/* Path of a blob, to lt_free(); NULL when hash is not 64 lower-case hexadecimal digits. */
char *lt_blob_path(const char *dir, const char *hash);
/* -ENOENT. */
int lt_blob_stat(const char *dir, const char *hash, uint64_t *size, struct lt_error *err);

#endif
