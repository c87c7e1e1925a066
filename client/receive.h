/* receive.h - files that the daemon sends, into a folder or under a name */
#ifndef LT_CLIENT_RECEIVE_H
#define LT_CLIENT_RECEIVE_H

#include "lt/v1/jobs.pb-c.h"

struct lt_ctl;

/* Downloads what q names: into dir, made where it isn't there, under the names that they have; or,
 * where dir is NULL, the one file as `as`. A file has its name when all of it is durable; what is
 * unfinished stays as NAME.part. 0, or an exit code with the reason printed. */
int lt_receive(struct lt_ctl *ctl, const Lt__V1__DownloadRequest *q, const char *dir, const char *as);

#endif
