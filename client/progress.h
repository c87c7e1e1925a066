/* progress.h - the one line at the bottom of a terminal */
#ifndef LT_CLIENT_PROGRESS_H
#define LT_CLIENT_PROGRESS_H

#include <stdbool.h>
#include "lt/v1/jobs.pb-c.h"

struct lt_buf;
struct lt_progress;

/* NULL when stderr is no terminal (or a dumb one): every function accepts that and does nothing. */
struct lt_progress *lt_progress_new(void);
void lt_progress_update(struct lt_progress *p, const Lt__V1__JobStatus *s);
/* Takes the line away before something else is written; draw brings it back. */
void lt_progress_hide(struct lt_progress *p);
void lt_progress_draw(struct lt_progress *p);
void lt_progress_free(struct lt_progress *p);
/* What it says about a status, without any escape. */
void lt_progress_text(const Lt__V1__JobStatus *s, struct lt_buf *out);
/* Bytes of a text that has room for so many: its fields are shown whole or not at all. */
size_t lt_progress_fit(const char *text, size_t room);

#endif
