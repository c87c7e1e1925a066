/* rendezvous.c - one request, one line back */
#include "engine/comm/rendezvous.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/str.h"
#include "sys/pmi.h"

#define ASK_MS 100

static int write_all(int fd, const char *text, size_t n, struct lt_error *err)
{
    while (n > 0) {
        ssize_t some = send(fd, text, n, MSG_NOSIGNAL);

        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return lt_error_set(err, -EIO, "lt-shim doesn't listen: %s", strerror(errno));
        text += some;
        n -= (size_t)some;
    }
    return 0;
}

static int read_line(struct lt_rendezvous *r, struct lt_error *err)
{
    size_t len = 0;

    while (len < sizeof r->line - 1) {
        struct pollfd p = {.fd = r->fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, ASK_MS) <= 0) {
            if (r->give_up && r->give_up(r->arg))
                return lt_error_set(err, -ECANCELED, "gave up waiting for the other ranks");
            continue;
        }
        n = recv(r->fd, r->line + len, 1, 0); /* what follows isn't ours */
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lt_error_set(err, -EIO, "lt-shim hung up");
        if (r->line[len] == '\n') {
            r->line[len] = 0;
            return 0;
        }
        len++;
    }
    return lt_error_set(err, -EPROTO, "lt-shim's answer is too long");
}

/* answer: the command that comes back. Its words are in r->line. */
static int ask(struct lt_rendezvous *r, const char *answer, struct lt_pmi_words *w,
               struct lt_error *err, const char *format, ...) __attribute__((format(printf, 5, 6)));
static int ask(struct lt_rendezvous *r, const char *answer, struct lt_pmi_words *w,
               struct lt_error *err, const char *format, ...)
{
    const char *cmd, *rc, *msg;
    va_list ap;
    int n, e;

    va_start(ap, format);
    n = vsnprintf(r->line, sizeof r->line, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof r->line)
        return lt_error_set(err, -E2BIG, "a request that is too long");
    e = write_all(r->fd, r->line, (size_t)n, err);
    if (e == 0)
        e = read_line(r, err);
    if (e == 0)
        e = lt_pmi_split(r->line, w, err);
    if (e < 0)
        return e;
    cmd = lt_pmi_word(w, "cmd");
    rc = lt_pmi_word(w, "rc");
    msg = lt_pmi_word(w, "msg");
    if (!cmd || strcmp(cmd, answer) != 0 || (rc && strcmp(rc, "0") != 0))
        return lt_error_set(err, -EPROTO, "lt-shim answers %s: %s", cmd ? cmd : "nothing",
                            msg ? msg : "no reason");
    return 0;
}

int lt_rendezvous_init(struct lt_rendezvous *r, struct lt_error *err)
{
    const char *text = getenv("PMI_FD"), *kvs;
    struct lt_pmi_words w;
    uint64_t fd;
    int rc;

    if (!text || lt_parse_u64(text, &fd) < 0)
        return lt_error_set(err, -EINVAL,
                            "PMI_FD isn't set: only a rank that lt-shim started has others");
    r->fd = (int)fd;
    rc = ask(r, "response_to_init", &w, err, "cmd=init pmi_version=1 pmi_subversion=1\n");
    if (rc == 0)
        rc = ask(r, "my_kvsname", &w, err, "cmd=get_my_kvsname\n");
    if (rc < 0)
        return rc;
    kvs = lt_pmi_word(&w, "kvsname");
    snprintf(r->kvs, sizeof r->kvs, "%s", kvs ? kvs : "kvs");
    return 0;
}

int lt_rendezvous_put(struct lt_rendezvous *r, const char *key, const char *value,
                      struct lt_error *err)
{
    struct lt_pmi_words w;

    return ask(r, "put_result", &w, err, "cmd=put kvsname=%s key=%s value=%s\n", r->kvs, key,
               value);
}

int lt_rendezvous_barrier(struct lt_rendezvous *r, struct lt_error *err)
{
    struct lt_pmi_words w;

    return ask(r, "barrier_out", &w, err, "cmd=barrier_in\n");
}

int lt_rendezvous_get(struct lt_rendezvous *r, const char *key, char *value, size_t n,
                      struct lt_error *err)
{
    struct lt_pmi_words w;
    const char *v;
    int rc = ask(r, "get_result", &w, err, "cmd=get kvsname=%s key=%s\n", r->kvs, key);

    if (rc < 0)
        return lt_error_prefix(err, "%s", key);
    v = lt_pmi_word(&w, "value");
    if (!v || strlen(v) >= n)
        return lt_error_set(err, -EPROTO, "%s: a value of that length isn't expected", key);
    strcpy(value, v);
    return 0;
}
