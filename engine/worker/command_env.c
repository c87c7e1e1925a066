/* command_env.c - what a command finds in its environment
 *
 * Nothing of the daemon's: whoever happened to start it must not decide what a job does. A user's
 * few words (HOME, USER, LOGNAME, SHELL, PATH, LANG, PYTHONUNBUFFERED) stand in for a login; then come env,
 * env_from_file and secrets, in this order, and behind them what the shim sets for every rank.
 * Secrets are read here, in the process that becomes the program, on the node and as its user: they
 * are in no message, event or log of ltd.
 */
#include "engine/worker/command_env.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/worker/command.h"
#include "proto/plan.h"
#include "sys/file.h"

#define SECRET_MAX (64u << 10)
#define ENV_FILE_MAX (1u << 20)

void lt_command_wipe(struct lt_buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    lt_buf_done(b);
}

int lt_command_secret(const char *path, struct lt_buf *out, struct lt_error *err)
{
    int rc = lt_file_read(path, SECRET_MAX, out, err);

    if (rc < 0)
        return rc;
    if (out->len && out->data[out->len - 1] == '\n')
        out->data[--out->len] = 0;
    if (out->len == 0)
        return lt_error_set(err, -EINVAL, "%s is empty", path);
    if (memchr(out->data, 0, out->len))
        return lt_error_set(err, -EINVAL, "%s holds a NUL byte", path);
    return 0;
}

/* One line, cut into name and value. */
static int take_line(char *line, const char *path, unsigned number, lt_command_set_fn *set,
                     struct lt_error *err)
{
    char *equals;
    const char *fault;

    line += strspn(line, " \t");
    if (strncmp(line, "export ", 7) == 0)
        line += 7;
    if (!*line || *line == '#')
        return 0;
    equals = strchr(line, '=');
    if (!equals)
        return lt_error_set(err, -EINVAL, "%s, line %u: is not NAME=VALUE", path, number);
    *equals = 0;
    fault = lt_env_name_fault(line);
    if (fault)
        return lt_error_set(err, -EINVAL, "%s, line %u: `%.100s` %s", path, number, line, fault);
    if (set)
        set(line, equals + 1);
    return 0;
}

int lt_command_env_file(const char *path, lt_command_set_fn *set, struct lt_error *err)
{
    struct lt_buf text = {0};
    unsigned number = 0;
    int rc = lt_file_read(path, ENV_FILE_MAX, &text, err);

    if (rc == 0 && text.len && memchr(text.data, 0, text.len))
        rc = lt_error_set(err, -EINVAL, "%s holds a NUL byte", path);
    for (char *line = text.data, *next; rc == 0 && line && *line; line = next) {
        size_t n = strcspn(line, "\n");

        next = line[n] ? line + n + 1 : line + n;
        line[n] = 0;
        rc = take_line(line, path, ++number, set, err);
    }
    lt_command_wipe(&text);
    return rc;
}

static void set_variable(const char *name, const char *value)
{
    setenv(name, value, 1);
}

static void set_user(void)
{
    const struct passwd *user = getpwuid(getuid());

    setenv("PATH", LT_COMMAND_PATH, 1);
    setenv("LANG", "C.UTF-8", 1);
    setenv("PYTHONUNBUFFERED", "1", 1); /* what it prints is in the log at once */
    setenv("HOME", user && user->pw_dir[0] ? user->pw_dir : "/", 1);
    setenv("SHELL", user && user->pw_shell[0] ? user->pw_shell : "/bin/sh", 1);
    if (!user)
        return;
    setenv("USER", user->pw_name, 1);
    setenv("LOGNAME", user->pw_name, 1);
}

static int set_secrets(const Lt__V1__Command *c, struct lt_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < c->n_secrets && rc == 0; i++) {
        struct lt_buf value = {0};

        rc = lt_command_secret(c->secrets[i]->value, &value, err);
        if (rc == 0)
            setenv(c->secrets[i]->key, value.data, 1);
        else
            lt_error_prefix(err, "secret %s", c->secrets[i]->key);
        lt_command_wipe(&value);
    }
    return rc;
}

int lt_command_environment(const Lt__V1__Command *c, struct lt_error *err)
{
    int rc = 0;

    clearenv();
    set_user();
    for (size_t i = 0; i < c->n_env; i++)
        if (c->env[i]->key && c->env[i]->key[0])
            setenv(c->env[i]->key, c->env[i]->value ? c->env[i]->value : "", 1);
    for (size_t i = 0; i < c->n_env_from_file && rc == 0; i++)
        rc = lt_command_env_file(c->env_from_file[i], set_variable, err);
    return rc < 0 ? rc : set_secrets(c, err);
}
