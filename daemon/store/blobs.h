/* blobs.h - files by the SHA-256 of their content: <dir>/blobs/ab/abcdef… (sys/paths.h)
 *
 * Written under a temporary name, synced, renamed: a blob is there whole or not at all. All writes
 * go through sys/file.h. Who put a blob owns it: an empty file abcdef….UID beside it for each; the
 * coordinator shows a blob to its owners alone. A node's cache has the same form, without owners.
 * When a blob was last put or asked for is its file's mtime. Any thread, each writer one at a time.
 */
#ifndef LT_DAEMON_STORE_BLOBS_H
#define LT_DAEMON_STORE_BLOBS_H

#include <stdbool.h>
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
uint64_t lt_blob_writer_size(const struct lt_blob_writer *w); /* bytes so far */
/* Durable under its name when this returns 0. expected: what the content must be (NULL: anything);
 * -EBADMSG: it is something else, and is not kept. Frees w in any case. */
int lt_blob_writer_finish(struct lt_blob_writer *w, const char *expected, char hash[65],
                          uint64_t *size, struct lt_error *err);
void lt_blob_writer_close(struct lt_blob_writer *w); /* gives up; NULL is fine */
LT_DEFINE_AUTO(struct lt_blob_writer *, lt_blob_writer_close)

/* Path of a blob, to lt_free(); NULL when hash is not 64 lower-case hexadecimal digits. */
char *lt_blob_path(const char *dir, const char *hash);
/* -ENOENT. */
int lt_blob_stat(const char *dir, const char *hash, uint64_t *size, struct lt_error *err);

/* uid owns it from now on; durable. Root needs no entry: it owns everything. */
int lt_blob_own(const char *dir, const char *hash, uint32_t uid, struct lt_error *err);
/* -ENOENT also when it is there, but nothing of this uid's. */
int lt_blob_stat_owned(const char *dir, const char *hash, uint32_t uid, uint64_t *size,
                       struct lt_error *err);
/* It was asked for now. */
void lt_blob_touch(const char *dir, const char *hash);
/* Each blob there is, in no order; age_s: since it was last put or touched, < 0 when the clock went
 * back. Those that keep() is false of are removed, owners and all. */
typedef bool lt_blob_keep_fn(void *arg, const char *hash, int64_t age_s);
int lt_blobs_sweep(const char *dir, lt_blob_keep_fn *keep, void *arg, struct lt_error *err);

#endif
