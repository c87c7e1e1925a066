/* lines.h - the output of several ranks, line by line, each with its rank in front
 *
 * [0] what rank 0 said
 * [1] what rank 1 said
 *
 * A line is written when it is whole: lines of different ranks never mix (decision 0092). It ends
 * with its newline, with what its writer wrote (lt_lines_end), when it has LT_LINE_MAX bytes, and
 * before a carriage return that no newline follows, for a progress bar's sake: a newline is put
 * behind it then, which on a terminal, where the next one may stand in its place, comes only when
 * something else is to be written.
 */
#ifndef LT_CLIENT_LINES_H
#define LT_CLIENT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"

struct lt_lines;       /* one rank's stdout or stderr */
struct lt_lines_paper; /* what all of them write on: descriptors 1 and 2, or two of a test's */

#define LT_LINE_MAX (64u << 10)

/* Looks whether out and err are terminals: colours (TERM, NO_COLOR), lines in place. */
struct lt_lines_paper *lt_lines_paper_new(int out, int err);
void lt_lines_paper_free(struct lt_lines_paper *p); /* NULL is fine; after its lines */
LT_DEFINE_AUTO(struct lt_lines_paper *, lt_lines_paper_free)
/* Ends the line that stands in place, before somebody else writes on the terminal. */
void lt_lines_settle(struct lt_lines_paper *p);
bool lt_lines_painted(const struct lt_lines_paper *p); /* is there one? */

struct lt_lines *lt_lines_new(struct lt_lines_paper *p, uint32_t rank, bool err);
/* What is held back is lost: end first. NULL is fine. */
void lt_lines_free(struct lt_lines *l);
LT_DEFINE_AUTO(struct lt_lines *, lt_lines_free)

/* Writes the lines that become whole, and keeps the rest. 0, or -errno of the write. */
int lt_lines_add(struct lt_lines *l, const void *data, size_t n);
/* Nothing comes behind what was added: an attempt's end, or a gap. */
int lt_lines_end(struct lt_lines *l);

/* All of it; 0 or -errno. */
int lt_write_all(int fd, const void *data, size_t n);

#endif
