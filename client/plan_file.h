/* plan_file.h - from a file and --set to a checked spec */
#ifndef LT_CLIENT_PLAN_FILE_H
#define LT_CLIENT_PLAN_FILE_H

#include "lt/v1/jobs.pb-c.h"

struct lt_ctl;

/* Reads PATH (- is stdin), applies the values of --set, and checks level 1. Problems are printed,
 * all at once, errors and warnings. 0, LT_EXIT_REFUSED, or LT_EXIT_NOT_FOUND. *out lives in the
 * call's arena. */
int lt_plan_file_read(struct lt_ctl *ctl, const char *path, Lt__V1__JobSpec **out);

/* Prints problems that a checker found; when a plan was read, each with its place in that file. */
void lt_plan_file_problems(struct lt_ctl *ctl, Lt__V1__Problem *const *problems, size_t n);

#endif
