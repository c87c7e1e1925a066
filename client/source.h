/* source.h - one rank's output: its Logs stream, and where it goes on after a lost connection */
#ifndef LT_CLIENT_SOURCE_H
#define LT_CLIENT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include "client/lost.h"
#include "lt/v1/jobs.pb-c.h"

struct lt_ctl;
struct lt_lines_paper;
struct lt_progress;
struct lt_source;

/* What the sources of one job share; lives longer than they do. */
struct lt_sources {
    struct lt_ctl *ctl;
    const char *job;
    bool follow, has_tail;
    uint64_t tail;
    struct lt_lines_paper *paper; /* their lines go there; NULL: bytes, as they are, to 1 and 2 */
    struct lt_progress *progress; /* taken away before anything is written; may be NULL */
    struct lt_lost lost;
    bool within_line;             /* without paper: what was written last isn't a whole line */
    unsigned rewound;             /* attempts whose beginning was said, by whichever came first */
};

/* Functions that return int: LT_GO_ON, or the exit code that ends the call, its reason printed. */
#define LT_GO_ON (-1)

/* Before anything else is written: takes the progress away, ends a line that is painted in place.
 */
void lt_sources_pause(struct lt_sources *all);
/* Does a line stand there that isn't ended? */
bool lt_sources_within_line(const struct lt_sources *all);

struct lt_source *lt_source_new(struct lt_sources *all, uint32_t rank);
void lt_source_free(struct lt_source *s);

/* Opens its stream where it left off, unless it is open or has ended. *lost: nobody is there. */
int lt_source_open(struct lt_source *s, bool *lost);
void lt_source_close(struct lt_source *s);
/* Writes what came, a bounded part of it. *lost: the connection broke. */
int lt_source_read(struct lt_source *s, bool *lost);
/* A line that isn't whole is written as it is: nobody will wait for its end. */
int lt_source_flush(struct lt_source *s);
/* How the job ended, once all of the rank's output was there; else NULL. */
const Lt__V1__End *lt_source_end(const struct lt_source *s);

#endif
