/* command.h - a foreign program: where it is found, and in what surroundings it runs
 *
 * Used by lt-shim, which starts it, and by lt-worker --plan-only, which says beforehand whether that
 * will work. Errors name what is missing; messages never hold a secret's value.
 */
#ifndef LT_ENGINE_WORKER_COMMAND_H
#define LT_ENGINE_WORKER_COMMAND_H

#include "lt/v1/plan.pb-c.h"

struct lt_buf;
struct lt_error;
struct lt_problems;

/* Where the program runs: working_dir, else run_dir (borrowed). */
const char *lt_command_dir(const Lt__V1__Command *c, const char *run_dir);
/* The program's file, absolute: argv[0] in the PATH of the command's env (else the usual one); with a
 * slash in it: relative to dir. *out is lt_free()d. -ENOENT, -EACCES: err says where was looked. */
int lt_command_find(const Lt__V1__Command *c, const char *dir, char **out, struct lt_error *err);
/* Makes this process's environment the command's: a few words about the user, the command's env, its
 * env_from_file and secrets. What was there is gone. */
int lt_command_environment(const Lt__V1__Command *c, struct lt_error *err);
/* What this node says of it: program, folder, files. Adds a problem for each; without one, report is
 * JSON for `plan check`. */
void lt_command_check(const Lt__V1__Command *c, struct lt_problems *problems, struct lt_buf *report);

#endif
