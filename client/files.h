/* files.h - files on this machine that a plan names: they travel with it, by content */
#ifndef LT_CLIENT_FILES_H
#define LT_CLIENT_FILES_H

#include "lt/v1/plan.pb-c.h"

struct lt_buf;
struct lt_ctl;

/* Hashes them, and puts each one's address (sha256:…) in the plan. Nothing is sent. 0, or
 * LT_EXIT_REFUSED with the problems printed. */
int lt_files_address(struct lt_ctl *ctl, Lt__V1__JobSpec *spec);
/* Hands in those that the daemon doesn't have yet. 0, or an exit code with the reason printed. */
int lt_files_send(struct lt_ctl *ctl);
/* A sentence with addresses in it, with the files' names instead. Appends to out. */
void lt_files_name(const struct lt_ctl *ctl, const char *text, struct lt_buf *out);

#endif
