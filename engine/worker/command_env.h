/* command_env.h - a command's environment and the files it comes from; used by command*.c alone */
#ifndef LT_ENGINE_WORKER_COMMAND_ENV_H
#define LT_ENGINE_WORKER_COMMAND_ENV_H

#include "base/buf.h"

struct lt_error;

#define LT_COMMAND_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What the file holds, one newline at its end left out. -EINVAL: empty, too long, or with a NUL. */
int lt_command_secret(const char *path, struct lt_buf *out, struct lt_error *err);
/* Calls set (may be NULL) for each NAME=VALUE; err names file and line, never a value. */
typedef void lt_command_set_fn(const char *name, const char *value);
int lt_command_env_file(const char *path, lt_command_set_fn *set, struct lt_error *err);
void lt_command_wipe(struct lt_buf *b); /* zeros, then lt_buf_done() */

#endif
