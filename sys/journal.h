/* journal.h - append-only file of checksummed records (docs/journal-format.md)
 *
 * One writer, any number of readers that tail it by offset. Header: "LTJ1" + u32 version. Record: u32
 * length, u32 crc32c of (length, payload), payload; little endian. A torn record can only be the last: the
 * writer truncates there when it opens, a reader waits there.
 */
#ifndef LT_SYS_JOURNAL_H
#define LT_SYS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_buf;
struct lt_error;
struct lt_journal;

#define LT_JOURNAL_RECORD_MAX (4u << 20)
#define LT_JOURNAL_HEADER 8

/* Open or create for appending. *out is the caller's, to lt_journal_close(). -EPROTO: not a journal, or damaged before its end. */
int lt_journal_open(const char *path, struct lt_journal **out, struct lt_error *err);
/* In the page cache when this returns (survives our death, not the machine's). Borrows buf for the call. */
int lt_journal_append(struct lt_journal *j, const void *buf, size_t n, struct lt_error *err);
/* Everything appended so far is durable when this returns 0. */
int lt_journal_sync(struct lt_journal *j, struct lt_error *err);
uint64_t lt_journal_size(const struct lt_journal *j);
void lt_journal_close(struct lt_journal *j);
LT_DEFINE_AUTO(struct lt_journal *, lt_journal_close)

struct lt_journal_reader;
/* offset: 0 or a position that lt_journal_read() gave. The file need not exist yet. */
int lt_journal_reader_open(const char *path, uint64_t offset, struct lt_journal_reader **out, struct lt_error *err);
/* 1: *payload (valid until the next call), *n and *end_offset (behind the record) are set. 0: nothing more now.
 * -EPROTO: damaged (a bad checksum with further bytes behind it). */
int lt_journal_read(struct lt_journal_reader *r, const void **payload, size_t *n, uint64_t *end_offset, struct lt_error *err);
/* A record in memory, at the beginning of `left` bytes of a journal behind its header. 1: *payload, *n, and *size of it all
 * are set. 0: not whole (yet). at_end: nothing is behind these bytes. -EPROTO: damaged. */
int lt_journal_parse(const void *data, size_t left, bool at_end, const void **payload, size_t *n, size_t *size);
void lt_journal_reader_close(struct lt_journal_reader *r);
LT_DEFINE_AUTO(struct lt_journal_reader *, lt_journal_reader_close)

#endif
