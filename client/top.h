/* top.h - what `ltctl top` shows, as text; and a terminal that shows it in place */
#ifndef LT_CLIENT_TOP_H
#define LT_CLIENT_TOP_H

#include <stdbool.h>
#include "base/auto.h"
#include "lt/v1/jobs.pb-c.h"
#include "lt/v1/nodes.pb-c.h"

struct lt_buf;

/* A line about the jobs, one about the nodes, then a row for each rank of each job. Appends. */
void lt_top_text(const Lt__V1__ListResponse *jobs, const Lt__V1__NodesListResponse *nodes,
                 struct lt_buf *out);

/* ---- the terminal (screen.c): its other screen, without cursor and echo, until it is closed; also
 * when a signal ends us. One at a time. */
struct lt_screen;
struct lt_screen *lt_screen_open(void); /* NULL: standard output is no terminal that can do it */
void lt_screen_close(struct lt_screen *s);
LT_DEFINE_AUTO(struct lt_screen *, lt_screen_close)
/* Replaces what is shown: cut to the terminal's size, which may change at any time. */
void lt_screen_draw(struct lt_screen *s, const char *text);
/* Waits for a key, a signal (0) or the end of the time (0). */
int lt_screen_wait(struct lt_screen *s, int ms);
/* A signal other than Ctrl-C's asks us to end; 0: none did. */
int lt_screen_signal(const struct lt_screen *s);

#endif
