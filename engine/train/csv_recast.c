/* csv_recast.c - see csv_recast.h
 *
 * The columns of a training job are known beforehand, those of a command only when it names them:
 * each new name writes the file once more. Names have neither commas nor quotes (proto/plan.h).
 */
#include "engine/train/csv_recast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#define CELLS_MAX 300
#define CHUNK (1u << 20)

/* Cuts a line at its commas. */
static size_t split(char *line, char **cells)
{
    size_t n = 0;

    line[strcspn(line, "\r\n")] = 0;
    for (char *p = line; p && n < CELLS_MAX; n++) {
        char *comma = strchr(p, ',');

        cells[n] = p;
        if (comma)
            *comma = 0;
        p = comma ? comma + 1 : NULL;
    }
    return n;
}

static bool is_axis(const char *name)
{
    return !strcmp(name, "epoch") || !strcmp(name, "step");
}

int lt_csv_columns(const char *path, char **names, size_t max, size_t *n, struct lt_error *err)
{
    char *cells[CELLS_MAX], *line = NULL;
    FILE *f = fopen(path, "re");
    size_t cap = 0, count;

    *n = 0;
    if (!f)
        return errno == ENOENT ? 0 : lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (getline(&line, &cap, f) > 0) {
        count = split(line, cells);
        for (size_t i = 0; i < count && *n < max; i++)
            if (*cells[i] && !is_axis(cells[i]))
                names[(*n)++] = lt_strdup(cells[i]);
    }
    free(line);
    fclose(f);
    return 0;
}

struct recast {
    const char **columns; /* sorted, with epoch and step */
    size_t n;
    int from[CELLS_MAX]; /* column → cell of the old rows, -1: none */
    int step;            /* cell of the old rows */
    uint64_t limit, bytes;
    int fd;
    struct lt_buf out;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int put(struct recast *r, bool all, struct lt_error *err)
{
    int rc = 0;

    if (!all && r->out.len < CHUNK)
        return 0;
    if (r->out.len)
        rc = lt_file_write(r->fd, r->out.data, r->out.len, err);
    r->bytes += r->out.len;
    r->out.len = 0;
    return rc;
}

static void header(struct recast *r)
{
    for (size_t i = 0; i < r->n; i++)
        lt_buf_printf(&r->out, "%s%s", i ? "," : "", r->columns[i]);
    lt_buf_char(&r->out, '\n');
}

static void learn(struct recast *r, char **cells, size_t n)
{
    r->step = -1;
    for (size_t i = 0; i < r->n; i++) {
        r->from[i] = -1;
        for (size_t k = 0; k < n; k++)
            if (!strcmp(cells[k], r->columns[i]))
                r->from[i] = (int)k;
        if (!strcmp(r->columns[i], "step"))
            r->step = r->from[i];
    }
}

static void row(struct recast *r, char **cells, size_t n)
{
    uint64_t step = 0;

    if (r->step < 0 || (size_t)r->step >= n || lt_parse_u64(cells[r->step], &step) < 0 ||
        step >= r->limit)
        return;
    for (size_t i = 0; i < r->n; i++)
        lt_buf_printf(&r->out, "%s%s", i ? "," : "",
                      r->from[i] >= 0 && (size_t)r->from[i] < n ? cells[r->from[i]] : "");
    lt_buf_char(&r->out, '\n');
}

static int copy_rows(struct recast *r, FILE *f, struct lt_error *err)
{
    char *cells[CELLS_MAX], *line = NULL;
    bool first = true;
    size_t cap = 0;
    ssize_t len;
    int rc = 0;

    while (rc == 0 && (len = getline(&line, &cap, f)) > 0) {
        bool whole = line[len - 1] == '\n';
        size_t n = split(line, cells);

        if (first)
            learn(r, cells, n);
        else if (whole)
            row(r, cells, n);
        first = false;
        rc = put(r, false, err);
    }
    free(line);
    return rc;
}

static int write_anew(struct recast *r, const char *path, const char *temporary, struct lt_error *err)
{
    FILE *f = fopen(path, "re");
    int rc = 0;

    header(r);
    if (f) {
        rc = copy_rows(r, f, err);
        fclose(f);
    }
    if (rc == 0)
        rc = put(r, true, err);
    return rc < 0 ? rc : lt_file_rename(temporary, path, err);
}

int lt_csv_recast(const char *path, const char *const *columns, size_t n, uint64_t from,
                  uint64_t *bytes, struct lt_error *err)
{
    LT_AUTO(lt_free) char *temporary = lt_format("%s.new", path);
    struct recast r = {.n = n + 2, .limit = from};
    int rc;

    if (r.n > CELLS_MAX)
        return lt_error_set(err, -E2BIG, "%s: more than %d columns", path, CELLS_MAX);
    r.fd = lt_file_open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644, err);
    if (r.fd < 0)
        return r.fd;
    r.columns = lt_calloc(r.n, sizeof *r.columns);
    for (size_t i = 0; i < n; i++)
        r.columns[i] = columns[i];
    r.columns[n] = "epoch";
    r.columns[n + 1] = "step";
    qsort(r.columns, r.n, sizeof *r.columns, by_text);
    rc = write_anew(&r, path, temporary, err);
    if (rc < 0)
        lt_file_unlink(temporary, NULL);
    *bytes = r.bytes;
    close(r.fd);
    lt_buf_done(&r.out);
    lt_free(r.columns);
    return rc;
}
