/* lines.c - see lines.h
 *
 * Invariant: what one call writes to a descriptor is one write of whole lines, prefixes and all,
 * so that a reader of a pipe finds no half of one. `painted` is the stream whose last line stands
 * on a terminal without its newline; whoever else writes ends it first.
 */
#include "client/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

struct lt_lines_paper {
    int fd[2];
    bool terminal[2], colour[2];
    struct lt_lines *painted;
    struct lt_buf whole; /* lines to be written; empty between calls */
};

struct lt_lines {
    struct lt_lines_paper *paper;
    uint32_t rank;
    bool err;
    bool cr;            /* a carriage return came last: the next byte says what it is */
    struct lt_buf held; /* of the line that isn't whole; at most LT_LINE_MAX */
};

static const char *const colours[] = {"\033[36m", "\033[33m", "\033[32m",
                                      "\033[35m", "\033[34m", "\033[31m"};

int lt_write_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

struct lt_lines_paper *lt_lines_paper_new(int out, int err)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    bool dumb = !term || strcmp(term, "dumb") == 0;
    struct lt_lines_paper *p = lt_calloc(1, sizeof *p);

    p->fd[0] = out;
    p->fd[1] = err;
    for (int i = 0; i < 2; i++) {
        p->terminal[i] = isatty(p->fd[i]);
        p->colour[i] = p->terminal[i] && !dumb && (!no_colour || !no_colour[0]);
    }
    return p;
}

void lt_lines_paper_free(struct lt_lines_paper *p)
{
    if (p)
        lt_buf_done(&p->whole);
    lt_free(p);
}

bool lt_lines_painted(const struct lt_lines_paper *p)
{
    return p->painted != NULL;
}

struct lt_lines *lt_lines_new(struct lt_lines_paper *p, uint32_t rank, bool err)
{
    struct lt_lines *l = lt_calloc(1, sizeof *l);

    l->paper = p;
    l->rank = rank;
    l->err = err;
    return l;
}

void lt_lines_free(struct lt_lines *l)
{
    if (!l)
        return;
    if (l->paper->painted == l)
        l->paper->painted = NULL;
    lt_buf_done(&l->held);
    lt_free(l);
}

static int end_painted(struct lt_lines_paper *p)
{
    const struct lt_lines *l = p->painted;

    p->painted = NULL;
    return l ? lt_write_all(p->fd[l->err], "\n", 1) : 0;
}

void lt_lines_settle(struct lt_lines_paper *p)
{
    end_painted(p); /* who writes next finds out that it can't */
}

static void prefix(const struct lt_lines *l)
{
    struct lt_lines_paper *p = l->paper;
    bool colour = p->colour[l->err];

    lt_buf_printf(&p->whole, "%s[%u]%s ", colour ? colours[l->rank % LT_ARRAY_LEN(colours)] : "",
                  l->rank, colour ? "\033[0m" : "");
}

/* What is held is a line. paint: another one may take its place. */
static int put(struct lt_lines *l, bool paint)
{
    struct lt_lines_paper *p = l->paper;
    int rc = p->painted == l ? 0 : end_painted(p);

    if (p->painted == l)
        lt_buf_char(&p->whole, '\r');
    p->painted = paint && p->terminal[l->err] ? l : NULL;
    prefix(l);
    lt_buf_append(&p->whole, l->held.data, l->held.len);
    if (!p->painted)
        lt_buf_char(&p->whole, '\n');
    l->held.len = 0;
    return rc;
}

static int hold(struct lt_lines *l, const char *data, size_t n)
{
    int rc = 0;

    while (rc == 0 && n > 0) {
        size_t part;

        if (l->held.len == LT_LINE_MAX)
            rc = put(l, false);
        part = LT_MIN(n, LT_LINE_MAX - l->held.len);
        lt_buf_append(&l->held, data, part);
        data += part;
        n -= part;
    }
    return rc;
}

static size_t plain_bytes(const char *data, size_t n)
{
    size_t i = 0;

    while (i < n && data[i] != '\n' && data[i] != '\r')
        i++;
    return i;
}

/* The byte behind a carriage return. */
static int decide(struct lt_lines *l, char next)
{
    l->cr = false;
    if (next == '\n')
        return hold(l, "\r", 1);
    return l->held.len ? put(l, true) : 0;
}

static int cut(struct lt_lines *l, const char *data, size_t n)
{
    int rc = 0;

    while (rc == 0 && n > 0) {
        size_t plain;

        if (l->cr)
            rc = decide(l, *data);
        plain = plain_bytes(data, n);
        rc = rc ? rc : hold(l, data, plain);
        data += plain;
        n -= plain;
        if (n == 0)
            break;
        if (*data == '\r')
            l->cr = true;
        else
            rc = rc ? rc : put(l, false);
        data++;
        n--;
    }
    return rc;
}

static int write_whole(const struct lt_lines *l)
{
    struct lt_lines_paper *p = l->paper;
    int rc = lt_write_all(p->fd[l->err], p->whole.data, p->whole.len);

    p->whole.len = 0;
    return rc;
}

int lt_lines_add(struct lt_lines *l, const void *data, size_t n)
{
    int rc = cut(l, data, n);

    return rc ? rc : write_whole(l);
}

int lt_lines_end(struct lt_lines *l)
{
    int rc = 0;

    l->cr = false;
    if (l->held.len)
        rc = put(l, false);
    else if (l->paper->painted == l)
        rc = end_painted(l->paper);
    return rc ? rc : write_whole(l);
}
