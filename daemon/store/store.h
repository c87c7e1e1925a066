/* store.h - the event log: what was acknowledged is there after any crash
 *
 * One SQLite file, <dir>/events.db: WAL, synchronous=FULL, no mmap, one connection that writes and
 * checkpoints. Each row carries crc32c(previous row's crc, seq, payload), because SQLite has no
 * page checksums: a flipped bit, a lost or a swapped row is found at the next start, and named.
 * Metrics live in a file of their own with weaker durability (metrics.h); blobs are plain files
 * (blobs.h).
 *
 * Not thread-safe: the loop thread owns it. Errors: -ENOSPC disk or quota full, -EIO, -EROFS;
 * -EBADMSG a damaged row (path, row and remedy in err); -ENOTSUP written by a newer version;
 * -EWOULDBLOCK another process has it. After a failed write it isn't known what a crash would bring
 * back: the file is opened anew, what is read from then on (last_seq too) is what a restarted
 * daemon would read, and writes fail with -EIO until lt_store_probe() succeeds.
 */
#ifndef LT_DAEMON_STORE_STORE_H
#define LT_DAEMON_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_buf;
struct lt_error;
struct lt_store;

#define LT_STORE_SCHEMA_VERSION 1
#define LT_STORE_SNAPSHOT_EVERY 100000 /* events */

struct lt_store_event {
    uint64_t seq;
    const char *job; /* "": of no job */
    const void *data; /* a packed lt.v1.Event; the store doesn't look inside */
    size_t len;
};

struct lt_store_options {
    const char *vfs; /* SQLite VFS to use; NULL: the system's. Tests put a faulty one here. */
};

/* Opens or creates <dir>/events.db (the folder must exist). Rows are checked by lt_store_read.
 * options may be NULL. */
int lt_store_open(const char *dir, const struct lt_store_options *options, struct lt_store **out,
                  struct lt_error *err);
void lt_store_close(struct lt_store *s); /* NULL is fine */
LT_DEFINE_AUTO(struct lt_store *, lt_store_close)

/* All or none, durable when it returns 0. events[0].seq must be last_seq + 1, the others follow
 * without a gap: otherwise -ESTALE (somebody else wrote: the caller's state is old). */
int lt_store_append(struct lt_store *s, const struct lt_store_event *events, size_t n,
                    struct lt_error *err);
uint64_t lt_store_last_seq(const struct lt_store *s);
/* Does a durable write work (again)? Writes a row of its own, and allows writes again. */
int lt_store_probe(struct lt_store *s, struct lt_error *err);

/* Calls fn for each event with seq > from, in order; at most max (0: all). job NULL: of all jobs. A
 * non-zero result of fn ends it and is returned. Reads of all jobs check the chain of crcs from the
 * first row read on (the row before it gives the seed), reads of one job check each row by itself.
 */
typedef int lt_store_read_fn(void *arg, const struct lt_store_event *e);
int lt_store_read(struct lt_store *s, uint64_t from, const char *job, size_t max,
                  lt_store_read_fn *fn, void *arg, struct lt_error *err);

/* Snapshot of the fold as of seq (≤ last_seq); replaces older ones, keeping one to fall back on. One
 * that fails leaves the log as it was, and open for events when it takes any. */
int lt_store_snapshot_save(struct lt_store *s, uint64_t seq, const void *data, size_t len,
                           struct lt_error *err);
/* The newest one whose checksum holds: 0, *seq and out are set; -ENOENT: none, replay from 0. */
int lt_store_snapshot_load(struct lt_store *s, uint64_t *seq, struct lt_buf *out,
                           struct lt_error *err);
/* Events since the newest snapshot, or since the last one that failed; at LT_STORE_SNAPSHOT_EVERY it
 * is time for one. */
uint64_t lt_store_since_snapshot(const struct lt_store *s);

/* Marks a removed job: with the first snapshots that no longer need its events their rows become
 * empty. They stay in the chain, and are read as lt.v1.Event with a seq and nothing else
 * (lt_core_replay takes them). */
int lt_store_forget(struct lt_store *s, const char *job, struct lt_error *err);

#endif
