/* attempt.c - small text files of an attempt's folder, each written whole or not at all */
#include "sys/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/paths.h"

#define SMALL 4096

char *lt_attempt_path(const char *dir, const char *what)
{
    return lt_path_join(dir, what);
}

static int write_small(const char *dir, const char *what, const char *text, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(dir, what);

    return lt_file_replace(path, text, strlen(text), 0600, err);
}

static int read_small(const char *dir, const char *what, struct lt_buf *out, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(dir, what);
    int rc = lt_file_read(path, SMALL, out, err);

    if (rc < 0)
        return rc;
    if (!out->len || memchr(out->data, '\0', out->len))
        return lt_error_set(err, -EPROTO, "%s: damaged", path);
    return 0;
}

static int damaged(const char *dir, const char *what, struct lt_error *err)
{
    return lt_error_set(err, -EPROTO, "%s/%s: damaged", dir, what);
}

int lt_attempt_write_exit(const char *dir, const struct lt_exit_record *e, struct lt_error *err)
{
    char text[64];

    int n = snprintf(text, sizeof text, "%s %d\n%s", e->signaled ? "signal" : "exit", e->status,
                     e->oom ? "oom\n" : "");

    if (e->at_ns)
        snprintf(text + n, sizeof text - (size_t)n, "at %llu\n", (unsigned long long)e->at_ns);
    return write_small(dir, "exit", text, err);
}

int lt_attempt_read_exit(const char *dir, struct lt_exit_record *out, struct lt_error *err)
{
    LT_BUF_AUTO text = {0};
    struct lt_exit_record e = {0};
    unsigned long long at = 0;
    const char *rest;
    char word[8];
    int end = 0;
    int rc = read_small(dir, "exit", &text, err);

    if (rc < 0)
        return rc;
    if (sscanf(text.data, "%7s %d%n", word, &e.status, &end) != 2 || text.data[end] != '\n')
        return damaged(dir, "exit", err);
    e.signaled = lt_str_eq(word, "signal");
    rest = text.data + end + 1;
    e.oom = lt_str_starts(rest, "oom\n");
    rest += e.oom ? strlen("oom\n") : 0;
    if ((!e.signaled && !lt_str_eq(word, "exit")) ||
        (rest[0] && (sscanf(rest, "at %llu%n", &at, &end) != 1 || !lt_str_eq(rest + end, "\n"))))
        return damaged(dir, "exit", err);
    e.at_ns = at;
    *out = e;
    return 0;
}

int lt_attempt_write_identity(const char *dir, const char *who, pid_t pid, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(dir, who);
    struct lt_identity id;
    char text[128];
    int rc = lt_identity_of(pid, &id);

    if (rc < 0)
        return lt_error_set(err, rc, "process %d: %s", (int)pid, strerror(-rc));
    snprintf(text, sizeof text, "%d %llu %s\n", (int)id.pid, (unsigned long long)id.start_ticks,
             id.boot_id);
    return lt_file_put(path, text, strlen(text), 0600, err); /* after a power cut it would name nobody */
}

int lt_attempt_read_identity(const char *dir, const char *who, struct lt_identity *out,
                             struct lt_error *err)
{
    LT_BUF_AUTO text = {0};
    struct lt_identity id = {0};
    unsigned long long ticks;
    int end = 0;
    int rc = read_small(dir, who, &text, err);

    if (rc < 0)
        return rc;
    if (sscanf(text.data, "%d %llu %39s%n", &id.pid, &ticks, id.boot_id, &end) != 3 ||
        !lt_str_eq(text.data + end, "\n") || id.pid <= 0)
        return damaged(dir, who, err);
    id.start_ticks = ticks;
    *out = id;
    return 0;
}

char *lt_attempt_state(const char *dir)
{
    LT_AUTO(lt_free) char *attempts = lt_path_dirname(dir);

    return lt_path_dirname(attempts);
}
