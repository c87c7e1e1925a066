/* journal_format.h - what writer and reader of journals agree on (private to sys/) */
#ifndef LT_SYS_JOURNAL_FORMAT_H
#define LT_SYS_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LT_JOURNAL_VERSION 1u
#define LT_JOURNAL_RECORD_HEADER 8
extern const unsigned char lt_journal_magic[8]; /* "LTJ1", then the version */

/* The first `left` (up to 8) bytes of a file of `size` bytes. 1: a journal's. 0: not yet, to be begun again by a writer: cut
 * short, or zeros whose length reached the disk before they did. -EPROTO. */
int lt_journal_header_look(const unsigned char *p, size_t left, uint64_t size);

enum lt_journal_state {
    LT_JOURNAL_RECORD, /* a whole record */
    LT_JOURNAL_TORN,   /* less than one, and nothing behind it */
    LT_JOURNAL_DAMAGED,
};
/* What lies at p, with `left` bytes there. `at_end`: the file ends behind them, so that a bad record that
 * reaches the end, or zeros up to the end, is a torn one. *need: bytes of the whole record, as far as known. */
enum lt_journal_state lt_journal_look(const unsigned char *p, size_t left, bool at_end, size_t *need);

#endif
